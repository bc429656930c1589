//! The sequences of calls in `calls.json`, and all that came of each, for other virtual machines to come to the same.
//!
//! A step is `{signer, contract, method, args, deposit, days, absent, view}`: `days` pass before it, and the account `absent` is not
//! there while it runs. Instead of `args`, `code` names a wasm that is the whole input, and `code_hash_of` one that is announced.
//! Elsewhere each block takes a nanosecond, so what is to come in seven days is called for after eight.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{json, Value};

use crate::collective::{amount, sha256, wasm, wasm_before, Collective, REGISTRY, REPUTATION};
use crate::world::{calling, DAY};

/// As steps name the wasm of a contract: that of today, and that of state version 1.
const CODES: [&str; 4] = ["registry", "reputation", "registry-1", "reputation-1"];

fn code(name: &str) -> Vec<u8> {
    name.strip_suffix("-1").map_or_else(|| wasm(name), wasm_before)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Plays a sequence from the beginning, on the contracts that it names.
pub fn played(story: &Value) -> Value {
    let begins = |index: usize| code(text(&story["contracts"][index]));
    let mut it = Collective::new(&begins(0), &begins(1));
    it.world.trace = Some(RefCell::default());
    let began: BTreeMap<_, _> = [REGISTRY, REPUTATION].map(|id| (id, storage(&it, id))).into();
    let steps = story["steps"].as_array().expect("a list of steps");
    let results: Vec<_> = steps.iter().map(|step| result(&mut it, step)).collect();
    let mut calls = it.world.trace.take().map(RefCell::into_inner).unwrap_or_default();
    name_codes(&mut calls);
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
    json!({"began": began, "calls": calls, "results": results, "ended": ended})
}

/// Does one step; its value, or why not.
fn result(it: &mut Collective, step: &Value) -> Value {
    it.world.now += step["days"].as_u64().unwrap_or(0) * DAY;
    let contract = if step["contract"] == json!("reputation") { REPUTATION } else { REGISTRY };
    let method = text(&step["method"]);
    if step["view"].as_bool() == Some(true) {
        let found = it.world.view(contract, method, &step["args"]);
        return found.map_or_else(|why| json!({"error": why}), |(value, _)| json!({"value": value}));
    }
    let args = match (step["code"].as_str(), step["code_hash_of"].as_str()) {
        (Some(name), _) => code(name),
        (_, Some(name)) => json!({"code_hash": sha256(&code(name))}).to_string().into_bytes(),
        _ => step["args"].to_string().into_bytes(),
    };
    let absent = step["absent"].as_str().and_then(|id| it.world.accounts.remove_entry(id));
    let call = calling(method, args, amount(&step["deposit"]));
    let outcome = it.world.transact(text(&step["signer"]), contract, vec![call]);
    it.world.accounts.extend(absent);
    outcome.result.as_ref().map_or_else(|why| json!({"error": why}), |_| json!({"value": outcome.value()}))
}

fn storage(it: &Collective, id: &str) -> Value {
    it.world.accounts[id]
        .storage
        .iter()
        .map(|(key, value)| (hex::encode(key), json!(hex::encode(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Says of each call which wasm ran, and which it was given, by its name: the bytes would fill a thousand pages.
fn name_codes(calls: &mut [Value]) {
    let codes = CODES.map(|name| (name, code(name)));
    for call in calls {
        let ran = codes.iter().find(|(_, code)| call["code"] == json!(sha256(code)));
        call["code"] = json!(ran.expect("one of them").0);
        let given = codes.iter().find(|(_, code)| text(&call["args"]).len() == 2 * code.len());
        if let Some((name, code)) = given {
            assert_eq!(text(&call["args"]), hex::encode(code));
            call["args"] = json!({"code": name});
        }
    }
}
