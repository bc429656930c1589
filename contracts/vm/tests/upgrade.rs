//! An upgrade: from the wasm before, with state in it, by the owner alone, announced two days ahead, at rest.

use mycel_vm::{
    amount, calling, sha256, wasm, wasm_before, Action, Collective, CREATOR, DAY, MILLI, NEAR, OWNER, REGISTRY,
    REPUTATION, USER,
};
use serde_json::json;

/// A world with the contracts of before, in which things have happened.
fn before() -> (Collective, u64) {
    let mut it = Collective::new(&wasm_before("registry"), &wasm_before("reputation"));
    let id = it.register(CREATOR, 1, "mail", 200 * MILLI);
    it.buy(USER, id).value();
    it.rate(USER, id, 4).value();
    (it, id)
}

/// Registry and reputation take the new code over, as `chain deploy --upgrade` does it.
fn upgrade(it: &mut Collective) {
    for (id, name) in [(REGISTRY, "registry"), (REPUTATION, "reputation")] {
        let code = wasm(name);
        it.world.call(OWNER, id, "stage_upgrade", &json!({"code_hash": sha256(&code)}), 1).value();
        it.world.call(OWNER, id, "pause", &json!({}), 1).value();
        it.world.now += 2 * DAY;
        let outcome = it.world.transact(OWNER, id, vec![calling("upgrade", code, 1)]);
        assert!(outcome.result.is_ok(), "{id}: {}", outcome.error());
        assert!(outcome.receipts.iter().all(|ran| ran.result.is_ok()), "{outcome:?}");
        it.world.call(OWNER, id, "resume", &json!({}), 1).value();
    }
}

#[test]
fn the_code_before_hands_over_all_that_it_stored() {
    let (mut it, id) = before();
    let look = |it: &Collective| {
        let of = |method: &str, args| it.view(method, args);
        let mut info = of("info", json!({}));
        info.as_object_mut().expect("an object").remove("state_version");
        (
            of("get_pattern", json!({"id": id})),
            of("receipt", json!({"id": id, "account": USER})),
            of("find_patterns", json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 50})),
            of("changes", json!({"from_seq": 0, "limit": 50})),
            info["ledger"].clone(),
            it.world.view(REPUTATION, "get_reputation", &json!({"account": CREATOR})).expect("a view").0["version"]
                .clone(),
        )
    };
    let (known, stored) = (look(&it), it.world.accounts[REGISTRY].storage.len());
    assert_eq!(it.view("info", json!({}))["state_version"], json!(1));
    upgrade(&mut it);
    assert_eq!(it.view("info", json!({}))["state_version"], json!(2));
    assert_eq!(look(&it), known);
    assert_eq!(it.world.accounts[REGISTRY].storage.len(), stored);
    // and goes on with it
    it.buy(USER, id).value();
    assert_eq!(it.rate(USER, id, 5).value(), json!({"weight": 500}));
    assert_eq!(it.register(CREATOR, 2, "mail", 1), id + 1);
    assert_eq!(amount(&it.view("info", json!({}))["ledger"]["in_flight"]), 0);
}

#[test]
fn a_second_migration_does_nothing() {
    let (mut it, _) = before();
    upgrade(&mut it);
    let stored = it.world.accounts[REGISTRY].storage.clone();
    let again = vec![Action::Deploy(wasm("registry")), calling("migrate", Vec::new(), 0)];
    // a key of the contract's own account can deploy and migrate as well, until `chain deploy` has deleted it
    it.world.transact(REGISTRY, REGISTRY, again).result.expect("it migrates again");
    assert!(it.world.accounts[REGISTRY].storage == stored);
}

#[test]
fn code_before_does_not_cut_off_a_later_state() {
    let mut it = Collective::default();
    let storage = &mut it.world.accounts.get_mut(REGISTRY).expect("it is there").storage;
    storage.get_mut(b"STATE".as_slice()).expect("a state")[0] = 3;
    let stored = it.world.accounts[REGISTRY].storage.clone();
    let again = vec![Action::Deploy(wasm("registry")), calling("migrate", Vec::new(), 0)];
    assert!(it.world.transact(REGISTRY, REGISTRY, again).error().contains("ERR_STATE"));
    assert!(it.world.accounts[REGISTRY].storage == stored);
}

#[test]
fn code_comes_only_from_the_owner_announced_in_time_and_at_rest() {
    let mut it = Collective::default();
    it.world.account("stranger.test", 10 * NEAR);
    let code = wasm("registry");
    let refused = |it: &mut Collective, signer: &str, code: &[u8], why: &str| {
        it.refused_by(REGISTRY, signer, calling("upgrade", code.to_vec(), 1), why);
    };
    refused(&mut it, "stranger.test", &code, "ERR_NOT_ALLOWED");
    refused(&mut it, OWNER, &code, "ERR_NOT_AT_REST");
    it.call(OWNER, "pause", json!({}), 1).value();
    refused(&mut it, OWNER, &code, "ERR_UNKNOWN: there is no such staged code");
    it.call(OWNER, "stage_upgrade", json!({"code_hash": sha256(&code)}), 1).value();
    it.world.now += 2 * DAY - 1;
    refused(&mut it, OWNER, &code, "ERR_EARLY");
    it.world.now += 1;
    refused(&mut it, OWNER, &wasm_before("registry"), "ERR_CHANGED");
    it.call(OWNER, "resume", json!({}), 1).value();
    refused(&mut it, OWNER, &code, "ERR_NOT_AT_REST");
}

#[test]
fn books_that_a_failed_callback_left_open_keep_no_code_out_for_ever() {
    let mut it = Collective::default();
    let id = it.register(CREATOR, 1, "mail", 200 * MILLI);
    it.world.fault = Box::new(|receipt| receipt.predecessor == REGISTRY && receipt.receiver == REGISTRY);
    it.buy(USER, id).value();
    it.world.fault = Box::new(|_| false);
    let code = wasm("registry");
    it.call(OWNER, "stage_upgrade", json!({"code_hash": sha256(&code)}), 1).value();
    it.call(OWNER, "pause", json!({}), 1).value();
    let upgrade = |it: &mut Collective| it.world.transact(OWNER, REGISTRY, vec![calling("upgrade", code.clone(), 1)]);
    it.world.now += 7 * DAY - 1;
    assert!(upgrade(&mut it).error().contains("ERR_NOT_AT_REST"), "the books say that money is on its way");
    it.call(OWNER, "pause", json!({}), 1).value(); // again: it counts from the first time
    it.world.now += 1;
    assert!(upgrade(&mut it).result.is_ok(), "after a week's pause none is");
}
