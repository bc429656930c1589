//! Finding costs what a page costs, however many there are.

use mycel_vm::{Collective, DEPOSIT, NEAR, REGISTRY, TGAS};
use serde_json::json;

const MANY: u64 = 10_000;

fn page(it: &Collective, min: u32, from: u32) -> (usize, u64) {
    let args = json!({"domain": "mail", "min_reputation": min, "from_index": from, "limit": 50});
    let (found, gas) = it.world.view(REGISTRY, "find_patterns", &args).expect("a page");
    (found.as_array().map_or(0, Vec::len), gas)
}

#[test]
fn ten_thousand_creators_in_one_bucket() {
    let mut it = Collective::default();
    let mut gas = Vec::new();
    for creator in 0..MANY {
        let id = format!("creator{creator}.test");
        it.world.account(&id, NEAR);
        let (hash, cid) = mycel_vm::hash_of(creator);
        let args = json!({"pattern_hash": hash, "metadata_cid": cid, "domain": "mail", "price_per_use": "1"});
        let outcome = it.call(&id, "register_pattern", args, DEPOSIT);
        outcome.value();
        gas.push(outcome.all_gas());
    }
    let (first, last) = (gas[..100].iter().max(), gas[gas.len() - 100..].iter().max());
    println!("register among few: {first:?}, among many: {last:?}");
    assert!(last.copied() < first.map(|gas| gas + gas / 10), "registering must not cost more among many");
    let (found, first) = page(&it, 0, 0);
    assert_eq!(found, 50);
    let (found, deep) = page(&it, 0, 450);
    assert_eq!(found, 50);
    // nobody has 519, and all stand in the bucket of 500 to 519
    let (found, none) = page(&it, 519, 0);
    assert_eq!(found, 0);
    println!("a page of 50: first {first}, after 450 {deep}, without anybody {none}");
    assert!(first <= 15 * TGAS, "{first}");
    assert!(deep.max(none) <= 200 * TGAS, "a view has 300 Tgas: {deep}, {none}");
}

#[test]
fn one_creator_of_ten_thousand() {
    let mut it = Collective::default();
    let prolific = "prolific.test";
    it.world.account(prolific, 2_000 * NEAR);
    let mut gas = Vec::new();
    for seed in 0..MANY {
        let (hash, cid) = mycel_vm::hash_of(seed);
        let args = json!({"pattern_hash": hash, "metadata_cid": cid, "domain": "mail", "price_per_use": "1"});
        let outcome = it.call(prolific, "register_pattern", args, DEPOSIT);
        outcome.value();
        gas.push(outcome.all_gas());
    }
    assert!(gas[gas.len() - 1] < gas[10] + gas[10] / 10, "{} then, {} now", gas[10], gas[gas.len() - 1]);
    assert_eq!(page(&it, 0, 0).0, 3, "the newest three");
    // retiring from the middle, the newest and the oldest
    for id in [MANY / 2, MANY - 1, 0] {
        let outcome = it.call(prolific, "retire_pattern", json!({"id": id}), 1);
        outcome.value();
        assert!(outcome.all_gas() <= 20 * TGAS, "{}", outcome.all_gas());
    }
    let args = json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 50});
    let found = it.view("find_patterns", args);
    let ids: Vec<_> = found.as_array().expect("a list").iter().map(|one| one["id"].as_u64()).collect();
    assert_eq!(ids, [Some(MANY - 2), Some(MANY - 3), Some(MANY - 4)]);
}
