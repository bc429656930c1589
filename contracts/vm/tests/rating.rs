//! A rating counts once or not at all, whatever fails on its way to the other contract and back.

use mycel_vm::{calling, Action, Collective, CREATOR, DAY, MILLI, NEAR, REGISTRY, REPUTATION, TGAS, USER};
use serde_json::{json, Value};

const STRANGER: &str = "stranger.test";
/// Whose fee is 0.01 N: a rating has its full weight.
const PRICE: u128 = 200 * MILLI;

fn collective() -> Collective {
    let mut it = Collective::default();
    it.world.account(STRANGER, 10 * NEAR);
    it.register(CREATOR, 1, "mail", PRICE);
    it.buy(USER, 0).value();
    it
}

fn args(success: bool, rating: u8) -> Value {
    json!({"id": 0, "success": success, "rating": rating})
}

/// The creator's score, as the registry mirrors it.
fn mirrored(it: &Collective) -> Value {
    let page = json!({"domain": "mail", "min_reputation": 0, "from_index": 0, "limit": 1});
    it.view("find_patterns", page)[0]["score"].clone()
}

fn receipt(it: &Collective, user: &str) -> (Value, Value) {
    let found = it.view("receipt", json!({"id": 0, "account": user}));
    (found["uses"].clone(), found["rated"].clone())
}

/// Runs what has begun to its end.
fn settle(it: &mut Collective) {
    while it.world.step().is_some() {}
}

#[test]
fn a_rating_that_does_not_arrive_leaves_the_use_and_its_fee_to_be_rated() {
    let mut it = collective();
    it.buy(USER, 0).value();
    it.world.fault = Box::new(|receipt| receipt.receiver == REPUTATION);
    for _ in 0..3 {
        let (stored, balance) = (it.world.accounts[REGISTRY].storage.clone(), it.balance(REGISTRY));
        let outcome = it.call(USER, "rate_pattern", args(false, 1), 0);
        assert_eq!(outcome.value(), json!({"weight": 0}));
        assert!(outcome.logs().any(|log| log.contains("rating_failed")), "{outcome:?}");
        assert!(it.world.accounts[REGISTRY].storage == stored, "counts, fees and the creator's slot are as they were");
        assert_eq!((it.balance(REGISTRY), receipt(&it, USER)), (balance, (json!(2), json!(0))));
    }
    it.world.fault = Box::new(|_| false);
    let weights = [it.rate(USER, 0, 5).value(), it.rate(USER, 0, 5).value()];
    assert_eq!(weights, [json!({"weight": 1_000}), json!({"weight": 500})], "the first is the first, with its fee");
    it.refused(USER, "rate_pattern", args(true, 5), 0, "ERR_RATED");
    let known = it.reputation(CREATOR);
    assert_eq!((&known["successes"], &known["failures"], &known["version"]), (&json!(2), &json!(0), &json!(2)));
    assert_eq!(it.view("get_pattern", json!({"id": 0}))["ratings"], json!(2));
}

#[test]
fn while_a_rating_is_under_way_there_is_no_second_one_and_its_receipt_stays() {
    let mut it = collective();
    it.buy(USER, 0).value();
    it.world.now += 30 * DAY;
    it.world.begin(USER, REGISTRY, vec![calling("rate_pattern", args(true, 5).to_string().into_bytes(), 0)]);
    it.world.step().expect("the rating").result.expect("it is sent");
    for (method, args, deposit) in [("rate_pattern", args(true, 5), 0), ("drop_receipt", json!({"id": 0}), 1)] {
        it.world.begin(USER, REGISTRY, vec![calling(method, args.to_string().into_bytes(), deposit)]);
        it.world.put_off(); // the answer takes its time
        let why = it.world.step().expect(method).result.expect_err("it is refused");
        assert!(why.contains("ERR_PENDING"), "{method}: {why}");
    }
    settle(&mut it);
    assert_eq!(receipt(&it, USER), (json!(2), json!(1)));
    it.call(USER, "drop_receipt", json!({"id": 0}), 1).value();
}

#[test]
fn a_rating_whose_callback_fails_counts_once_and_no_second_time() {
    let mut it = collective();
    let ours = |receipt: &mycel_vm::Receipt| receipt.method() == Some("on_reputation");
    it.world.fault = Box::new(ours);
    assert!(it.rate(USER, 0, 5).result.is_err(), "the transaction says that something went wrong");
    it.world.fault = Box::new(|_| false);
    let known = it.reputation(CREATOR);
    assert_eq!((&known["successes"], &known["version"], &known["score"]), (&json!(1), &json!(1), &json!(583)));
    assert_eq!(receipt(&it, USER), (json!(1), json!(1)), "what was set first stays");
    // nothing more comes of this receipt: not the same use again, not its storage, and not a later use
    it.refused(USER, "rate_pattern", args(true, 5), 0, "ERR_PENDING");
    it.buy(USER, 0).value();
    it.refused(USER, "rate_pattern", args(true, 5), 0, "ERR_PENDING");
    it.world.now += 30 * DAY;
    it.refused(USER, "drop_receipt", json!({"id": 0}), 1, "ERR_PENDING");
    assert_eq!(it.reputation(CREATOR)["version"], json!(1));
    assert_eq!(it.view("info", json!({}))["pending_ratings"], json!(1), "the books stay open, and say so");
    // the score is mirrored by anybody who asks for it, and others rate as ever
    assert_eq!(mirrored(&it), json!(500));
    it.call(STRANGER, "sync_reputation", json!({"account": CREATOR}), 0).value();
    assert_eq!(mirrored(&it), it.reputation(CREATOR)["score"]);
    it.buy(STRANGER, 0).value();
    assert_eq!(it.rate(STRANGER, 0, 5).value(), json!({"weight": 1_000}));
    assert_eq!(
        (it.reputation(CREATOR)["version"].clone(), mirrored(&it)),
        (json!(2), it.reputation(CREATOR)["score"].clone())
    );
}

#[test]
fn too_little_gas_for_the_callback_is_too_little_for_the_rating() {
    let mut it = collective();
    let call = |gas: u64| {
        let args = args(true, 5).to_string().into_bytes();
        Action::Call { method: "rate_pattern".to_owned(), args, deposit: 0, gas, weight: 0 }
    };
    let enough = (1..100).map(|tgas| tgas * TGAS).find(|gas| {
        let before = it.world.accounts.clone();
        let outcome = it.world.transact(USER, REGISTRY, vec![call(*gas)]);
        if outcome.result.is_ok() {
            return true;
        }
        assert!(outcome.error().contains("Exceeded the prepaid gas"), "{gas}: {}", outcome.error());
        assert_eq!(outcome.receipts.len(), 1, "{gas}: nothing was sent");
        for (id, known) in before {
            let now = &it.world.accounts[&id];
            assert!(now.storage == known.storage && now.balance == known.balance, "{gas}: {id} has changed");
        }
        false
    });
    println!("a rating takes {enough:?} gas");
    assert!(enough.is_some_and(|gas| (20 * TGAS..50 * TGAS).contains(&gas)), "{enough:?}");
    let known = it.reputation(CREATOR);
    assert_eq!((&known["version"], receipt(&it, USER), mirrored(&it)), (&json!(1), (json!(1), json!(1)), json!(583)));
}

#[test]
fn what_was_asked_before_a_rating_and_arrives_after_it_is_not_mirrored() {
    let mut it = collective();
    it.rate(USER, 0, 1).value();
    it.buy(STRANGER, 0).value();
    let old = mirrored(&it);
    // somebody asks for the score; the answer is made, and waits
    let sync = calling("sync_reputation", json!({"account": CREATOR}).to_string().into_bytes(), 0);
    it.world.begin(STRANGER, REGISTRY, vec![sync]);
    for method in ["sync_reputation", "get_reputation"] {
        assert_eq!(it.world.step().expect("a receipt").method.as_deref(), Some(method));
    }
    // meanwhile another rating comes, and all that belongs to it
    let rating = calling("rate_pattern", args(true, 5).to_string().into_bytes(), 0);
    it.world.begin(STRANGER, REGISTRY, vec![rating]);
    for method in ["rate_pattern", "update_reputation", "on_reputation"] {
        it.world.put_off();
        assert_eq!(it.world.step().expect("a receipt").method.as_deref(), Some(method));
    }
    let new = it.reputation(CREATOR);
    assert_eq!((&new["version"], &mirrored(&it)), (&json!(2), &new["score"]));
    assert_ne!(old, new["score"]);
    let last = it.world.step().expect("the answer");
    assert_eq!((last.method.as_deref(), last.result.is_ok()), (Some("on_reputation"), true));
    assert_eq!(last.logs, Vec::<String>::new());
    assert_eq!(mirrored(&it), new["score"], "an older one is not taken");
    assert!(it.world.step().is_none());
}
