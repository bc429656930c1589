//! Prints what the docs say of the contracts, and what other virtual machines are compared with.
//!
//! `cargo run -- gas` prints the gas of each method as a table; `cargo run -- json` the same as JSON; `cargo run -- calls` each call of
//! the sequences in `calls.json`, with all that it saw and all that came of it, and what the world is in the end.

use std::cell::RefCell;
use std::collections::BTreeMap;

use mycel_vm::{amount, measured, Collective, DAY, REGISTRY, REPUTATION, TGAS};
use serde_json::{json, Value};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("gas") => print_table(),
        Some("json") => {
            let mut it = Collective::default();
            let (table, fees) = (measured(&mut it), it.world.fees_of_a_call());
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
    let mut it = Collective::default();
    let (table, fees) = (measured(&mut it), it.world.fees_of_a_call());
    println!("| method | itself, Tgas | with all that follows, Tgas |\n| --- | ---: | ---: |");
    for (method, most) in &table.0 {
        let (name, kind) = method.split_once(' ').unwrap_or((method, ""));
        let shown = format!("`{name}` {kind}");
        println!("| {} | {:.2} | {:.2} |", shown.trim_end(), tgas(most.own), tgas(most.all));
    }
    println!(
        "\nA transaction with one call costs {:.2} Tgas besides, and each call that follows as much again.",
        tgas(fees)
    );
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
    let mut results = Vec::new();
    for step in &steps {
        it.world.now += step["days"].as_u64().unwrap_or(0) * DAY;
        let contract =
            step["contract"].as_str().map_or(REGISTRY, |name| if name == "reputation" { REPUTATION } else { REGISTRY });
        let absent = step["absent"].as_str().and_then(|id| it.world.accounts.remove_entry(id));
        if step["view"].as_bool() == Some(true) {
            let found = it.world.view(contract, &text(&step["method"]), &step["args"]);
            results.push(found.map_or_else(|why| json!({"error": why}), |(value, _)| json!({"value": value})));
        } else {
            let (signer, method) = (text(&step["signer"]), text(&step["method"]));
            let outcome = it.world.call(&signer, contract, &method, &step["args"], amount(&step["deposit"]));
            let result = outcome.result.as_ref();
            let told = result.map_or_else(|why| json!({"error": why}), |_| json!({"value": outcome.value()}));
            results.push(told);
        }
        it.world.accounts.extend(absent);
    }
    let calls = it.world.trace.take().map(RefCell::into_inner).unwrap_or_default();
    let ended: BTreeMap<_, _> = it
        .world
        .accounts
        .iter()
        .map(|(id, account)| {
            let held =
                json!({"balance": account.balance.to_string(), "usage": account.usage, "storage": storage(&it, id)});
            (id, held)
        })
        .collect();
    println!("{:#}", json!({"began": began, "calls": calls, "results": results, "ended": ended}));
}

fn storage(it: &Collective, id: &str) -> Value {
    it.world.accounts[id]
        .storage
        .iter()
        .map(|(key, value)| (hex::encode(key), json!(hex::encode(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
