//! What cheats try, and what they get.

use mycel_vm::{amount, calling, hash_of, Collective, BYTE, CREATOR, DAY, DEPOSIT, MILLI, NEAR, OWNER, REGISTRY, USER};
use serde_json::{json, Value};

const MALLORY: &str = "mallory.test";
/// Whose fee is 0.01 N: a rating has its full weight.
const PRICE: u128 = 200 * MILLI;

fn collective() -> Collective {
    let mut it = Collective::default();
    it.world.account(MALLORY, 100 * NEAR);
    it
}

fn using(id: u64, quote: &Value) -> Value {
    json!({"id": id, "expected_hash": quote["hash"], "max_price": quote["price"], "nth": quote["nth"]})
}

#[test]
fn a_price_raised_before_the_purchase_arrives_buys_nothing() {
    let mut it = collective();
    let id = it.register(MALLORY, 1, "mail", MILLI);
    let quote = it.view("quote", json!({"id": id, "account": USER}));
    it.call(MALLORY, "set_price", json!({"id": id, "price_per_use": (50 * NEAR).to_string()}), 1).value();
    let before = it.balance(USER);
    // even who attaches far more than was asked pays no more than was agreed to
    let outcome = it.call(USER, "use_pattern", using(id, &quote), 60 * NEAR);
    assert!(outcome.error().contains("ERR_PRICE"), "{}", outcome.error());
    assert_eq!(it.balance(USER), before);
}

#[test]
fn a_manifest_changed_before_the_purchase_arrives_buys_nothing() {
    let mut it = collective();
    let id = it.register(MALLORY, 1, "mail", MILLI);
    let quote = it.view("quote", json!({"id": id, "account": USER}));
    let (hash, cid) = hash_of(2);
    it.call(MALLORY, "update_pattern", json!({"id": id, "pattern_hash": hash, "metadata_cid": cid}), 1).value();
    let before = it.balance(USER);
    let outcome = it.call(USER, "use_pattern", using(id, &quote), amount(&quote["total"]));
    assert!(outcome.error().contains("ERR_CHANGED"), "{}", outcome.error());
    assert_eq!(it.balance(USER), before);
}

#[test]
fn who_registers_the_hash_of_another_first_keeps_nobody_out_and_shows_its_own_name() {
    let mut it = collective();
    let squatted = it.register(MALLORY, 1, "mail", MILLI);
    let own = it.register(CREATOR, 1, "mail", MILLI);
    assert_ne!(squatted, own);
    let by = |it: &Collective, creator: &str| {
        it.view("pattern_by_hash", json!({"creator": creator, "hash": hash_of(1).0}))["id"].as_u64()
    };
    assert_eq!((by(&it, CREATOR), by(&it, MALLORY)), (Some(own), Some(squatted)));
    assert_eq!(
        it.view("get_pattern", json!({"id": squatted}))["creator"],
        json!(MALLORY),
        "a buyer compares this with the manifest"
    );
    it.call(MALLORY, "retire_pattern", json!({"id": squatted}), 1).value();
    it.buy(USER, own).value();
}

#[test]
fn nobody_takes_a_contract_over_between_its_deployment_and_its_first_call() {
    let mut it = collective();
    let args = json!({"owner": MALLORY, "reputation": MALLORY});
    assert!(
        it.call(MALLORY, "new", args, 0).result.is_err(),
        "it begins in the receipt that deploys it, and never again"
    );
    assert_eq!(it.view("info", json!({}))["owner"], json!(OWNER));
}

#[test]
fn what_waits_is_claimed_once() {
    let mut it = collective();
    let id = it.register(MALLORY, 1, "mail", NEAR);
    let mallory = it.world.accounts.remove(MALLORY).expect("it was there");
    it.buy(USER, id).value();
    it.world.accounts.insert(MALLORY.to_owned(), mallory);
    let before = it.balance(MALLORY);
    let claim = || calling("claim", b"{}".to_vec(), 0);
    // both in one: all or none
    assert!(it.world.transact(MALLORY, REGISTRY, vec![claim(), claim()]).error().contains("ERR_UNKNOWN"));
    assert_eq!(it.balance(MALLORY), before);
    // and before the first has arrived
    it.world.begin(MALLORY, REGISTRY, vec![claim()]);
    it.world.begin(MALLORY, REGISTRY, vec![claim()]);
    while it.world.step().is_some() {}
    assert_eq!(it.balance(MALLORY) - before, NEAR * 95 / 100);
    let info = it.view("info", json!({}));
    assert_eq!((&info["ledger"]["claimable"], &info["ledger"]["in_flight"]), (&json!("0"), &json!("0")));
}

#[test]
fn a_use_is_rated_once_however_the_ratings_arrive() {
    let mut it = collective();
    let id = it.register(CREATOR, 1, "mail", PRICE);
    it.buy(USER, id).value();
    let rating =
        || calling("rate_pattern", json!({"id": id, "success": true, "rating": 5}).to_string().into_bytes(), 0);
    it.world.begin(USER, REGISTRY, vec![rating()]);
    it.world.begin(USER, REGISTRY, vec![rating()]);
    while it.world.step().is_some() {}
    assert_eq!(it.reputation(CREATOR)["successes"], json!(1));
    it.buy(USER, id).value();
    it.world.now += 40 * DAY;
    it.rate(USER, id, 5).value();
    it.call(USER, "drop_receipt", json!({"id": id}), 1).value();
    assert!(it.rate(USER, id, 5).result.is_err(), "a dropped receipt rates nothing");
    it.buy(USER, id).value();
    assert_eq!(
        it.rate(USER, id, 5).value(),
        json!({"weight": 333}),
        "the third weighs a third, though the receipt was dropped"
    );
    assert!(it.rate(USER, id, 5).error().contains("ERR_RATED"), "and a use buys one rating, not two");
}

#[test]
fn what_was_dropped_unrated_is_rated_no_more() {
    let mut it = collective();
    let id = it.register(CREATOR, 1, "mail", PRICE);
    it.buy(USER, id).value();
    it.world.now += 31 * DAY;
    it.call(USER, "drop_receipt", json!({"id": id}), 1).value();
    it.buy(USER, id).value();
    assert_eq!(
        it.rate(USER, id, 5).value(),
        json!({"weight": 500}),
        "its own fee, all of it, as the second of one account"
    );
    assert!(it.rate(USER, id, 5).error().contains("ERR_RATED"));
}

#[test]
fn a_price_raised_after_the_purchase_makes_no_rating_heavier() {
    let mut it = collective();
    let id = it.register(MALLORY, 1, "mail", 1);
    for _ in 0..3 {
        it.buy(USER, id).value();
    }
    it.call(MALLORY, "set_price", json!({"id": id, "price_per_use": PRICE.to_string()}), 1).value();
    assert_eq!(it.rate(USER, id, 5).value(), json!({"weight": 0}), "what cost nothing says nothing");
    it.buy(USER, id).value();
    // its fee is shared by the three that are not rated: a third of the full weight, and the second and third of one account
    let weights: Vec<_> = (0..3).map(|_| it.rate(USER, id, 5).value()["weight"].as_u64()).collect();
    assert_eq!(weights, [Some(166), Some(111), Some(83)]);
}

#[test]
fn praising_oneself_costs_what_the_docs_print() {
    let mut it = collective();
    let id = it.register(MALLORY, 1, "mail", PRICE);
    let own = it.call(
        MALLORY,
        "use_pattern",
        json!({"id": id, "expected_hash": hash_of(1).0, "max_price": PRICE.to_string(), "nth": 1}),
        NEAR,
    );
    assert!(own.error().contains("ERR_NOT_ALLOWED"), "{}", own.error());
    // so it takes other accounts, and a fee for each rating
    let together = |it: &Collective| -> u128 {
        it.world
            .accounts
            .iter()
            .filter(|(id, _)| id.starts_with("puppet") || id.as_str() == MALLORY)
            .map(|(_, account)| account.balance)
            .sum()
    };
    let (mut puppets, mut began, mut accounts) = (0, together(&it), 0);
    while it.reputation(MALLORY)["score"].as_u64() < Some(900) {
        let puppet = format!("puppet{puppets}.test");
        it.world.account(&puppet, NEAR);
        (puppets, began, accounts) = (puppets + 1, began + NEAR, accounts + 7 * MILLI); // 0.007 N burn when an account is made
        it.buy(&puppet, id).value();
        it.rate(&puppet, id, 5).value();
    }
    let cost = began - together(&it) + accounts;
    assert_eq!(puppets, 20, "(5 · 500 + 1000 w) / (5 + w) = 900");
    assert!((400 * MILLI..450 * MILLI).contains(&cost), "{} mN", cost / MILLI);
}

#[test]
fn a_bad_name_is_not_washed_off_by_beginning_anew() {
    let mut it = collective();
    let id = it.register(MALLORY, 1, "mail", PRICE);
    it.buy(USER, id).value();
    it.call(USER, "rate_pattern", json!({"id": id, "success": false, "rating": 1}), 0).value();
    let bad = it.reputation(MALLORY)["score"].clone();
    assert!(bad.as_u64() < Some(500));
    it.call(MALLORY, "retire_pattern", json!({"id": id}), 1).value();
    it.register(MALLORY, 1000, "mail", PRICE);
    let found = it.view("find_patterns", json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 50}));
    assert_eq!(found[0]["score"], bad, "a new pattern has the old name");
    // a new account begins at 500, not above, and pays storage and deposit again
    it.world.account("fresh.test", NEAR);
    it.register("fresh.test", 1001, "mail", PRICE);
    let found =
        it.view("find_patterns", json!({"domain": "mail", "min_reputation": 500, "from_index": 0, "limit": 50}));
    assert_eq!((found.as_array().map(Vec::len), &found[0]["score"]), (Some(1), &json!(500)));
    assert_eq!(NEAR - it.balance("fresh.test"), DEPOSIT);
}

#[test]
fn a_crowd_of_patterns_of_one_creator_hides_nobody() {
    let mut it = collective();
    it.register(CREATOR, 1, "mail", 1);
    for seed in 100..130 {
        it.register(MALLORY, seed, "mail", 1);
    }
    let found = it.view("find_patterns", json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 50}));
    let creators: Vec<_> =
        found.as_array().expect("a list").iter().map(|one| one["creator"].as_str().unwrap_or("")).collect();
    assert_eq!(creators, [MALLORY, MALLORY, MALLORY, CREATOR], "the newest three of each");
    for domain in 0..7 {
        it.register(MALLORY, 200 + domain, &format!("d{domain}"), 1);
    }
    let (hash, cid) = hash_of(300);
    let ninth = json!({"pattern_hash": hash, "metadata_cid": cid, "domain": "ninth", "price_per_use": "1"});
    assert!(it.call(MALLORY, "register_pattern", ninth, DEPOSIT).error().contains("ERR_FULL"));
}

#[test]
fn storage_is_not_filled_at_the_cost_of_others() {
    let mut it = collective();
    let spent = |it: &Collective| it.world.accounts[REGISTRY].usage;
    let (before, ledger) = (spent(&it), amount(&it.view("info", json!({}))["ledger"]["storage"]));
    for round in 0..20 {
        let id = it.register(MALLORY, round, "mail", 0);
        it.buy(USER, id).value();
        it.call(MALLORY, "set_price", json!({"id": id, "price_per_use": "1"}), 1).value();
        it.call(MALLORY, "retire_pattern", json!({"id": id}), 1).value();
    }
    let paid = amount(&it.view("info", json!({}))["ledger"]["storage"]) - ledger;
    assert!(u128::from(spent(&it) - before) * BYTE <= paid);
}
