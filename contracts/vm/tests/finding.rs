//! Pages: in which order they show what they find, that nothing falls between them, and how far they go. What they cost: `index.rs`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use mycel_vm::{Collective, Storage, CREATOR, DAY, MILLI, NEAR, REGISTRY, USER};
use serde_json::{json, Value};

/// The prefixes of the index in the registry's storage (`registry/src/keys.rs`).
const INDEX: core::ops::RangeInclusive<u8> = 9..=12;
/// That of creators.
const CREATORS: u8 = 2;

/// What a page shows of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    id: u64,
    creator: String,
    score: u64,
}

impl Found {
    fn bucket(&self) -> u64 {
        self.score / 20
    }
}

fn page(it: &Collective, lowest: u64, from: usize, limit: usize) -> Vec<Found> {
    let args = json!({"domain": "mail", "min_reputation": lowest, "from_index": from, "limit": limit});
    let number = |value: &Value| value.as_u64().expect("a number");
    let found = it.view("find_patterns", args);
    let found = found.as_array().expect("a list").iter();
    found
        .map(|one| Found {
            id: number(&one["id"]),
            creator: one["creator"].as_str().expect("a name").to_owned(),
            score: number(&one["score"]),
        })
        .collect()
}

/// All pages of so many, each as it is.
fn pages(it: &Collective, lowest: u64, limit: usize) -> Vec<Vec<Found>> {
    let pages = (0..500 / limit).map(|number| page(it, lowest, number * limit, limit));
    pages.take_while(|page| !page.is_empty()).collect()
}

/// 24 creators from 416 to 583 in two domains, with one to five patterns each, registered in turn and rated by USER. Some are retired.
fn market() -> Collective {
    let mut it = Collective::default();
    let mut firsts = Vec::new();
    for creator in 0..24u64 {
        let name = format!("creator{creator}.test");
        it.world.account(&name, 3 * NEAR);
        // 0.2 N have the full weight
        let price = 200 * MILLI / 12 * u128::from(creator / 2 + 1);
        firsts.push((it.register(&name, creator, "mail", price), creator % 2 == 0));
    }
    for (id, success) in firsts {
        it.buy(USER, id).value();
        it.call(USER, "rate_pattern", json!({"id": id, "success": success, "rating": 5}), 0).value();
    }
    for creator in 0..24u64 {
        let name = format!("creator{creator}.test");
        it.register(&name, 500 + creator, "code", 1); // must not be found in the other domain
        for more in 0..creator % 5 {
            let id = it.register(&name, 1_000 + 10 * creator + more, "mail", 1);
            if more == 1 {
                it.call(&name, "retire_pattern", json!({"id": id}), 1).value();
            }
        }
    }
    it
}

/// The patterns that can be found: of each creator the newest three of the domain that are not retired.
fn findable(it: &Collective) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    for creator in 0..24 {
        let name = format!("creator{creator}.test");
        let all = it.view("patterns_by_creator", json!({"creator": name, "from_index": 0, "limit": 50}));
        let here = all.as_array().expect("a list").iter().rev();
        let here = here.filter(|one| one["domain"] == json!("mail") && one["retired_at"].is_null());
        found.extend(here.take(3).map(|one| (one["id"].as_u64().expect("a number"), name.clone())));
    }
    found
}

#[test]
fn pages_neither_overlap_nor_leave_anything_out_and_go_down_bucket_by_bucket() {
    let it = market();
    let expected = findable(&it);
    assert!(expected.len() > 50, "more than a page: {}", expected.len());
    for limit in [1, 3, 7, 50] {
        let pages = pages(&it, 0, limit);
        assert_eq!(pages.len(), expected.len().div_ceil(limit));
        assert!(pages[..pages.len() - 1].iter().all(|page| page.len() == limit), "only the last one is not full");
        let all: Vec<_> = pages.iter().flatten().collect();
        let ids: BTreeMap<_, _> = all.iter().map(|one| (one.id, one.creator.clone())).collect();
        assert_eq!((all.len(), &ids), (expected.len(), &expected), "in pages of {limit}");
        for page in &pages {
            let ordered = page.windows(2).all(|pair| pair[0].score >= pair[1].score);
            assert!(ordered, "in pages of {limit}, within one: {page:?}");
        }
        for pair in pages.windows(2) {
            let lowest = pair[0].iter().map(Found::bucket).min();
            let highest = pair[1].iter().map(Found::bucket).max();
            assert!(lowest >= highest, "in pages of {limit}, from one to the next: {pair:?}");
        }
    }
    let scores: BTreeMap<_, _> = page(&it, 0, 0, 50).into_iter().map(|one| (one.creator, one.score)).collect();
    for (creator, score) in &scores {
        assert_eq!(it.reputation(creator)["score"], json!(score), "each has its mirrored score: {creator}");
    }
    let buckets: BTreeSet<_> = scores.values().map(|score| score / 20).collect();
    let differ: BTreeSet<_> = scores.values().collect();
    assert!(buckets.len() >= 5 && differ.len() > buckets.len(), "order within a bucket is seen, too: {scores:?}");
}

#[test]
fn who_is_below_the_least_reputation_is_on_no_page_though_in_its_bucket() {
    let it = market();
    let all: Vec<_> = pages(&it, 0, 50).concat();
    let mut within = false;
    for lowest in [416, 417, 470, 510, 515, 530, 583, 584, 1_000] {
        let expected: BTreeSet<_> = all.iter().filter(|one| one.score >= lowest).map(|one| one.id).collect();
        within |= all.iter().any(|one| one.score < lowest && one.bucket() == lowest / 20);
        for limit in [4, 50] {
            let found: Vec<_> = pages(&it, lowest, limit).concat();
            let ids: BTreeSet<_> = found.iter().map(|one| one.id).collect();
            assert_eq!((found.len(), ids), (expected.len(), expected.clone()), "from {lowest}, in pages of {limit}");
        }
    }
    assert!(within, "nobody is below in the bucket itself");
}

/// The keys that differ.
fn changed(before: &Storage, after: &Storage) -> Vec<Vec<u8>> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

#[test]
fn a_score_that_stays_in_its_bucket_touches_nothing_of_the_index() {
    let mut it = Collective::default();
    for (seed, domain) in ["mail", "code", "garden"].into_iter().enumerate() {
        it.register(CREATOR, seed as u64, domain, 20 * MILLI); // a fee of 1 mN: a tenth of the full weight
    }
    it.buy(USER, 0).value();
    it.world.trace = Some(RefCell::default());
    it.rate(USER, 0, 5).value();
    let score = it.reputation(CREATOR)["score"].as_u64().expect("a number");
    assert!((501..520).contains(&score), "{score} is not in the bucket of 500");
    assert_eq!(written_to_the_index(&mut it), 0, "a rating within the bucket");
    assert_eq!(page(&it, 0, 0, 1)[0].score, score, "and the page has it all the same");

    // as it fades it comes no further than to the end of the bucket, either
    it.world.now += 60 * DAY;
    let before = it.world.accounts[REGISTRY].storage.clone();
    it.world.trace = Some(RefCell::default());
    it.call(USER, "sync_reputation", json!({"account": CREATOR}), 0).value();
    assert!(page(&it, 0, 0, 1)[0].score < score);
    let keys = changed(&before, &it.world.accounts[REGISTRY].storage);
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!((keys[0][0], &keys[0][5..]), (CREATORS, CREATOR.as_bytes()), "the creator's score alone");
    assert_eq!(written_to_the_index(&mut it), 0, "what has faded within the bucket");

    // one that leaves it moves in each domain: this test would see it
    it.call(CREATOR, "set_price", json!({"id": 0, "price_per_use": (200 * MILLI).to_string()}), 1).value();
    it.world.account("other.test", 10 * NEAR);
    it.buy("other.test", 0).value();
    it.world.trace = Some(RefCell::default());
    it.rate("other.test", 0, 5).value();
    assert!(page(&it, 0, 0, 1)[0].score >= 520);
    assert!(written_to_the_index(&mut it) >= 3 * 4, "place, slot, length and bitmap in each domain");
}

/// The records of the index that were written or taken out since the trace began, be it to what they were before.
fn written_to_the_index(it: &mut Collective) -> usize {
    let calls = it.world.trace.take().map(RefCell::into_inner).unwrap_or_default();
    assert!(calls.iter().any(|call| call["method"] == json!("on_reputation")), "there was no callback");
    let keys = calls
        .iter()
        .filter(|call| call["account"] == json!(REGISTRY))
        .flat_map(|call| call["writes"].as_object().into_iter().flatten());
    keys.filter(|(key, _)| hex::decode(key).is_ok_and(|key| INDEX.contains(&key[0]))).count()
}

#[test]
fn a_page_has_fifty_at_most_and_finding_ends_at_five_hundred() {
    let mut it = Collective::default();
    for seed in 0..52 {
        it.register(CREATOR, seed, "mail", 1);
    }
    let find = |from: u32, limit: u32| {
        let args = json!({"domain": "mail", "min_reputation": 0, "from_index": from, "limit": limit});
        it.world.view(REGISTRY, "find_patterns", &args).map(|(found, _)| found.as_array().map_or(0, Vec::len))
    };
    assert_eq!(find(0, 50), Ok(3), "the newest three of one creator");
    assert_eq!((find(450, 50), find(500, 0), find(0, 0)), (Ok(0), Ok(0), Ok(0)));
    for (from, limit) in [(0, 51), (451, 50), (500, 1), (501, 0), (u32::MAX, 50), (0, u32::MAX)] {
        let why = find(from, limit).expect_err("it is too far");
        assert!(why.contains("ERR_FIELD: limit is at most 50, and from_index + limit at most 500"), "{why}");
    }
    // the others give 50 of what is asked for, and say where to go on
    for limit in [50, 51, u32::MAX] {
        let by =
            |from: u32| it.view("patterns_by_creator", json!({"creator": CREATOR, "from_index": from, "limit": limit}));
        let ids = |found: Value| -> Vec<_> {
            found.as_array().expect("a list").iter().filter_map(|one| one["id"].as_u64()).collect()
        };
        assert_eq!(ids(by(0)), (0..50).collect::<Vec<_>>());
        assert_eq!(ids(by(50)), [50, 51]);
        assert_eq!((ids(by(52)), ids(by(u32::MAX))), (vec![], vec![]));
        let changes = |from: u32| it.view("changes", json!({"from_seq": from, "limit": limit}));
        let seqs = |page: &Value| -> Vec<_> {
            page["items"].as_array().expect("a list").iter().filter_map(|one| one["seq"].as_u64()).collect()
        };
        let first = changes(0);
        assert_eq!((seqs(&first), &first["next_seq"]), ((0..50).collect(), &json!(50)));
        let second = changes(50);
        assert_eq!((seqs(&second), &second["next_seq"]), (vec![50, 51], &json!(52)));
        assert_eq!(changes(u32::MAX), json!({"items": [], "next_seq": 52}), "what was not there yet is not skipped");
    }
    let none = it.view("changes", json!({"from_seq": 7, "limit": 0}));
    assert_eq!(none, json!({"items": [], "next_seq": 7}), "who asks for nothing misses nothing");
}
