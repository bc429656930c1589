//! Prints what the docs say of the contracts, and what other virtual machines are compared with.
//!
//! `cargo run -- gas` prints the gas of each method as a table; `cargo run -- json` the same as JSON; `cargo run -- calls` each call of
//! the sequences in `calls.json`, with all that it saw and all that came of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use mycel_vm::{
    amount, calling, hash_of, wasm, Collective, Outcome, CREATOR, DEPOSIT, MILLI, NEAR, OWNER, REGISTRY, REPUTATION,
    TGAS,
};
use serde_json::{json, Value};

const DAY: u64 = 86_400_000_000_000;

/// The most that was seen of a method.
#[derive(Default, Clone, Copy)]
struct Most {
    own: u64,  // burnt by itself
    used: u64, // with what it sets aside for what follows
    all: u64,  // burnt by all that follows too
}

#[derive(Default)]
struct Table(BTreeMap<String, Most>);

impl Table {
    fn add(&mut self, outcome: &Outcome) {
        for (index, ran) in outcome.receipts.iter().enumerate() {
            let Some(method) = &ran.method else { continue };
            let most = self.0.entry(method.clone()).or_default();
            most.own = most.own.max(ran.gas);
            most.used = most.used.max(ran.used);
            most.all = most.all.max(if index == 0 { outcome.all_gas() } else { ran.gas });
        }
    }

    fn view(&mut self, it: &Collective, account: &str, method: &str, args: &Value) {
        let (_, gas) = it.world.view(account, method, args).unwrap_or_else(|why| panic!("{method}: {why}"));
        let most = self.0.entry(format!("{method} (view)")).or_default();
        *most = Most { own: most.own.max(gas), used: most.used.max(gas), all: most.all.max(gas) };
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("gas") => print_table(),
        Some("json") => {
            let (table, fees) = measured();
            let rows = table
                .0
                .iter()
                .map(|(method, most)| (method.clone(), json!({"own": most.own, "used": most.used, "all": most.all})));
            println!("{:#}", json!({"fees": fees, "methods": rows.collect::<serde_json::Map<_, _>>()}));
        }
        Some("calls") => print_calls(),
        _ => {
            eprintln!("usage: cargo run -- gas | json | calls");
            std::process::exit(2);
        }
    }
}

#[allow(clippy::cast_precision_loss)] // three digits are shown
fn tgas(gas: u64) -> f64 {
    gas as f64 / TGAS as f64
}

fn print_table() {
    let (table, fees) = measured();
    println!("| method | itself, Tgas | with all that follows, Tgas |\n| --- | ---: | ---: |");
    for (method, most) in &table.0 {
        println!(
            "| `{}` | {:.2} | {:.2} |",
            method.replace(" (view)", "` (view)").trim_end_matches('`'),
            tgas(most.own),
            tgas(most.all)
        );
    }
    println!(
        "\nA transaction with one call costs {:.2} Tgas besides, and each call that follows as much again.",
        tgas(fees)
    );
}

fn long(first: char) -> String {
    format!("{first}{}.test", "x".repeat(58))
}

/// Each method at its dearest: with the longest names, creators in eight domains, neighbours in every index.
fn measured() -> (Table, u64) {
    let mut it = Collective::default();
    let mut table = Table::default();
    let (creator, buyer, other) = (long('c'), long('b'), long('o'));
    for id in [&creator, &buyer, &other] {
        it.world.account(id, 1_000 * NEAR);
    }
    let domain = |index: u64| format!("{}{index}", "d".repeat(31));
    let register = |it: &mut Collective, who: &str, seed: u64, domain: &str| {
        let (hash, cid) = hash_of(seed);
        let args = json!({"pattern_hash": hash, "metadata_cid": cid, "domain": domain, "price_per_use": (200 * MILLI).to_string()});
        it.call(who, "register_pattern", args, DEPOSIT + 1)
    };
    let mut seed = 0;
    for round in 0..60 {
        for index in 0..if round < 4 { 8 } else { 1 } {
            for who in [&creator, &other] {
                let outcome = register(&mut it, who, seed, &domain(index));
                outcome.value();
                table.add(&outcome);
                seed += 1;
            }
        }
    }
    let mut call = |it: &mut Collective, who: &str, method: &str, args: Value, deposit: u128| {
        let outcome = it.call(who, method, args, deposit);
        outcome.value();
        table.add(&outcome);
    };
    let (hash, cid) = hash_of(1_000_000);
    call(&mut it, &creator, "update_pattern", json!({"id": 0, "pattern_hash": hash, "metadata_cid": cid}), 1);
    call(&mut it, &creator, "set_price", json!({"id": 0, "price_per_use": (210 * MILLI).to_string()}), 1);
    let using = |it: &Collective| {
        let quote = it.view("quote", json!({"id": 0, "account": buyer}));
        let args = json!({"id": 0, "expected_hash": quote["hash"], "max_price": quote["price"], "nth": quote["nth"]});
        (args, amount(&quote["total"]))
    };
    for (round, rating) in [5, 5, 5, 5].into_iter().enumerate() {
        let (args, total) = using(&it);
        if round == 1 {
            // a refund that does not arrive is written down
            let gone = buyer.clone();
            it.world.fault = Box::new(move |receipt| receipt.receiver == gone && receipt.method().is_none());
        }
        call(&mut it, &buyer, "use_pattern", args, total + 1);
        it.world.fault = Box::new(|_| false);
        call(&mut it, &buyer, "rate_pattern", json!({"id": 0, "success": true, "rating": rating}), 0);
    }
    call(&mut it, &buyer, "claim", json!({}), 0);
    call(&mut it, &other, "sync_reputation", json!({"account": creator}), 0);
    call(&mut it, &buyer, "record_fl_contribution", json!({"model": "m".repeat(64), "gradient_hash": hash}), 5 * MILLI);
    it.world.now += 31 * DAY;
    call(&mut it, &buyer, "drop_receipt", json!({"id": 0}), 1);
    call(&mut it, &creator, "retire_pattern", json!({"id": 16}), 1);
    it.world.now += 31 * DAY;
    call(&mut it, &creator, "release_deposit", json!({"id": 16}), 1);
    call(&mut it, OWNER, "set_fee_rate", json!({"bps": 400}), 1);
    call(&mut it, OWNER, "withdraw_fees", json!({"amount": "1000", "to": other}), 1);
    call(&mut it, OWNER, "propose_owner", json!({"account": other}), 1);
    call(&mut it, &other, "accept_owner", json!({}), 1);
    call(&mut it, &other, "propose_owner", json!({"account": OWNER}), 1);
    call(&mut it, OWNER, "accept_owner", json!({}), 1);
    call(&mut it, OWNER, "pause", json!({}), 1);
    call(&mut it, OWNER, "resume", json!({}), 1);
    let page = json!({"domain": domain(0), "min_reputation": 0, "from_index": 0, "limit": 50});
    for index in 0..50 {
        let who = format!("creator{index}.test");
        it.world.account(&who, NEAR);
        register(&mut it, &who, 2_000_000 + index, &domain(0)).value();
    }
    for (method, args) in [
        ("quote", json!({"id": 0, "account": buyer})),
        ("get_pattern", json!({"id": 0})),
        ("pattern_by_hash", json!({"creator": creator, "hash": hash})),
        ("patterns_by_creator", json!({"creator": creator, "from_index": 0, "limit": 50})),
        ("find_patterns", page),
        ("changes", json!({"from_seq": 0, "limit": 50})),
        ("receipt", json!({"id": 0, "account": buyer})),
        ("claimable", json!({"account": buyer})),
        ("fl_contribution", json!({"account": buyer, "model": "m".repeat(64)})),
        ("info", json!({})),
    ] {
        table.view(&it, REGISTRY, method, &args);
    }
    table.view(&it, REPUTATION, "get_reputation", &json!({"account": creator}));
    let code = wasm("registry");
    let staged = json!({"code_hash": hex::encode(near_primitives_core::hash::hash(&code).0)});
    table.add(&it.call(OWNER, "stage_upgrade", staged, 1));
    table.add(&it.call(OWNER, "pause", json!({}), 1));
    it.world.now += 3 * DAY;
    let outcome = it.world.transact(OWNER, REGISTRY, vec![calling("upgrade", code, 1)]);
    assert!(outcome.result.is_ok(), "{outcome:?}");
    table.add(&outcome);
    let fees = it.world.fees_of_a_call();
    (table, fees)
}

/// Each transaction of `calls.json`: `{signer, contract, method, args, deposit, days, absent, view}`.
fn print_calls() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/calls.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{path}: {why}"));
    let steps: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{path}: {why}"));
    let mut it = Collective::default();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned();
    it.world.trace = Some(RefCell::default());
    let began: BTreeMap<_, _> = [REGISTRY, REPUTATION].map(|id| (id, storage(&it, id))).into();
    for step in &steps {
        it.world.now += step["days"].as_u64().unwrap_or(0) * DAY;
        let contract =
            step["contract"].as_str().map_or(REGISTRY, |name| if name == "reputation" { REPUTATION } else { REGISTRY });
        let absent = step["absent"].as_str().and_then(|id| it.world.accounts.remove_entry(id));
        if step["view"].as_bool() == Some(true) {
            let _ = it.world.view(contract, &text(&step["method"]), &step["args"]);
        } else {
            it.world.call(
                &text(&step["signer"]),
                contract,
                &text(&step["method"]),
                &step["args"],
                amount(&step["deposit"]),
            );
        }
        it.world.accounts.extend(absent);
    }
    let calls = it.world.trace.take().map(RefCell::into_inner).unwrap_or_default();
    assert!(it.balance(CREATOR) > 0);
    println!("{:#}", json!({"began": began, "calls": calls}));
}

fn storage(it: &Collective, id: &str) -> Value {
    it.world.accounts[id]
        .storage
        .iter()
        .map(|(key, value)| (hex::encode(key), json!(hex::encode(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
