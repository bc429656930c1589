//! Who may do what: a signature of exactly one yoctoNEAR where one is due, the owner of each contract, and how a contract begins.

use mycel_vm::{
    calling, hash_of, sha256, wasm, Action, Collective, CREATOR, DAY, MILLI, NEAR, OWNER, REGISTRY, REPUTATION, USER,
};
use serde_json::{json, Value};

const STRANGER: &str = "stranger.test";
/// Who owns both in the end.
const NEXT: &str = "next.test";
const CONTRACTS: [(&str, &str); 2] = [(REGISTRY, "registry"), (REPUTATION, "reputation")];

fn collective() -> Collective {
    let mut it = Collective::default();
    it.world.account(STRANGER, 10 * NEAR);
    it.world.account(NEXT, 10 * NEAR);
    it
}

fn info(it: &Collective, contract: &str) -> Value {
    it.world.view(contract, "info", &json!({})).expect("a view").0
}

/// A call with arguments, as JSON.
fn call(method: &str, args: Value, deposit: u128) -> Action {
    calling(method, args.to_string().into_bytes(), deposit)
}

/// What asks for one yocto, of either contract: so that each succeeds in its turn, with nothing but the yocto right.
fn signed_with_one_yocto() -> Vec<(&'static str, &'static str, &'static str, Vec<u8>)> {
    let text = |args: Value| args.to_string().into_bytes();
    let (hash, cid) = hash_of(9);
    let update = json!({"id": 1, "pattern_hash": hash, "metadata_cid": cid});
    let mut rows = vec![
        (REGISTRY, CREATOR, "update_pattern", text(update)),
        (REGISTRY, CREATOR, "set_price", text(json!({"id": 1, "price_per_use": "7"}))),
        (REGISTRY, CREATOR, "retire_pattern", text(json!({"id": 1}))),
        (REGISTRY, CREATOR, "release_deposit", text(json!({"id": 0}))),
        (REGISTRY, USER, "drop_receipt", text(json!({"id": 0}))),
        (REGISTRY, OWNER, "set_fee_rate", text(json!({"bps": 400}))),
        (REGISTRY, OWNER, "withdraw_fees", text(json!({"amount": "1000", "to": STRANGER}))),
    ];
    for (contract, name) in CONTRACTS {
        rows.extend([
            (contract, OWNER, "propose_owner", text(json!({"account": NEXT}))),
            (contract, NEXT, "accept_owner", text(json!({}))),
            (contract, NEXT, "pause", text(json!({}))),
            (contract, NEXT, "upgrade", wasm(name)),
            (contract, NEXT, "stage_upgrade", text(json!({"code_hash": sha256(b"the one after it")}))),
            (contract, NEXT, "resume", text(json!({}))),
        ]);
    }
    rows
}

#[test]
fn a_signature_is_one_yocto_and_neither_none_nor_two() {
    let mut it = collective();
    for seed in 0..2 {
        it.register(CREATOR, seed, "mail", NEAR);
    }
    it.buy(USER, 0).value();
    it.call(CREATOR, "retire_pattern", json!({"id": 0}), 1).value();
    for (contract, name) in CONTRACTS {
        it.world.call(OWNER, contract, "stage_upgrade", &json!({"code_hash": sha256(&wasm(name))}), 1).value();
    }
    it.world.now += 30 * DAY; // a deposit, a receipt and the code have waited long enough
    let rows = signed_with_one_yocto();
    assert_eq!(rows.len(), 19);
    for (contract, signer, method, args) in rows {
        for wrong in [0, 2, NEAR] {
            it.refused_by(contract, signer, calling(method, args.clone(), wrong), "ERR_ONE_YOCTO");
        }
        let outcome = it.world.transact(signer, contract, vec![calling(method, args, 1)]);
        assert!(outcome.receipts.iter().all(|ran| ran.result.is_ok()), "{contract}.{method}: {outcome:?}");
    }
    for (contract, _) in CONTRACTS {
        assert_eq!((&info(&it, contract)["owner"], &info(&it, contract)["paused"]), (&json!(NEXT), &json!(false)));
    }
}

#[test]
fn either_contract_is_handed_over_by_its_owner_to_who_accepts() {
    let mut it = collective();
    for (contract, _) in CONTRACTS {
        let propose = |account: &str| call("propose_owner", json!({"account": account}), 1);
        let accept = || call("accept_owner", json!({}), 1);
        let nobody = "ERR_NOT_ALLOWED: only the proposed owner";
        it.refused_by(contract, STRANGER, propose(STRANGER), "ERR_NOT_ALLOWED: only the owner");
        it.refused_by(contract, STRANGER, accept(), nobody);
        it.refused_by(contract, OWNER, accept(), nobody);
        // who was proposed first is so no more once another one is
        it.world.transact(OWNER, contract, vec![propose(STRANGER)]).result.expect("proposed");
        let outcome = it.world.transact(OWNER, contract, vec![propose(NEXT)]);
        assert!(outcome.logs().any(|log| log.contains("owner_proposed") && log.contains(NEXT)), "{outcome:?}");
        for other in [STRANGER, OWNER] {
            it.refused_by(contract, other, accept(), nobody);
        }
        assert_eq!(info(&it, contract)["owner"], json!(OWNER), "a proposal changes nothing yet");
        it.refused_by(contract, NEXT, call("pause", json!({}), 1), "ERR_NOT_ALLOWED: only the owner");
        let outcome = it.world.transact(NEXT, contract, vec![accept()]);
        assert!(outcome.logs().any(|log| log.contains("owner_changed") && log.contains(NEXT)), "{outcome:?}");
        assert_eq!(info(&it, contract)["owner"], json!(NEXT));
        it.refused_by(contract, NEXT, accept(), nobody); // a proposal is accepted once
        for (method, args) in owners(contract) {
            it.refused_by(contract, OWNER, call(method, args, 1), "ERR_NOT_ALLOWED: only the owner");
        }
        it.world.call(NEXT, contract, "pause", &json!({}), 1).value();
        it.world.call(NEXT, contract, "resume", &json!({}), 1).value();
    }
}

/// What only the owner of a contract may call.
fn owners(contract: &str) -> Vec<(&'static str, Value)> {
    let mut found = vec![
        ("pause", json!({})),
        ("resume", json!({})),
        ("propose_owner", json!({"account": STRANGER})),
        ("stage_upgrade", json!({"code_hash": "00".repeat(32)})),
        ("upgrade", json!({})),
    ];
    if contract == REGISTRY {
        found.push(("set_fee_rate", json!({"bps": 1})));
        found.push(("withdraw_fees", json!({"amount": "1", "to": STRANGER})));
    }
    found
}

#[test]
fn what_is_the_owners_is_not_that_of_those_who_earn_or_pay() {
    let mut it = collective();
    let id = it.register(CREATOR, 1, "mail", NEAR);
    it.buy(USER, id).value();
    for (contract, _) in CONTRACTS {
        for (method, args) in owners(contract) {
            for who in [STRANGER, CREATOR, USER] {
                it.refused_by(contract, who, call(method, args.clone(), 1), "ERR_NOT_ALLOWED: only the owner");
            }
        }
        it.refused_by(contract, OWNER, call("migrate", json!({}), 0), "is private");
    }
    // nor may the owner say how anybody was rated
    let rating = json!({"account": CREATOR, "pattern_id": 0, "outcome": "Failure", "weight": 1_000});
    for who in [OWNER, CREATOR, STRANGER] {
        let rating = call("update_reputation", rating.clone(), 3 * MILLI);
        it.refused_by(REPUTATION, who, rating, "ERR_NOT_ALLOWED: only the registry");
    }
}

#[test]
fn a_contract_begins_once_with_a_fee_that_may_be() {
    let mut it = collective();
    let begin = |fee: Value| {
        let args = json!({"owner": OWNER, "reputation": REPUTATION, "fee_bps": fee});
        vec![Action::Deploy(wasm("registry")), call("new", args, 0)]
    };
    let fresh = "fresh.test";
    it.world.account(fresh, 5 * NEAR);
    for wrong in [json!(1_001), json!(u16::MAX)] {
        let outcome = it.world.transact(OWNER, fresh, begin(wrong));
        assert!(outcome.error().contains("ERR_FIELD: fee_bps is at most 1000"), "{}", outcome.error());
        let account = &it.world.accounts[fresh];
        assert_eq!((account.usage, account.storage.len()), (100, 0), "the code is not there either");
    }
    it.world.transact(OWNER, fresh, begin(json!(1_000))).result.expect("10 % may be");
    assert_eq!(info(&it, fresh)["fee_bps"], json!(1_000));
    assert_eq!(info(&it, REGISTRY)["fee_bps"], json!(500), "of whom nothing was said");
    let again = "already been initialized";
    it.refused_by(fresh, OWNER, call("new", json!({"owner": STRANGER, "reputation": STRANGER}), 0), again);
    it.refused_by(REPUTATION, OWNER, call("new", json!({"owner": STRANGER, "registry": STRANGER}), 0), again);
    // not with the code anew, either: that is all or nothing
    let stored = it.world.accounts[fresh].storage.clone();
    assert!(it.world.transact(fresh, fresh, begin(json!(1))).error().contains(again));
    assert!(it.world.accounts[fresh].storage == stored);
}
