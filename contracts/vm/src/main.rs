//! Prints what the docs say of the contracts, and what other virtual machines are compared with.
//!
//! `cargo run -- gas` prints the gas of each method as a table; `cargo run -- json` the same as JSON; `cargo run -- calls` each call of
//! the sequences in `calls.json`, with all that it saw and all that came of it, and what the world is in the end.

use mycel_vm::{measured, played, Collective, TGAS};
use serde_json::{json, Map, Value};

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
            println!("{:#}", json!({"fees": fees, "methods": rows.collect::<Map<_, _>>()}));
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

/// By the names of the sequences.
fn print_calls() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/calls.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{path}: {why}"));
    let stories: Map<String, Value> = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{path}: {why}"));
    let played: Map<_, _> = stories.iter().map(|(name, story)| (name.clone(), played(story))).collect();
    println!("{:#}", Value::Object(played));
}
