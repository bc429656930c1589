//! What has to wait is refused until the last nanosecond before its time, and goes at the first one of it.

use mycel_vm::{amount, Collective, CREATOR, DAY, MILLI, NEAR, OWNER, REGISTRY, REPUTATION, USER};
use serde_json::json;

#[test]
fn a_new_fee_is_in_force_after_seven_days() {
    let mut it = Collective::default();
    let id = it.register(CREATOR, 1, "mail", NEAR);
    let fee = |it: &Collective| it.view("quote", json!({"id": id, "account": USER}))["fee"].clone();
    let percent = |of: u128| json!((NEAR * of / 100).to_string());
    let from = it.call(OWNER, "set_fee_rate", json!({"bps": 1_000}), 1).value();
    let info = it.view("info", json!({}));
    assert_eq!(amount(&from), u128::from(it.world.now + 7 * DAY));
    assert_eq!(
        (&info["fee_bps"], &info["pending_fee"]),
        (&json!(500), &json!({"bps": 1_000, "from": from})),
        "who buys can see it coming"
    );
    it.world.now += 7 * DAY - 1;
    assert_eq!((fee(&it), &it.view("info", json!({}))["fee_bps"]), (percent(5), &json!(500)));
    assert_eq!(it.buy(USER, id).value()["fee"], percent(5));
    it.world.now += 1;
    let info = it.view("info", json!({}));
    assert_eq!((&info["fee_bps"], &info["pending_fee"]), (&json!(1_000), &json!(null)));
    assert_eq!(fee(&it), percent(10));
    assert_eq!(it.buy(USER, id).value()["fee"], percent(10));
    // another one before its time puts off what was to come, and not what is in force
    it.call(OWNER, "set_fee_rate", json!({"bps": 0}), 1).value();
    it.world.now += 7 * DAY - 1;
    it.call(OWNER, "set_fee_rate", json!({"bps": 100}), 1).value();
    it.world.now += 1;
    assert_eq!(fee(&it), percent(10), "the one that was given up comes no more");
    it.world.now += 7 * DAY - 2;
    assert_eq!(fee(&it), percent(10));
    it.world.now += 1;
    assert_eq!(fee(&it), percent(1));
}

#[test]
fn a_deposit_comes_back_thirty_days_after_the_pattern_was_retired() {
    let mut it = Collective::default();
    let id = it.register(CREATOR, 1, "mail", NEAR);
    it.world.now += 100 * DAY; // how old the pattern is says nothing
    it.call(CREATOR, "retire_pattern", json!({"id": id}), 1).value();
    let from = it.world.now + 30 * DAY;
    it.refused(CREATOR, "release_deposit", json!({"id": id}), 1, &format!("ERR_EARLY: not before {from}"));
    it.world.now = from - 1;
    it.refused(CREATOR, "release_deposit", json!({"id": id}), 1, &format!("ERR_EARLY: not before {from}"));
    it.world.now = from;
    let before = it.balance(CREATOR);
    assert_eq!(amount(&it.call(CREATOR, "release_deposit", json!({"id": id}), 1).value()), 100 * MILLI);
    assert_eq!(it.balance(CREATOR) + 1 - before, 100 * MILLI);
    assert_eq!(it.view("info", json!({}))["ledger"]["deposits"], json!("0"));
}

#[test]
fn a_receipt_is_dropped_thirty_days_after_its_last_use() {
    let mut it = Collective::default();
    let id = it.register(CREATOR, 1, "mail", MILLI);
    it.buy(USER, id).value();
    it.world.now += 30 * DAY - 1;
    it.refused(USER, "drop_receipt", json!({"id": id}), 1, "ERR_EARLY");
    it.buy(USER, id).value(); // which begins the wait anew
    let from = it.world.now + 30 * DAY;
    it.world.now = from - 1;
    it.refused(USER, "drop_receipt", json!({"id": id}), 1, &format!("ERR_EARLY: not before {from}"));
    it.world.now = from;
    let before = it.balance(USER);
    let back = amount(&it.call(USER, "drop_receipt", json!({"id": id}), 1).value());
    assert_eq!(it.balance(USER) + 1 - before, back);
    assert_eq!(json!(back.to_string()), it.view("info", json!({}))["prices"]["dropped"]);
    it.refused(USER, "drop_receipt", json!({"id": id}), 1, "ERR_UNKNOWN");
}

#[test]
fn code_comes_two_days_after_it_was_announced_to_either_contract() {
    let mut it = Collective::default();
    for (contract, name) in [(REGISTRY, "registry"), (REPUTATION, "reputation")] {
        let code = mycel_vm::wasm(name);
        let upgrade = || mycel_vm::calling("upgrade", code.clone(), 1);
        let staged = json!({"code_hash": mycel_vm::sha256(&code)});
        it.world.call(OWNER, contract, "pause", &json!({}), 1).value();
        it.world.call(OWNER, contract, "stage_upgrade", &staged, 1).value();
        it.world.now += 2 * DAY - 1;
        it.refused_by(contract, OWNER, upgrade(), "ERR_EARLY");
        // saying it again is a new announcement
        let from = it.world.call(OWNER, contract, "stage_upgrade", &staged, 1).value();
        assert_eq!(amount(&from), u128::from(it.world.now + 2 * DAY));
        it.world.now += 2 * DAY - 1;
        it.refused_by(contract, OWNER, upgrade(), "ERR_EARLY");
        it.world.now += 1;
        let outcome = it.world.transact(OWNER, contract, vec![upgrade()]);
        assert!(outcome.receipts.iter().all(|ran| ran.result.is_ok()), "{contract}: {outcome:?}");
        let info = it.world.view(contract, "info", &json!({})).expect("a view").0;
        assert_eq!((&info["staged"], &info["staged_from"]), (&json!(null), &json!(null)), "{contract}");
        it.refused_by(contract, OWNER, upgrade(), "ERR_UNKNOWN: there is no such staged code");
    }
}
