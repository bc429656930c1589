"""The library: what is known, what is kept, and what has to go when there is too much."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.errors import ValueRefused
from mycelnode.identity import KeyPair
from mycelnode.patterns import library, vectors
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.pattern import Pattern
from tests.patterns.known import ANNA, BERT, CARLA, open_library, signed
from tests.patterns.strategies import PATTERNS


@pytest.fixture
def db() -> sqlite3.Connection:
    return open_library()


def put(db: sqlite3.Connection, manifest: Manifest, **more: object) -> library.Change:
    return library.add(db, manifest, **{"source": "swarm", "now": 1_000, **more})  # type: ignore[arg-type]


def words(db: sqlite3.Connection, word: str) -> list[int]:
    return [
        no for (no,) in db.execute("SELECT rowid FROM pattern_words WHERE pattern_words MATCH ? ORDER BY 1", (word,))
    ]


def check(db: sqlite3.Connection) -> None:
    """The index of words is in step with the table, but for what is hidden; and so are the counts."""
    db.execute("INSERT INTO pattern_words (pattern_words) VALUES ('integrity-check')")
    for no, title, hidden in db.execute("SELECT no, title, hidden FROM patterns"):
        found = [word for word in words(db, f'"{title}"') if word == no]
        assert found == ([] if hidden else [no])
    counts = library.counts(db)
    assert (counts.kept, counts.seen) == tuple(
        db.execute("SELECT count(*) FROM patterns WHERE kept = ?", (kept,)).fetchone()[0] for kept in (1, 0)
    )


def test_a_pattern_is_known_as_it_came(db: sqlite3.Connection) -> None:
    manifest = signed(title="Größe", description="how large", trigger="when it is full", price=10**30, language="pt-BR")
    assert put(db, manifest, now=77) == library.Change(True)
    entry = library.get(db, manifest.cid)
    assert entry is not None
    assert (entry.title, entry.description, entry.trigger) == ("Größe", "how large", "when it is full")
    assert (entry.price, entry.language, entry.creator, entry.kind) == (10**30, "pt-BR", ANNA.public, "prompt")
    assert (entry.source, entry.added, entry.kept, entry.hidden) == ("swarm", 77, False, False)
    assert library.digests(db) == [manifest.cid.digest]
    assert words(db, "grösse") == [], "ß is a letter of its own"
    assert words(db, "GROßE") == [entry.no], "neither case nor diacritics count"
    check(db)


def test_adding_twice_changes_nothing_and_may_keep(db: sqlite3.Connection) -> None:
    manifest = signed()
    put(db, manifest)
    before = list(db.iterdump())
    assert put(db, manifest, source="elsewhere", now=5) == library.Change(False)
    assert list(db.iterdump()) == before
    assert put(db, manifest, kept=True) == library.Change(True)
    assert put(db, manifest) == library.Change(False)
    entry = library.get(db, manifest.cid)
    assert entry is not None
    assert entry.kept, "to see a kept one again does not un-keep it"
    assert library.counts(db).kept == 1
    check(db)


def test_keep_forget_and_remove(db: sqlite3.Connection) -> None:
    manifest, unknown = signed(title="one"), signed(title="other")
    put(db, manifest)
    assert library.keep(db, manifest.cid)
    assert not library.keep(db, unknown.cid)
    assert [entry.cid for entry in library.listing(db, kept=True)] == [manifest.cid]
    assert library.forget(db, manifest.cid) == library.Change(True)
    assert library.forget(db, manifest.cid) == library.Change(False)
    assert library.listing(db, kept=True) == []
    assert library.remove(db, manifest.cid)
    assert not library.remove(db, manifest.cid)
    assert library.get(db, manifest.cid) is None
    assert words(db, "one") == []
    check(db)


def test_who_floods_pushes_out_only_itself(db: sqlite3.Connection) -> None:
    most = 300  # so that a creator's share is 3
    others = [signed(KeyPair(bytes([number, 7]) * 16), title=f"other {number}") for number in range(1, 200)]
    for other in others:
        put(db, other, most=most)
    mine = [signed(BERT, title=f"flood {number}") for number in range(50)]
    dropped = [cid for manifest in mine for cid in put(db, manifest, most=most).dropped]
    assert dropped == [manifest.cid for manifest in mine[:-3]], "its own oldest ones"
    assert all(library.get(db, other.cid) for other in others)
    check(db)


def test_the_oldest_seen_go_and_the_kept_stay(db: sqlite3.Connection) -> None:
    keys = [KeyPair(bytes([number, 1]) * 16) for number in range(1, 30)]
    made = [signed(key, title=f"number {number}") for number, key in enumerate(keys)]
    put(db, made[0], kept=True, most=5)
    dropped = [cid for manifest in made[1:] for cid in put(db, manifest, most=5).dropped]
    assert dropped == [manifest.cid for manifest in made[1:-5]]
    assert library.get(db, made[0].cid) is not None
    change = library.forget(db, made[0].cid, most=5)
    assert change.dropped == (made[0].cid,), "which is the oldest now"
    check(db)


def test_a_later_version_hides_the_older_one_until_it_goes(db: sqlite3.Connection) -> None:
    first = signed(title="first")
    second = signed(title="second", version=2, supersedes=first.cid)
    for order in ((first, second), (second, first)):
        for manifest in order:
            put(db, manifest)
        found = {entry.title: entry.hidden for entry in library.listing(db)}
        assert found == {"first": True, "second": False}, "in whatever order they come"
        check(db)
        library.remove(db, second.cid)
        assert [entry.hidden for entry in library.listing(db)] == [False]
        check(db)
        library.remove(db, first.cid)


def test_its_creator_cannot_take_away_what_is_kept(db: sqlite3.Connection) -> None:
    """By a later version that costs something, say: what the person keeps is found until they keep the later one, too."""
    first = signed(title="first")
    second = signed(title="second", version=2, supersedes=first.cid, price=10**24)

    def hidden() -> dict[str, bool]:
        check(db)
        return {entry.title: entry.hidden for entry in library.listing(db)}

    put(db, first)
    put(db, second)
    assert hidden() == {"first": True, "second": False}
    library.keep(db, first.cid)
    assert hidden() == {"first": False, "second": False}
    assert (library.later(db, first.cid), library.later(db, second.cid)) == (second.cid, None)
    put(db, second, kept=True)
    assert hidden() == {"first": True, "second": False}
    library.forget(db, second.cid)
    assert hidden() == {"first": False, "second": False}
    library.forget(db, first.cid)
    assert hidden() == {"first": True, "second": False}


def test_nobody_else_hides_a_pattern(db: sqlite3.Connection) -> None:
    mine = signed(ANNA, title="mine")
    stolen = signed(BERT, title="stolen", version=9, supersedes=mine.cid)
    liar = signed(CARLA, title="liar", version=9, supersedes=mine.cid, formers=(BERT,))
    for manifest in (stolen, mine, liar):
        put(db, manifest)
    assert not any(entry.hidden for entry in library.listing(db))
    check(db)


def test_a_creators_new_key_hides_what_its_former_key_made(db: sqlite3.Connection) -> None:
    old = signed(ANNA, title="old")
    new = signed(CARLA, title="new", supersedes=old.cid, formers=(BERT, ANNA))
    for order in ((old, new), (new, old)):
        for manifest in order:
            put(db, manifest)
        assert {entry.title: entry.hidden for entry in library.listing(db)} == {"old": True, "new": False}
        check(db)
        for manifest in order:
            library.remove(db, manifest.cid)


def test_a_blocked_creator_goes_but_for_what_is_kept(db: sqlite3.Connection) -> None:
    kept, seen, other = signed(BERT, title="kept"), signed(BERT, title="seen"), signed(ANNA, title="other")
    put(db, kept, kept=True)
    put(db, seen)
    put(db, other)
    assert library.remove_creator(db, BERT.public) == (seen.cid,)
    assert {entry.title for entry in library.listing(db)} == {"kept", "other"}
    check(db)


def test_pages(db: sqlite3.Connection) -> None:
    for number in range(7):
        put(db, signed(title=f"number {number}", domain="odd" if number % 2 else "even"))
    first = library.listing(db, limit=3)
    assert [entry.title for entry in first] == ["number 6", "number 5", "number 4"]
    assert next(entry.title for entry in library.listing(db, limit=3, before=first[-1].no)) == "number 3"
    assert [entry.title for entry in library.listing(db, domain="odd")] == ["number 5", "number 3", "number 1"]
    assert library.listing(db, creator=BERT.public) == []
    assert library.listing(db, kind="code") == []


def unit(*values: float) -> vectors.Vectors:
    array = np.array(values, np.float32)
    return array / np.float32(np.linalg.norm(array))


def test_vectors_are_of_one_model_and_one_length(db: sqlite3.Connection) -> None:
    one, two = signed(title="one", description="of it"), signed(title="two")
    put(db, one)
    put(db, two)
    missing = vectors.without_vector(db, "m", 10)
    assert [text.splitlines()[0] for _, text in missing] == ["one", "two"]
    numbers = [no for no, _ in missing]
    vectors.put_vectors(db, "m", numbers[:1], np.stack([unit(1, 0)]))
    assert [no for no, _ in vectors.without_vector(db, "m", 10)] == numbers[1:]
    assert vectors.count_without_vector(db, "m") == 1
    assert vectors.count_without_vector(db, "other") == 2, "another model has made none"
    for wrong in (np.stack([unit(1, 0, 0)]), np.zeros((2, 2), np.float32), np.array([[np.nan, 0]], np.float32)):
        with pytest.raises(ValueRefused):
            vectors.put_vectors(db, "m", numbers[1:], wrong)
    assert library.counts(db).vectors == {"m": 1}
    vectors.put_vectors(db, "n", [*numbers, 999], np.stack([unit(1, 0, 0)] * 3))
    assert library.counts(db).vectors == {"m": 1, "n": 2}, "999 is no pattern"
    assert vectors.drop_vectors(db, but=["n"]) == 1
    library.remove(db, one.cid)
    assert library.counts(db).vectors == {"n": 1}


@settings(max_examples=60, deadline=None)
@given(st.lists(PATTERNS, max_size=6), st.lists(st.tuples(st.integers(0, 5), st.sampled_from("akfrx")), max_size=20))
def test_whatever_happens_the_index_is_in_step(patterns: list[Pattern], steps: list[tuple[int, str]]) -> None:
    db = open_library()
    made: list[Manifest] = []
    for pattern in patterns:
        previous = made[-1].cid if made else None
        made.append(Manifest.sign(replace(pattern, creator=ANNA.public, supersedes=previous), ANNA.sign))
    for which, step in steps:
        if which >= len(made):
            continue
        cid = made[which].cid
        if step in "ax":
            library.add(db, made[which], source="", now=0, kept=step == "x", most=3)
        elif step == "k":
            library.keep(db, cid)
        elif step == "f":
            library.forget(db, cid, most=3)
        else:
            library.remove(db, cid)
    db.execute("INSERT INTO pattern_words (pattern_words) VALUES ('integrity-check')")
    counts = library.counts(db)
    assert counts.seen <= 1, "the share of one creator, of 3"
    assert counts.kept + counts.seen == len(library.digests(db))
    shown = {no for (no,) in db.execute("SELECT no FROM patterns WHERE hidden = 0")}
    here = {entry.cid: entry for entry in library.listing(db)}
    for earlier, later in pairwise(made):
        if earlier.cid in here and earlier.cid != later.cid:
            hides = later.cid in here and here[later.cid].kept >= here[earlier.cid].kept
            assert here[earlier.cid].hidden == hides
            assert library.later(db, earlier.cid) == (later.cid if later.cid in here else None)
    indexed = {no for (no,) in db.execute("SELECT id FROM pattern_words_docsize")}
    assert indexed == shown


def test_what_a_creator_keeps_under_a_title_is_looked_up_by_an_index(db: sqlite3.Connection) -> None:
    mine = [signed(title="same", description=f"{number}") for number in range(3)]
    for manifest in mine[:2]:
        put(db, manifest, kept=True)
    put(db, mine[2])
    put(db, signed(BERT, title="same"), kept=True)
    put(db, signed(title="other"), kept=True)
    asked = list[str]()
    db.set_trace_callback(asked.append)
    assert library.titled(db, ANNA.public, "same") == [mine[1].cid, mine[0].cid]
    db.set_trace_callback(None)
    (plan,) = db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}").fetchall()
    assert "USING INDEX patterns_by_title (creator=? AND title=?)" in plan[3]


def test_only_what_was_seen_goes_with_its_block(db: sqlite3.Connection) -> None:
    kept, seen, unknown = (signed(title=title) for title in ("kept", "seen", "unknown"))
    put(db, kept, kept=True)
    put(db, seen)
    assert library.seen(db) == [seen.cid]
    assert library.remove_seen(db, [kept.cid, seen.cid, unknown.cid]) == (seen.cid,)
    assert library.digests(db) == [kept.cid.digest]
    check(db)
