//! What a kind of record may cost in storage is paid before it is written, with the longest names that there are.

use mycel_vm::{amount, hash_of, Collective, BYTE, CREATOR, DAY, DEPOSIT, MILLI, NEAR, REGISTRY, REPUTATION};
use serde_json::json;

fn longest(first: char) -> String {
    format!("{first}{}.test", "x".repeat(58))
}

fn bytes(it: &Collective, account: &str) -> u64 {
    it.world.accounts[account].usage
}

/// What was paid for storage until now, in bytes.
fn paid(it: &Collective) -> u64 {
    u64::try_from(amount(&it.view("info", json!({}))["ledger"]["storage"]) / BYTE).expect("little")
}

#[test]
fn each_record_is_paid_before_it_is_written() {
    let mut it = Collective::default();
    let (creator, buyer) = (longest('c'), longest('b'));
    for id in [&creator, &buyer] {
        assert_eq!(id.len(), 64);
        it.world.account(id, 100 * NEAR);
    }
    let mut last = (bytes(&it, REGISTRY), paid(&it));
    let mut grew = |it: &Collective, what: &str| {
        let now = (bytes(it, REGISTRY), paid(it));
        let (grown, more) = (now.0.saturating_sub(last.0), now.1 - last.1);
        last = now;
        println!("{what}: {grown} bytes, paid for {more}");
        assert!(grown <= more, "{what}: {grown} bytes, paid for {more}");
        (grown, more)
    };
    // a creator's first in a domain, eight times over
    let mut ids = Vec::new();
    for index in 0..8 {
        ids.push(it.register(&creator, index, &format!("{}{index}", "d".repeat(31)), 200 * MILLI));
        grew(&it, "pattern");
    }
    // its money waits, and so does the buyer's: two slots that were paid with pattern and receipt
    let (pattern, receipt) = (2_500, 400);
    let before = bytes(&it, REGISTRY);
    let gone = it.world.accounts.remove(&creator).expect("it was there");
    let quote = it.view("quote", json!({"id": 0, "account": buyer}));
    let using = json!({"id": 0, "expected_hash": quote["hash"], "max_price": quote["price"], "nth": 1});
    let refunds = {
        let buyer = buyer.clone();
        move |receipt: &mycel_vm::Receipt| receipt.receiver == buyer && receipt.method().is_none()
    };
    it.world.fault = Box::new(refunds);
    it.call(&buyer, "use_pattern", using, amount(&quote["total"]) + 5).value();
    it.world.fault = Box::new(|_| false);
    it.world.accounts.insert(creator.clone(), gone);
    let slots = bytes(&it, REGISTRY) - before;
    println!("receipt and two slots: {slots} bytes");
    let slot = 40 + 1 + 4 + 64 + 16;
    assert!(slots - slot <= receipt, "receipt, with the slot of its buyer");
    let (first, _) = (bytes(&it, REGISTRY), pattern);
    it.call(&buyer, "claim", json!({}), 0).value();
    it.call(&creator, "claim", json!({}), 0).value();
    assert_eq!(first - bytes(&it, REGISTRY), 2 * slot, "what was claimed is stored no more");

    // the score in the other contract
    let other = bytes(&it, REPUTATION);
    let before = it.world.accounts[REPUTATION].balance;
    it.rate(&buyer, 0, 5).value();
    let (grown, sent) = (bytes(&it, REPUTATION) - other, it.world.accounts[REPUTATION].balance - before);
    println!("score: {grown} bytes, paid for {}", sent / BYTE);
    assert!(u128::from(grown) * BYTE <= sent);

    // a receipt that is dropped gives back no more than it frees
    it.world.now += 30 * DAY;
    let before = bytes(&it, REGISTRY);
    let back = amount(&it.call(&buyer, "drop_receipt", json!({"id": 0}), 1).value());
    println!("dropped: {} bytes, {} given back", before - bytes(&it, REGISTRY), back / BYTE);
    assert!(back <= u128::from(before - bytes(&it, REGISTRY)) * BYTE);

    let before = bytes(&it, REGISTRY);
    let args = json!({"model": "m".repeat(64), "gradient_hash": hash_of(1).0});
    // with the slot for what is attached beyond the need, and does not come back
    let refunds = {
        let buyer = buyer.clone();
        move |receipt: &mycel_vm::Receipt| receipt.receiver == buyer
    };
    it.world.fault = Box::new(refunds);
    it.call(&buyer, "record_fl_contribution", args, 5 * MILLI).value();
    println!("contribution and slot: {} bytes, paid for 400", bytes(&it, REGISTRY) - before);
    assert!(bytes(&it, REGISTRY) - before <= 400);
}

#[test]
fn a_pattern_is_paid_though_all_that_can_come_later_is_written() {
    let mut it = Collective::default();
    let creator = longest('c');
    it.world.account(&creator, 100 * NEAR);
    let before = bytes(&it, REGISTRY);
    let id = it.register(&creator, 1, &"d".repeat(32), 200 * MILLI);
    // the slot for money that waits, a place in another bucket, the score that was sent away, a higher number, its retirement
    let gone = it.world.accounts.remove(&creator).expect("it was there");
    it.buy(CREATOR, id).value();
    it.world.accounts.insert(creator.clone(), gone);
    it.rate(CREATOR, id, 5).value();
    for _ in 0..300 {
        it.call(&creator, "set_price", json!({"id": id, "price_per_use": u128::MAX.to_string()}), 1).value();
    }
    it.call(&creator, "retire_pattern", json!({"id": id}), 1).value();
    let (receipt, score) = (400, 300);
    let grown = bytes(&it, REGISTRY) - before;
    println!("pattern with all that can come later: {grown} bytes, paid for 2500 with receipt {receipt}");
    assert!(grown <= 2_500 + receipt - score);
    assert_eq!(DEPOSIT, 125 * MILLI);
}
