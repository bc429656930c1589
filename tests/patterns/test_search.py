"""Search: the fusion is never worse than its better half, filters hold before the cut, any text is a query."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.adapters.minilm import MiniLm
from mycelnode.errors import ValueRefused
from mycelnode.identity import KeyPair
from mycelnode.patterns import columns as columns_module
from mycelnode.patterns import library
from mycelnode.patterns.columns import Columns, speaks
from mycelnode.patterns.search import DEPTH, Query, fuse, halves, match_all, match_any, search
from mycelnode.patterns.vectors import Vectors, put_vectors
from tests.needs import need_minilm
from tests.patterns.known import ANNA, BERT, open_library, signed
from tests.patterns.labelled import reading

# --- how good it is ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quality:
    """Of a list of answers: how often the right one is at the first place, among the first 3 and 5, and the mean of 1 / place."""

    at_1: int
    at_3: int
    at_5: int
    mrr: float

    @classmethod
    def of(cls, answers: Sequence[Sequence[int]], right: Sequence[int]) -> Quality:
        places = [list(found).index(no) + 1 for found, no in zip(answers, right, strict=True) if no in found]
        at = [sum(place <= most for place in places) for most in (1, 3, 5)]
        return cls(*at, round(sum(1 / place for place in places) / len(right), 3))

    def no_worse(self, other: Quality) -> bool:
        return all(mine >= its for mine, its in zip(astuple(self), astuple(other), strict=True))


def measure(vectors: Vectors | None) -> dict[str, Quality]:
    """Each half, and both as they are searched."""
    db, numbers = reading.fill()
    asked = reading.queries()
    right = [numbers[key] for _, key in asked]
    words_only = Columns()
    words_only.refresh(db)
    by_any = [halves(db, words_only, Query(text))[0] for text, _ in asked]
    found = {"any word": Quality.of(by_any, right)}
    if vectors is None:
        alone = [[one.entry.no for one in search(db, words_only, Query(text))] for text, _ in asked]
        return {**found, "search": Quality.of(alone, right)}
    reading.embed(db, "m", vectors)
    columns = Columns("m", vectors.shape[1])
    columns.refresh(db)
    of_queries = vectors[len(reading.patterns()) :]
    both = [halves(db, columns, Query(text), vector) for (text, _), vector in zip(asked, of_queries, strict=True)]
    by_all, by_meaning = [words for words, _ in both], [[no for no, _ in meaning] for _, meaning in both]
    together = [
        [one.entry.no for one in search(db, columns, Query(text), vector=vector)]
        for (text, _), vector in zip(asked, of_queries, strict=True)
    ]
    careless = [fuse(words, meaning) for words, meaning in zip(by_any, by_meaning, strict=True)]
    return {
        **found,
        "all words": Quality.of(by_all, right),
        "meaning": Quality.of(by_meaning, right),
        "search": Quality.of(together, right),
        "any word, fused": Quality.of(careless, right),
    }


def test_the_set_is_a_set() -> None:
    patterns, queries = reading.patterns(), reading.queries()
    assert len({one.key for one in patterns}) == len(patterns) >= 60
    assert len({text for text, _ in queries}) == len(queries) >= 40
    assert {key for _, key in queries} <= {one.key for one in patterns}


def test_by_words_alone() -> None:
    found = measure(None)
    assert found["search"].no_worse(found["any word"])
    assert found["search"] == Quality(69, 72, 75, 0.790), "docs/search.md has this table"


def test_the_fusion_is_never_worse_than_its_better_half() -> None:
    found = measure(reading.committed())
    for half in ("any word", "all words", "meaning"):
        assert found["search"].no_worse(found[half]), f"{half}: {found}"
    assert not found["any word, fused"].no_worse(found["meaning"]), "why it is not done like that"
    assert found == {
        "any word": Quality(69, 72, 75, 0.790),
        "all words": Quality(37, 37, 37, 0.411),
        "meaning": Quality(83, 87, 88, 0.950),
        "search": Quality(84, 87, 88, 0.955),
        "any word, fused": Quality(75, 79, 80, 0.872),
    }, "docs/search.md has this table"


def test_the_fusion_with_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure(MiniLm.load(need_minilm(monkeypatch)).embed(reading.texts()))
    for half in ("any word", "all words", "meaning"):
        assert found["search"].no_worse(found[half]), f"{half}: {found}"


# --- filters -------------------------------------------------------------------------------------------------------------------


def unit(rng: np.random.Generator, n: int, dim: int = 8) -> Vectors:
    made = rng.standard_normal((n, dim)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


@pytest.fixture
def crowd() -> tuple[sqlite3.Connection, Columns, Vectors]:
    """300 patterns that a query finds before the one that is wanted, by words and by meaning."""
    db = open_library()
    for number in range(300):
        library.add(db, signed(title=f"backup {number}", domain="shell"), source="", now=0, kept=True)
    wanted = signed(
        BERT, title="other", description="and a backup among many other words of it", domain="sql", language="pt-BR",
        price=10**25,
    )  # fmt: skip
    library.add(db, wanted, source="", now=0, kept=True)
    near = np.tile(np.array([1, 0], np.float32), (301, 1))
    near[-1] = (0, 1)
    put_vectors(db, "m", range(1, 302), near)
    return db, Columns("m", 2), np.array([1, 0], np.float32)


@pytest.mark.parametrize("with_vector", [True, False])
@pytest.mark.parametrize(
    "given",
    [{"domain": "sql"}, {"language": "pt"}, {"language": "PT-br"}, {"creator": BERT.public}, {"min_reputation": 500}],
)
def test_filters_hold_before_the_cut(
    crowd: tuple[sqlite3.Connection, Columns, Vectors], given: dict[str, object], with_vector: bool
) -> None:
    db, columns, vector = crowd

    def reputation(cid: object) -> int | None:
        entry = library.get(db, cid)  # type: ignore[arg-type]
        return 900 if entry is not None and entry.creator == BERT.public else None

    query = Query("backup", **given)  # type: ignore[arg-type]
    found = search(db, columns, query, vector=vector if with_vector else None, reputation=reputation)
    assert [one.entry.title for one in found] == ["other"], "though 300 others would fill the lists"
    all_of_them = search(db, columns, Query("backup", limit=1000), vector=vector if with_vector else None)
    assert len(all_of_them) == DEPTH


@given(st.integers(0, (1 << 128) - 1), st.lists(st.integers(0, (1 << 128) - 1), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_the_price_is_compared_exactly(most: int, prices: list[int]) -> None:
    db, columns = open_library(), Columns()
    for number, price in enumerate([*prices, most, min(most + 1, (1 << 128) - 1)]):
        library.add(db, signed(title="backup", price=price, created=number), source="", now=0, kept=True)
    found = search(db, columns, Query("backup", max_price=most))
    assert sorted(one.entry.price for one in found) == sorted(
        entry.price for entry in library.listing(db) if entry.price <= most
    )
    assert search(db, columns, Query("backup", max_price=-1)) == []
    assert len(search(db, columns, Query("backup", max_price=1 << 200))) == len(library.listing(db))


def test_kind_limit_and_no_vectors_of_others(crowd: tuple[sqlite3.Connection, Columns, Vectors]) -> None:
    db, columns, vector = crowd
    assert search(db, columns, Query("backup", kind="code"), vector=vector) == []
    assert len(search(db, columns, Query("backup", kind="prompt", limit=7), vector=vector)) == 7
    assert search(db, columns, Query("backup", limit=0)) == []
    with pytest.raises(ValueRefused):
        search(db, columns, Query("backup"), vector=np.zeros(3, np.float32))
    with pytest.raises(ValueRefused):
        search(db, Columns(), Query("backup"), vector=vector)
    other = Columns("another model", 2)
    assert search(db, other, Query("zzz"), vector=vector) == [], "the vectors of m are not its"


def test_a_superseded_version_is_not_found() -> None:
    db, columns = open_library(), Columns()
    old = signed(title="backup old")
    new = signed(title="backup new", supersedes=old.cid, version=2)
    thief = signed(BERT, title="backup of a thief", supersedes=new.cid, version=3)
    for manifest in (old, new, thief):
        library.add(db, manifest, source="", now=0)
        search(db, columns, Query("backup"))
    assert {one.entry.title for one in search(db, columns, Query("backup"))} == {"backup new", "backup of a thief"}


def test_what_was_used_well_comes_first_and_says_so() -> None:
    db, columns = open_library(), Columns()
    made = [signed(title="backup", created=number) for number in range(3)]
    for manifest in made:
        library.add(db, manifest, source="swarm", now=0)
    used = made[1].cid
    found = search(db, columns, Query("backup"), outcomes=lambda cid: (20, 19) if cid == used else (0, 0))
    assert found[0].entry.cid == used
    score = found[0].score
    assert score.value == pytest.approx(sum(part.contribution for part in score.parts), abs=1e-9)
    assert score.parts[1].sentence == "it worked in 19 of your 20 uses"
    scores = [one.score.value for one in found]
    assert scores == sorted(scores, reverse=True)


# --- any text is a query -------------------------------------------------------------------------------------------------------

FTS = st.text(st.sampled_from("\"'*^:-+(){}[]~.,;!?\\/%_\x00 aANDORNOTEb\u0301é日\ud800"), max_size=40)


@given(
    st.text(max_size=60)
    | FTS
    | st.sampled_from(["NEAR(a b)", "title:x", "a*", '"', "AND", "not", "NOT a", "rank", "-", "^a"])
)
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_query(text: str) -> None:
    for expression in (match_all(text), match_any(text)):
        if expression is not None:
            FILLED.execute("SELECT rowid FROM pattern_words WHERE pattern_words MATCH ?", (expression,)).fetchall()
    search(FILLED, WORDS_ONLY, Query(text))


FILLED, WORDS_ONLY = reading.fill()[0], Columns()


def test_how_words_are_matched() -> None:
    assert (
        match_any("How do I use functools.lru_cache?")
        == '"use" OR "functools lru cache" OR "functools" OR "lru" OR "cache"'
    )
    assert match_all("How do I use functools.lru_cache?") == '"use" AND "functools lru cache"'
    assert match_all("what is it") == '"what" AND "is" AND "it"', "nothing else was said"
    assert match_all("re\u0301sume\u0301") == '"r\u00e9sum\u00e9"'
    assert match_all("?!") is None
    expression = match_all("a1 " * 5_000)
    assert expression is not None
    assert expression.count("AND") == 31


def test_languages() -> None:
    assert speaks("pt-BR", "pt")
    assert speaks("pt", "PT")
    assert not speaks("pt", "pt-BR")
    assert not speaks("ptx", "pt")


def test_fusion() -> None:
    assert fuse([1, 2], [2, 1]) == [2, 1], "of equals, the one that is nearer by meaning"
    assert fuse([1], [2, 3, 1])[0] == 1
    assert fuse([], [4, 5]) == [4, 5]
    assert fuse() == []


# --- memory is in step -----------------------------------------------------------------------------------------------------------


def seen(columns: Columns, vector: Vectors) -> list[tuple[int, float]]:
    selection = columns.mask()
    return [(no, round(cosine, 5)) for no, cosine in selection.nearest(vector, 1000)]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("+-vr")), max_size=40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_copy_that_is_brought_up_to_date_is_as_one_read_anew(steps: list[tuple[int, str]], few: bool) -> None:
    db, columns = open_library(), Columns("m", 8)
    rng = np.random.default_rng(1)
    vector = unit(rng, 1)[0]
    made = [
        signed(KeyPair(bytes([n + 1]) * 32), title=f"number {n}", language=f"l{'abcdefghij'[n]}") for n in range(10)
    ]
    caught_up = columns_module.MAX_CAUGHT_UP
    columns_module.MAX_CAUGHT_UP = 3 if few else caught_up  # type: ignore[misc]
    try:
        for which, step in steps:
            entry = library.get(db, made[which].cid)
            if step == "+":
                library.add(db, made[which], source="", now=0)
            elif step == "-":
                library.remove(db, made[which].cid)
            elif step == "v" and entry is not None:
                put_vectors(db, "m", [entry.no], unit(rng, 1))
                put_vectors(db, "another", [entry.no], unit(rng, 1, 5))
            elif step == "r":
                columns.refresh(db)
        columns.refresh(db)
    finally:
        columns_module.MAX_CAUGHT_UP = caught_up  # type: ignore[misc]
    anew = Columns("m", 8)
    anew.refresh(db)
    assert seen(columns, vector) == seen(anew, vector)
    assert len(columns) == len(anew) == len(library.digests(db))
    for language in ("la", "lj"):
        there = {entry.no for entry in library.listing(db) if entry.language == language}
        mask = columns.mask(language=language)
        assert {entry.no for entry in library.listing(db) if entry.no in mask} == there


def test_a_copy_that_missed_what_is_forgotten_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "MAX_CHANGES", 5)
    db, columns = open_library(), Columns()
    made = [signed(title=f"backup {number}") for number in range(30)]
    library.add(db, made[0], source="", now=0, kept=True)
    columns.refresh(db)
    for manifest in made[1:]:
        library.add(db, manifest, source="", now=0)
        library.remove(db, made[0].cid)
    columns.refresh(db)
    assert len(columns) == len(library.digests(db))
    assert db.execute("SELECT count(*) FROM pattern_changes").fetchone()[0] <= 10


def test_the_nearest_are_those_of_a_plain_product() -> None:
    rng = np.random.default_rng(7)
    db, columns = open_library(), Columns("m", 8)
    for number in range(400):
        library.add(
            db, signed(title=f"{number}", domain="few" if number % 40 == 0 else "many"), source="", now=0, kept=True
        )
    vectors = unit(rng, 400)
    put_vectors(db, "m", range(1, 401), vectors)
    columns.refresh(db)
    assert columns.with_vector == 400
    for query in unit(rng, 20):
        for domain, rows in ((None, np.arange(400)), ("few", np.arange(0, 400, 40)), ("many", None)):
            rows = np.array([n for n in range(400) if n % 40]) if rows is None else rows
            cosines = vectors[rows] @ query
            expected = [int(rows[place]) + 1 for place in np.argsort(-cosines)[:5]]
            assert [no for no, _ in columns.mask(domain=domain).nearest(query, 5)] == expected
    assert columns.mask(creator=ANNA.public).nearest(query, 3, lambda no: no == 9)[0][0] == 9
