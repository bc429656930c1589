//! What each method costs at its dearest.

use std::collections::BTreeMap;

use serde_json::{json, Value};

use crate::collective::{amount, hash_of, sha256, wasm, Collective, DEPOSIT, MILLI, NEAR, OWNER, REGISTRY, REPUTATION};
use crate::world::{calling, Outcome, DAY};

/// The most that was seen of a method, in gas.
#[derive(Default, Clone, Copy)]
pub struct Most {
    /// Burnt by itself.
    pub own: u64,
    /// With what it sets aside for what follows: less than this cannot be attached.
    pub used: u64,
    /// Burnt by itself and by all that follows.
    pub all: u64,
}

/// By methods; views are marked as such.
#[derive(Default)]
pub struct Table(pub BTreeMap<String, Most>);

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

fn long(first: char) -> String {
    format!("{first}{}.test", "x".repeat(58))
}

/// Each method at its dearest: with the longest names, creators in eight domains, neighbours in every index.
pub fn measured(it: &mut Collective) -> Table {
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
                let outcome = register(it, who, seed, &domain(index));
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
    call(it, &creator, "update_pattern", json!({"id": 0, "pattern_hash": hash, "metadata_cid": cid}), 1);
    call(it, &creator, "set_price", json!({"id": 0, "price_per_use": (210 * MILLI).to_string()}), 1);
    let using = |it: &Collective| {
        let quote = it.view("quote", json!({"id": 0, "account": buyer}));
        let args = json!({"id": 0, "expected_hash": quote["hash"], "max_price": quote["price"], "nth": quote["nth"]});
        (args, amount(&quote["total"]))
    };
    for (round, rating) in [5, 5, 5, 5].into_iter().enumerate() {
        let (args, total) = using(it);
        if round == 1 {
            // a refund that does not arrive is written down
            let gone = buyer.clone();
            it.world.fault = Box::new(move |receipt| receipt.receiver == gone && receipt.method().is_none());
        }
        call(it, &buyer, "use_pattern", args, total + 1);
        it.world.fault = Box::new(|_| false);
        call(it, &buyer, "rate_pattern", json!({"id": 0, "success": true, "rating": rating}), 0);
    }
    call(it, &buyer, "claim", json!({}), 0);
    call(it, &other, "sync_reputation", json!({"account": creator}), 0);
    call(it, &buyer, "record_fl_contribution", json!({"model": "m".repeat(64), "gradient_hash": hash}), 5 * MILLI);
    it.world.now += 31 * DAY;
    call(it, &buyer, "drop_receipt", json!({"id": 0}), 1);
    call(it, &creator, "retire_pattern", json!({"id": 16}), 1);
    it.world.now += 31 * DAY;
    call(it, &creator, "release_deposit", json!({"id": 16}), 1);
    call(it, OWNER, "set_fee_rate", json!({"bps": 400}), 1);
    call(it, OWNER, "withdraw_fees", json!({"amount": "1000", "to": other}), 1);
    call(it, OWNER, "propose_owner", json!({"account": other}), 1);
    call(it, &other, "accept_owner", json!({}), 1);
    call(it, &other, "propose_owner", json!({"account": OWNER}), 1);
    call(it, OWNER, "accept_owner", json!({}), 1);
    call(it, OWNER, "pause", json!({}), 1);
    call(it, OWNER, "resume", json!({}), 1);
    let page = json!({"domain": domain(0), "min_reputation": 0, "from_index": 0, "limit": 50});
    for index in 0..50 {
        let who = format!("creator{index}.test");
        it.world.account(&who, NEAR);
        register(it, &who, 2_000_000 + index, &domain(0)).value();
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
        table.view(it, REGISTRY, method, &args);
    }
    table.view(it, REPUTATION, "get_reputation", &json!({"account": creator}));
    let code = wasm("registry");
    let staged = json!({"code_hash": sha256(&code)});
    table.add(&it.call(OWNER, "stage_upgrade", staged, 1));
    table.add(&it.call(OWNER, "pause", json!({}), 1));
    it.world.now += 3 * DAY;
    let outcome = it.world.transact(OWNER, REGISTRY, vec![calling("upgrade", code, 1)]);
    assert!(outcome.result.is_ok(), "{outcome:?}");
    table.add(&outcome);
    table
}
