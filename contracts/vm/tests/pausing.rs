//! A pause stops registering, changing, using and rating, and nothing else: whoever has something here gets it back.

use mycel_vm::{
    amount, calling, hash_of, Action, Collective, CREATOR, DAY, DEPOSIT, MILLI, NEAR, OWNER, REGISTRY, REPUTATION, USER,
};
use serde_json::{json, Value};

const STRANGER: &str = "stranger.test";
/// Whose fee is 0.01 N: a rating has its full weight.
const PRICE: u128 = 200 * MILLI;

/// Of which pattern 0 is used, and pattern 1 is not.
fn collective() -> Collective {
    let mut it = Collective::default();
    it.world.account(STRANGER, 10 * NEAR);
    for seed in 0..2 {
        it.register(CREATOR, seed, "mail", PRICE);
    }
    it.buy(USER, 0).value();
    it
}

fn call(method: &str, args: Value, deposit: u128) -> Action {
    calling(method, args.to_string().into_bytes(), deposit)
}

fn pause() -> Action {
    call("pause", json!({}), 1)
}

fn rating() -> Action {
    call("rate_pattern", json!({"id": 0, "success": true, "rating": 5}), 0)
}

/// What pauses, with all that makes it succeed while it is not paused.
fn paused(it: &Collective) -> Vec<(&'static str, &'static str, Value, u128)> {
    let (hash, cid) = hash_of(9);
    let quote = it.view("quote", json!({"id": 0, "account": USER}));
    let using = json!({"id": 0, "expected_hash": quote["hash"], "max_price": quote["price"], "nth": quote["nth"]});
    let registering = json!({"pattern_hash": hash, "metadata_cid": cid, "domain": "mail", "price_per_use": "0"});
    let (other, other_cid) = hash_of(10);
    vec![
        (CREATOR, "register_pattern", registering, DEPOSIT),
        (CREATOR, "update_pattern", json!({"id": 1, "pattern_hash": other, "metadata_cid": other_cid}), 1),
        (CREATOR, "set_price", json!({"id": 1, "price_per_use": "7"}), 1),
        (USER, "use_pattern", using, amount(&quote["total"])),
        (USER, "rate_pattern", json!({"id": 0, "success": true, "rating": 5}), 0),
    ]
}

#[test]
fn what_would_change_or_cost_anything_waits_for_the_end_of_the_pause() {
    let mut it = collective();
    it.call(OWNER, "pause", json!({}), 1).value();
    assert_eq!(it.view("quote", json!({"id": 0, "account": USER}))["paused"], json!(true), "who asks first is told");
    let rows = paused(&it);
    for (who, method, args, deposit) in &rows {
        it.refused(who, method, args.clone(), *deposit, "ERR_PAUSED");
    }
    it.call(OWNER, "resume", json!({}), 1).value();
    for (who, method, args, deposit) in rows {
        let outcome = it.call(who, method, args, deposit);
        assert!(outcome.result.is_ok(), "nothing but the pause was in its way: {method}: {outcome:?}");
    }
}

#[test]
fn everything_else_goes_on_and_whoever_has_something_here_gets_it_back() {
    let mut it = collective();
    let gone = it.world.accounts.remove(CREATOR).expect("it was there");
    it.buy(USER, 0).value();
    it.world.accounts.insert(CREATOR.to_owned(), gone);
    it.call(CREATOR, "retire_pattern", json!({"id": 1}), 1).value();
    it.world.now += 30 * DAY;
    it.call(OWNER, "pause", json!({}), 1).value();
    let share = PRICE * 95 / 100;
    for (who, method, args, deposit, earns) in [
        (CREATOR, "claim", json!({}), 0, share),
        (CREATOR, "retire_pattern", json!({"id": 0}), 1, 0),
        (CREATOR, "release_deposit", json!({"id": 1}), 1, 100 * MILLI),
        (USER, "drop_receipt", json!({"id": 0}), 1, MILLI / 2),
        (STRANGER, "sync_reputation", json!({"account": CREATOR}), 0, 0),
        (USER, "record_fl_contribution", json!({"model": "m", "gradient_hash": hash_of(1).0}), 4 * MILLI, 0),
        (OWNER, "withdraw_fees", json!({"amount": "1000", "to": OWNER}), 1, 1_000),
        (OWNER, "set_fee_rate", json!({"bps": 400}), 1, 0),
        (OWNER, "stage_upgrade", json!({"code_hash": "00".repeat(32)}), 1, 0),
        (OWNER, "propose_owner", json!({"account": STRANGER}), 1, 0),
        (STRANGER, "accept_owner", json!({}), 1, 0),
    ] {
        let before = it.balance(who);
        let outcome = it.call(who, method, args, deposit);
        assert!(outcome.receipts.iter().all(|ran| ran.result.is_ok()), "{method}: {outcome:?}");
        assert_eq!(it.balance(who) + deposit - before, earns, "{method}");
    }
    let info = it.view("info", json!({}));
    assert_eq!((&info["paused"], &info["ledger"]["in_flight"]), (&json!(true), &json!("0")));
}

#[test]
fn everything_can_be_looked_at_during_a_pause() {
    let mut it = collective();
    let hash = hash_of(0).0;
    let contribution = json!({"model": "llama3.2:3b", "gradient_hash": hash});
    it.call(USER, "record_fl_contribution", contribution, 4 * MILLI).value();
    let looks = [
        (REGISTRY, "get_pattern", json!({"id": 0})),
        (REGISTRY, "pattern_by_hash", json!({"creator": CREATOR, "hash": hash})),
        (REGISTRY, "patterns_by_creator", json!({"creator": CREATOR, "from_index": 0, "limit": 50})),
        (REGISTRY, "find_patterns", json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 50})),
        (REGISTRY, "changes", json!({"from_seq": 0, "limit": 50})),
        (REGISTRY, "receipt", json!({"id": 0, "account": USER})),
        (REGISTRY, "claimable", json!({"account": CREATOR})),
        (REGISTRY, "fl_contribution", json!({"account": USER, "model": "llama3.2:3b"})),
        (REPUTATION, "get_reputation", json!({"account": CREATOR})),
    ];
    let look = |it: &Collective| -> Vec<Value> {
        let seen = |(contract, method, args): &(&str, &str, Value)| {
            it.world.view(contract, method, args).unwrap_or_else(|why| panic!("{method}: {why}")).0
        };
        looks.iter().map(seen).collect()
    };
    let before = look(&it);
    for contract in [REGISTRY, REPUTATION] {
        it.world.transact(OWNER, contract, vec![pause()]).result.expect("it pauses");
    }
    assert_eq!(look(&it), before);
    assert!(before.iter().all(|value| !value.is_null() && *value != json!([])), "there is nothing to see: {before:?}");
}

#[test]
fn a_transfer_under_way_is_booked_though_a_pause_came_between() {
    for arrives in [true, false] {
        let mut it = collective();
        let quote = it.view("quote", json!({"id": 0, "account": USER}));
        let using = json!({"id": 0, "expected_hash": quote["hash"], "max_price": quote["price"], "nth": 2});
        let before = it.balance(CREATOR);
        it.world.begin(USER, REGISTRY, vec![call("use_pattern", using, PRICE)]);
        it.world.step().expect("the use").result.expect("it succeeds");
        it.world.begin(OWNER, REGISTRY, vec![pause()]); // runs after the transfer, and before what books it
        let gone = if arrives { None } else { it.world.accounts.remove_entry(CREATOR) };
        let rest: Vec<_> = core::iter::from_fn(|| it.world.step()).collect();
        it.world.accounts.extend(gone);
        let methods: Vec<_> = rest.iter().filter_map(|ran| ran.method.as_deref()).collect();
        assert_eq!(methods, ["pause", "on_transfer"]);
        let booked = rest.last().expect("the callback");
        assert!(booked.result.is_ok(), "{rest:?}");
        let info = it.view("info", json!({}));
        assert_eq!((&info["paused"], &info["ledger"]["in_flight"]), (&json!(true), &json!("0")));
        assert_eq!(booked.logs.iter().any(|log| log.contains("transfer_failed")), !arrives);
        let share = PRICE * 95 / 100;
        let waits = it.view("claimable", json!({"account": CREATOR}));
        assert_eq!(amount(&waits), if arrives { 0 } else { share });
        if !arrives {
            it.call(CREATOR, "claim", json!({}), 0).value();
        }
        assert_eq!(it.balance(CREATOR) - before, share);
    }
}

#[test]
fn a_rating_under_way_ends_though_a_pause_came_between() {
    for counted in [true, false] {
        let mut it = collective();
        it.world.begin(USER, REGISTRY, vec![rating()]);
        it.world.step().expect("the rating").result.expect("it is sent");
        it.world.begin(OWNER, REGISTRY, vec![pause()]);
        it.world.fault = Box::new(move |receipt| !counted && receipt.receiver == REPUTATION);
        let rest: Vec<_> = core::iter::from_fn(|| it.world.step()).collect();
        it.world.fault = Box::new(|_| false);
        let methods: Vec<_> = rest.iter().filter_map(|ran| ran.method.as_deref()).collect();
        assert_eq!(methods, ["update_reputation", "pause", "on_reputation"]);
        let info = it.view("info", json!({}));
        assert_eq!(
            (&info["paused"], &info["pending_ratings"], &info["ledger"]["in_flight"]),
            (&json!(true), &json!(0), &json!("0"))
        );
        assert_eq!(it.view("receipt", json!({"id": 0, "account": USER}))["rated"], json!(u8::from(counted)));
        let found =
            it.view("find_patterns", json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 1}));
        assert_eq!(found[0]["score"], if counted { json!(583) } else { json!(500) }, "and is mirrored");
    }
}

#[test]
fn a_rating_that_the_other_contract_refuses_as_it_is_paused_has_not_been() {
    let mut it = collective();
    it.world.transact(OWNER, REPUTATION, vec![pause()]).result.expect("it pauses");
    let before = (it.view("info", json!({})), it.world.accounts[REGISTRY].storage.clone(), it.balance(REGISTRY));
    let outcome = it.rate(USER, 0, 5);
    assert_eq!(outcome.value(), json!({"weight": 0}));
    let refused = outcome.receipts.iter().find(|ran| ran.receiver == REPUTATION).expect("it was asked");
    assert!(refused.result.as_ref().is_err_and(|why| why.contains("ERR_PAUSED")), "{refused:?}");
    let failed = r#""event":"rating_failed","data":{"id":0,"account":"user.test"}"#;
    assert!(outcome.logs().any(|log| log.contains(failed)), "{outcome:?}");
    assert_eq!(it.view("info", json!({})), before.0);
    assert!(it.world.accounts[REGISTRY].storage == before.1, "it is as if it had never been");
    assert_eq!(it.balance(REGISTRY), before.2);
    assert_eq!(it.reputation(CREATOR)["version"], json!(0));
    // what is known there can be asked as ever, and here everything but ratings goes on
    it.call(STRANGER, "sync_reputation", json!({"account": CREATOR}), 0).value();
    it.buy(USER, 0).value();
    it.world.call(OWNER, REPUTATION, "resume", &json!({}), 1).value();
    let weights = [it.rate(USER, 0, 5).value(), it.rate(USER, 0, 5).value()];
    assert_eq!(weights, [json!({"weight": 1_000}), json!({"weight": 500})], "each use as if none had failed");
}
