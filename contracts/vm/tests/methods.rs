//! Each method does what docs/contracts.md says, and refuses the rest with a sentence; what was attached comes back.

use mycel_vm::{amount, hash_of, Collective, CREATOR, DAY, DEPOSIT, MILLI, NEAR, OWNER, REPUTATION, USER};
use serde_json::{json, Value};

const STRANGER: &str = "stranger.test";

fn collective() -> Collective {
    let mut it = Collective::default();
    it.world.account(STRANGER, 10 * NEAR);
    it
}

#[test]
fn a_pattern_is_registered_changed_priced_and_retired() {
    let mut it = collective();
    let (hash, cid) = hash_of(1);
    let args = json!({"pattern_hash": hash, "metadata_cid": cid, "domain": "mail", "price_per_use": "10"});
    let before = it.balance(CREATOR);
    let outcome = it.call(CREATOR, "register_pattern", args.clone(), DEPOSIT + 7 * MILLI);
    assert_eq!(outcome.value(), json!(0));
    assert_eq!(before - it.balance(CREATOR), DEPOSIT, "what is attached beyond the need goes back");
    assert!(outcome.logs().any(|log| log.contains(r#""standard":"mycel-registry""#) && log.contains("registered")));
    let pattern = it.view("get_pattern", json!({"id": 0}));
    assert_eq!(
        (&pattern["creator"], &pattern["pattern_hash"], &pattern["metadata_cid"]),
        (&json!(CREATOR), &json!(hash), &json!(cid))
    );
    assert_eq!((&pattern["price_per_use"], &pattern["version"], &pattern["seq"]), (&json!("10"), &json!(1), &json!(0)));
    assert_eq!(it.view("pattern_by_hash", json!({"creator": CREATOR, "hash": hash})), pattern);
    assert_eq!(it.view("pattern_by_hash", json!({"creator": USER, "hash": hash})), Value::Null);

    it.refused(CREATOR, "register_pattern", args.clone(), DEPOSIT, "ERR_EXISTS: registered as 0 already");
    it.refused(USER, "register_pattern", args.clone(), DEPOSIT - 1, "ERR_DEPOSIT");
    let (_, other) = hash_of(2);
    for (field, wrong) in [
        ("metadata_cid", json!(other)),
        ("domain", json!("Mail")),
        ("domain", json!("")),
        ("domain", json!("m".repeat(33))),
    ] {
        let mut args = args.clone();
        args[field] = wrong;
        it.refused(USER, "register_pattern", args, DEPOSIT, "ERR_FIELD");
    }
    let mut args = args;
    args["pattern_hash"] = json!(hash.to_uppercase());
    it.refused(USER, "register_pattern", args, DEPOSIT, "64 lower-case hex digits");

    let (hash, cid) = hash_of(2);
    let update = json!({"id": 0, "pattern_hash": hash, "metadata_cid": cid});
    it.refused(USER, "update_pattern", update.clone(), 1, "ERR_NOT_ALLOWED: only the creator");
    it.refused(CREATOR, "update_pattern", update.clone(), 0, "ERR_ONE_YOCTO");
    it.refused(CREATOR, "update_pattern", update.clone(), 2, "ERR_ONE_YOCTO");
    assert_eq!(it.call(CREATOR, "update_pattern", update.clone(), 1).value(), json!(2));
    it.refused(CREATOR, "update_pattern", update, 1, "ERR_EXISTS");
    it.refused(
        CREATOR,
        "update_pattern",
        json!({"id": 9, "pattern_hash": hash, "metadata_cid": cid}),
        1,
        "ERR_UNKNOWN",
    );
    assert_eq!(it.view("pattern_by_hash", json!({"creator": CREATOR, "hash": hash_of(1).0})), Value::Null);
    assert_eq!(it.view("pattern_by_hash", json!({"creator": CREATOR, "hash": hash}))["version"], json!(2));

    assert_eq!(it.call(CREATOR, "set_price", json!({"id": 0, "price_per_use": "20"}), 1).value(), json!(2));
    assert_eq!(it.view("get_pattern", json!({"id": 0}))["price_per_use"], json!("20"));

    it.refused(CREATOR, "release_deposit", json!({"id": 0}), 1, "not retired");
    it.call(CREATOR, "retire_pattern", json!({"id": 0}), 1).value();
    it.refused(CREATOR, "retire_pattern", json!({"id": 0}), 1, "ERR_RETIRED");
    it.refused(CREATOR, "set_price", json!({"id": 0, "price_per_use": "1"}), 1, "ERR_RETIRED");
    it.refused(CREATOR, "release_deposit", json!({"id": 0}), 1, "ERR_EARLY");
    it.world.now += 30 * DAY;
    it.refused(USER, "release_deposit", json!({"id": 0}), 1, "ERR_NOT_ALLOWED");
    let before = it.balance(CREATOR);
    assert_eq!(amount(&it.call(CREATOR, "release_deposit", json!({"id": 0}), 1).value()), 100 * MILLI);
    assert_eq!(it.balance(CREATOR) + 1 - before, 100 * MILLI);
    it.refused(CREATOR, "release_deposit", json!({"id": 0}), 1, "given back");
    assert_eq!(
        it.view("find_patterns", json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 50})),
        json!([])
    );
}

#[test]
fn a_use_pays_the_creator_and_leaves_a_receipt() {
    let mut it = collective();
    let id = it.register(CREATOR, 1, "mail", 999_999);
    let quote = it.view("quote", json!({"id": id, "account": USER}));
    assert_eq!((&quote["price"], &quote["fee"], &quote["nth"]), (&json!("999999"), &json!("49999"), &json!(1)));
    let (hash, total) = (quote["hash"].clone(), amount(&quote["total"]));
    let using =
        |hash: &Value, max: &str, nth: u32| json!({"id": id, "expected_hash": hash, "max_price": max, "nth": nth});
    it.refused(USER, "use_pattern", using(&hash, "999998", 1), total, "ERR_PRICE: the price is 999999");
    it.refused(USER, "use_pattern", using(&json!(hash_of(9).0), "999999", 1), total, "ERR_CHANGED");
    it.refused(USER, "use_pattern", using(&hash, "999999", 2), total, "ERR_NTH: the next use is number 1");
    it.refused(USER, "use_pattern", using(&hash, "999999", 1), total - 1, "ERR_DEPOSIT");
    it.refused(CREATOR, "use_pattern", using(&hash, "999999", 1), total, "ERR_NOT_ALLOWED");
    let (user, creator) = (it.balance(USER), it.balance(CREATOR));
    let outcome = it.call(USER, "use_pattern", using(&hash, "999999", 1), total + 5);
    assert_eq!(outcome.value(), json!({"nth": 1, "version": 1, "price": "999999", "fee": "49999", "refunded": "5"}));
    assert_eq!(it.balance(CREATOR) - creator, 950_000, "the creator has the price without the fee");
    assert_eq!(user - it.balance(USER), total);
    assert_eq!(it.view("info", json!({}))["ledger"]["fees"], json!("49999"));
    let receipt = it.view("receipt", json!({"id": id, "account": USER}));
    assert_eq!(
        (&receipt["uses"], &receipt["rated"], &receipt["paid"], &receipt["hash"]),
        (&json!(1), &json!(0), &json!("999999"), &hash)
    );
    it.refused(USER, "use_pattern", using(&hash, "999999", 1), total, "ERR_NTH: the next use is number 2");
    let before = it.balance(USER);
    it.buy(USER, id).value();
    assert_eq!(before - it.balance(USER), 999_999, "the storage of a receipt is paid once");

    it.refused(USER, "drop_receipt", json!({"id": id}), 1, "ERR_EARLY");
    it.world.now += 30 * DAY;
    it.refused(STRANGER, "drop_receipt", json!({"id": id}), 1, "ERR_UNKNOWN");
    let back = amount(&it.call(USER, "drop_receipt", json!({"id": id}), 1).value());
    assert_eq!(it.view("receipt", json!({"id": id, "account": USER}))["uses"], json!(2), "the counts stay");
    it.refused(USER, "use_pattern", using(&hash, "999999", 1), total, "ERR_NTH: the next use is number 3");
    assert_eq!(
        amount(&it.view("quote", json!({"id": id, "account": USER}))["storage"]),
        back,
        "and is bought again for what came back"
    );
    it.call(CREATOR, "retire_pattern", json!({"id": id}), 1).value();
    it.refused(USER, "use_pattern", using(&hash, "999999", 3), total, "ERR_RETIRED");
}

#[test]
fn who_paid_rates_each_use_once_and_the_registry_mirrors_the_score() {
    let mut it = collective();
    let id = it.register(CREATOR, 1, "mail", 200 * MILLI); // 5 % of it are 0.01 N: the full weight
    it.refused(USER, "rate_pattern", json!({"id": id, "success": true, "rating": 5}), 0, "ERR_UNKNOWN");
    it.buy(USER, id).value();
    for rating in [0, 6] {
        it.refused(USER, "rate_pattern", json!({"id": id, "success": true, "rating": rating}), 0, "ERR_FIELD");
    }
    assert_eq!(it.rate(USER, id, 5).value(), json!({"weight": 1_000}));
    it.refused(USER, "rate_pattern", json!({"id": id, "success": true, "rating": 5}), 0, "ERR_RATED");
    let score = (5 * 500 + 1_000) / 6;
    let known = it.reputation(CREATOR);
    assert_eq!((&known["score"], &known["successes"], &known["version"]), (&json!(score), &json!(1), &json!(1)));
    let found =
        it.view("find_patterns", json!({"domain": "mail", "min_reputation": score, "from_index": 0, "limit": 1}));
    assert_eq!((&found[0]["id"], &found[0]["score"]), (&json!(id), &json!(score)));
    assert_eq!(
        it.view("find_patterns", json!({"domain": "mail", "min_reputation": score + 1, "from_index": 0, "limit": 1})),
        json!([])
    );
    it.buy(USER, id).value();
    it.call(USER, "rate_pattern", json!({"id": id, "success": false, "rating": 1}), 0).value();
    let known = it.reputation(CREATOR);
    assert_eq!(
        (&known["failures"], &known["weight"]),
        (&json!(1), &json!(1_500)),
        "the second of one account weighs half"
    );

    it.world.now += 180 * DAY;
    assert_eq!(it.reputation(CREATOR)["weight"], json!(750), "half of it is left after 180 days");
    it.refused(STRANGER, "sync_reputation", json!({"account": STRANGER}), 0, "ERR_UNKNOWN");
    it.call(STRANGER, "sync_reputation", json!({"account": CREATOR}), 0).value();
    let faded = it.reputation(CREATOR)["score"].clone();
    let found = it.view("find_patterns", json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 1}));
    assert!(faded.as_u64() < Some(score), "{faded}");
    assert_eq!(found[0]["score"], faded, "what has faded is mirrored, too");
}

#[test]
fn a_free_pattern_earns_no_reputation_and_asks_nobody() {
    let mut it = collective();
    let id = it.register(CREATOR, 1, "mail", 0);
    it.buy(USER, id).value();
    let outcome = it.rate(USER, id, 5);
    assert_eq!(outcome.value(), json!({"weight": 0}));
    assert_eq!(outcome.receipts.len(), 1, "the other contract is not called");
    assert_eq!(it.reputation(CREATOR)["version"], json!(0));
    assert_eq!(it.reputation(CREATOR)["score"], json!(500), "of whom nothing is known");
}

#[test]
fn what_cannot_be_paid_is_claimed() {
    let mut it = collective();
    let id = it.register(CREATOR, 1, "mail", NEAR);
    let gone = it.world.accounts.remove(CREATOR).expect("it was there");
    assert_eq!(it.buy(USER, id).value()["nth"], json!(1), "the purchase happened all the same");
    assert_eq!(it.view("claimable", json!({"account": CREATOR})), json!((NEAR * 95 / 100).to_string()));
    it.world.accounts.insert(CREATOR.to_owned(), gone);
    let before = it.balance(CREATOR);
    it.call(CREATOR, "claim", json!({}), 0).value();
    assert_eq!(it.balance(CREATOR) - before, NEAR * 95 / 100);
    it.refused(CREATOR, "claim", json!({}), 0, "ERR_UNKNOWN");
    let ledger = it.view("info", json!({}))["ledger"].clone();
    assert_eq!((&ledger["claimable"], &ledger["in_flight"]), (&json!("0"), &json!("0")));
}

#[test]
fn contributions_are_counted() {
    let mut it = collective();
    let args = json!({"model": "llama3.2:3b", "gradient_hash": hash_of(1).0});
    it.refused(USER, "record_fl_contribution", args.clone(), 0, "ERR_DEPOSIT");
    it.refused(
        USER,
        "record_fl_contribution",
        json!({"model": "a b", "gradient_hash": hash_of(1).0}),
        NEAR,
        "ERR_FIELD",
    );
    assert_eq!(it.call(USER, "record_fl_contribution", args.clone(), 4 * MILLI).value(), json!(1));
    assert_eq!(it.call(USER, "record_fl_contribution", args, 0).value(), json!(2), "S once, then nothing");
    assert_eq!(it.view("fl_contribution", json!({"account": USER, "model": "llama3.2:3b"}))["count"], json!(2));
}

#[test]
fn the_owner_pauses_sets_fees_a_week_ahead_and_hands_over() {
    let mut it = collective();
    let id = it.register(CREATOR, 1, "mail", NEAR);
    it.buy(USER, id).value();
    for method in ["pause", "resume"] {
        it.refused(USER, method, json!({}), 1, "ERR_NOT_ALLOWED: only the owner");
        it.refused(OWNER, method, json!({}), 0, "ERR_ONE_YOCTO");
    }
    it.call(OWNER, "pause", json!({}), 1).value();
    let (hash, cid) = hash_of(2);
    let registering = json!({"pattern_hash": hash, "metadata_cid": cid, "domain": "mail", "price_per_use": "0"});
    it.refused(CREATOR, "register_pattern", registering, DEPOSIT, "ERR_PAUSED");
    it.refused(
        CREATOR,
        "update_pattern",
        json!({"id": id, "pattern_hash": hash, "metadata_cid": cid}),
        1,
        "ERR_PAUSED",
    );
    it.refused(USER, "rate_pattern", json!({"id": id, "success": true, "rating": 5}), 0, "ERR_PAUSED");
    let quote = it.view("quote", json!({"id": id, "account": USER}));
    assert_eq!(quote["paused"], json!(true));
    let using = json!({"id": id, "expected_hash": quote["hash"], "max_price": quote["price"], "nth": quote["nth"]});
    it.refused(USER, "use_pattern", using, amount(&quote["total"]), "ERR_PAUSED");
    it.call(CREATOR, "retire_pattern", json!({"id": id}), 1).value(); // never paused
    it.call(OWNER, "resume", json!({}), 1).value();

    it.refused(OWNER, "set_fee_rate", json!({"bps": 1_001}), 1, "ERR_FIELD");
    it.call(OWNER, "set_fee_rate", json!({"bps": 1_000}), 1).value();
    assert_eq!(it.view("info", json!({}))["fee_bps"], json!(500));
    it.world.now += 7 * DAY;
    assert_eq!(it.view("info", json!({}))["fee_bps"], json!(1_000));

    it.refused(OWNER, "withdraw_fees", json!({"amount": (NEAR / 20 + 1).to_string(), "to": OWNER}), 1, "ERR_FIELD");
    it.refused(USER, "withdraw_fees", json!({"amount": "1", "to": USER}), 1, "ERR_NOT_ALLOWED");
    let before = it.balance(STRANGER);
    it.call(OWNER, "withdraw_fees", json!({"amount": (NEAR / 20).to_string(), "to": STRANGER}), 1).value();
    assert_eq!(it.balance(STRANGER) - before, NEAR / 20);

    it.call(OWNER, "propose_owner", json!({"account": USER}), 1).value();
    it.refused(STRANGER, "accept_owner", json!({}), 1, "ERR_NOT_ALLOWED");
    it.call(USER, "accept_owner", json!({}), 1).value();
    assert_eq!(it.view("info", json!({}))["owner"], json!(USER));
    it.refused(OWNER, "pause", json!({}), 1, "ERR_NOT_ALLOWED");
}

#[test]
fn nobody_calls_what_is_private_or_begins_twice() {
    let mut it = collective();
    for method in ["migrate", "on_transfer", "on_reputation"] {
        it.refused(OWNER, method, json!({}), 0, "is private");
    }
    it.refused(OWNER, "new", json!({"owner": USER, "reputation": USER}), 0, "already been initialized");
    let rating = json!({"account": CREATOR, "pattern_id": 0, "outcome": {"Success": {"rating": 5}}, "weight": 1_000});
    let outcome = it.world.call(USER, REPUTATION, "update_reputation", &rating, 3 * MILLI);
    assert!(outcome.error().contains("ERR_NOT_ALLOWED: only the registry"), "{}", outcome.error());
}

#[test]
fn changes_stand_in_order_and_each_pattern_where_it_changed_last() {
    let mut it = collective();
    let ids: Vec<_> = (0..60).map(|seed| it.register(CREATOR, seed, "mail", 1)).collect();
    it.call(CREATOR, "set_price", json!({"id": ids[3], "price_per_use": "2"}), 1).value();
    it.call(CREATOR, "retire_pattern", json!({"id": ids[5]}), 1).value();
    let page = it.view("changes", json!({"from_seq": 0, "limit": 50}));
    assert_eq!(page["items"].as_array().expect("a list").len(), 50);
    let rest = it.view("changes", json!({"from_seq": page["next_seq"], "limit": 500}));
    let seqs: Vec<_> = [&page, &rest]
        .iter()
        .flat_map(|page| page["items"].as_array().expect("a list"))
        .map(|item| (item["seq"].as_u64(), item["pattern"]["id"].as_u64()))
        .collect();
    assert_eq!(seqs.len(), 60);
    assert!(seqs.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(seqs[58..], [(Some(60), Some(ids[3])), (Some(61), Some(ids[5]))]);
    assert_eq!(
        it.view("changes", json!({"from_seq": rest["next_seq"], "limit": 50})),
        json!({"items": [], "next_seq": 62})
    );
    assert_eq!(it.view("info", json!({}))["seq"], json!(62));
    let by = it.view("patterns_by_creator", json!({"creator": CREATOR, "from_index": 58, "limit": 50}));
    assert_eq!(
        by.as_array().expect("a list").iter().map(|one| one["id"].as_u64()).collect::<Vec<_>>(),
        [Some(ids[58]), Some(ids[59])]
    );
}
