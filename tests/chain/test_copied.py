"""The copy of the registry as rows: whatever creators do between its pages, it ends as the registry is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.chain import copied
from mycelnode.chain.copied import State
from mycelnode.chain.registry import Registered
from mycelnode.chain.reputation import Standing
from mycelnode.patterns.cid import DAG_CBOR, RAW, Cid
from tests.patterns.known import open_library

NOTHING = State("devchain/x", "registry.near", 7, "reputation.near", 0, 0, 1, 0)
PAGE = 3
STEPS = st.one_of(
    st.just(("register", 0)),
    st.tuples(st.sampled_from(["price", "retire", "page"]), st.integers(0, 20)),
)


def registered(number: int, seq: int, **more: Any) -> Registered:
    digest = Cid.of(DAG_CBOR, str(number).encode()).digest
    cid = str(Cid(DAG_CBOR, digest))
    known = Registered(number, "alice.near", digest.hex(), cid, "mail", 5, 1, 0, 0, None, 0, 0, seq)
    return replace(known, **more)


class Model:
    """The registry: each pattern has the number of its last change, and changes are told from a number on."""

    def __init__(self) -> None:
        self.patterns: dict[int, Registered] = {}
        self.next_seq = 0

    def change(self, number: int, **more: Any) -> None:
        before = self.patterns.get(number) or registered(number, 0)
        self.patterns[number] = replace(before, seq=self.next_seq, **more)
        self.next_seq += 1

    def page(self, from_seq: int) -> tuple[list[Registered], int]:
        later = sorted((one for one in self.patterns.values() if one.seq >= from_seq), key=lambda one: one.seq)
        return later[:PAGE], later[PAGE - 1].seq + 1 if len(later) > PAGE else self.next_seq


@given(st.lists(STEPS, max_size=60))
@settings(deadline=None)
def test_whatever_happens_between_pages_it_ends_as_the_registry_is(steps: list[tuple[str, int]]) -> None:
    model, db, at = Model(), open_library(), NOTHING

    def take() -> None:
        nonlocal at
        patterns, next_seq = model.page(at.next_seq)
        at = replace(at, next_seq=next_seq, seq=model.next_seq)
        copied.put(db, at, patterns, anew=False)

    for step, chosen in steps:
        if step == "register":
            model.change(len(model.patterns) + 1)
        elif step == "page":
            take()
        elif model.patterns:
            number = chosen % len(model.patterns) + 1
            model.change(number, **({"price": chosen} if step == "price" else {"retired_at": chosen * copied.MS}))
    while at.next_seq < model.next_seq:
        take()
    rows = db.execute("SELECT id, price, retired, seq FROM registry_patterns ORDER BY id").fetchall()
    wanted = [
        (one.id, str(one.price), None if one.retired_at is None else one.retired_at // copied.MS, one.seq)
        for one in (model.patterns[number] for number in sorted(model.patterns))
    ]
    assert rows == wanted
    assert copied.state(db) in (at, None)


def test_a_copy_is_of_the_network_and_the_contract_that_are_named() -> None:
    db = open_library()
    assert copied.held(db, "devchain", "registry.near") is None
    copied.put(db, NOTHING, [registered(1, 0)], anew=True)
    assert copied.held(db, "devchain", "registry.near") == NOTHING
    assert copied.held(db, "testnet", "registry.near") is None
    assert copied.held(db, "dev", "registry.near") is None
    assert copied.held(db, "devchain", "other.near") is None


def test_a_number_that_a_score_cannot_have_is_cut() -> None:
    db = open_library()
    copied.put_scores(db, [("alice.near", Standing(700, 1 << 65))], 0)
    assert db.execute("SELECT ratings FROM registry_scores").fetchone() == (copied.MAX_ID,)


def test_only_manifests_are_wanted() -> None:
    db = open_library()
    copied.put(db, NOTHING, [registered(1, 0), registered(2, 1)], anew=True)
    raw = Cid(RAW, b"7" * 32).binary
    db.execute("UPDATE registry_patterns SET cid = ? WHERE id = 2", (raw,))
    first = Cid.parse(registered(1, 0).cid)
    assert copied.unknown(db, 10) == [first]
    assert copied.unknown(db, 10, without={first}) == []


def test_what_is_anew_has_nothing_of_what_was() -> None:
    db = open_library()
    copied.put(db, NOTHING, [registered(1, 0), registered(2, 1)], anew=True)
    copied.put_scores(db, [("alice.near", Standing(700, 1))], 0)
    copied.put(db, replace(NOTHING, instance=8), [registered(3, 0)], anew=True)
    assert copied.count(db) == 1
    assert db.execute("SELECT count(*) FROM registry_scores").fetchone() == (0,)
