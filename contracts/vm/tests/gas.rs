//! Gas: what a call sets aside for what follows is at least twice what that takes, and nothing is dearer than was aimed at.

use std::cell::RefCell;
use std::collections::BTreeMap;

use mycel_vm::{measured, Collective, TGAS};

#[test]
fn what_follows_has_twice_the_gas_that_it_takes() {
    let mut it = Collective::default();
    it.world.trace = Some(RefCell::default());
    measured(&mut it);
    let calls = it.world.trace.take().map(RefCell::into_inner).unwrap_or_default();
    let (mut aside, mut burnt) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    for call in &calls {
        let most = burnt.entry(call["method"].as_str().unwrap_or("").to_owned()).or_default();
        *most = call["burnt"].as_u64().unwrap_or(0).max(*most);
        for action in
            call["receipts"].as_array().into_iter().flatten().filter_map(|one| one["actions"].as_array()).flatten()
        {
            if let Some(method) = action["call"].as_str() {
                let gas = action["gas"].as_u64().unwrap_or(0);
                let least = aside.entry(method.to_owned()).or_insert(gas);
                *least = gas.min(*least);
            }
        }
    }
    let methods: Vec<_> = aside.keys().map(String::as_str).collect();
    assert_eq!(methods, ["get_reputation", "migrate", "on_reputation", "on_transfer", "update_reputation"]);
    for (method, gas) in aside {
        assert!(gas >= 2 * burnt[&method], "{method} takes {}, and {gas} is set aside for it", burnt[&method]);
    }
}

#[test]
fn nothing_is_dearer_than_was_aimed_at() {
    let table = measured(&mut Collective::default()).0;
    for (method, aim) in [
        ("register_pattern", 10),
        ("use_pattern", 20),
        ("find_patterns (view)", 15),
        ("changes (view)", 15),
        ("patterns_by_creator (view)", 15),
    ] {
        assert!(table[method].all <= aim * TGAS, "{method}: {} of {aim} Tgas", table[method].all);
    }
    assert!(table.values().all(|most| most.used <= 100 * TGAS), "no call needs more than 100 Tgas attached");
}
