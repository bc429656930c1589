"""Search: what the person asked for, by words (SQLite's FTS5) and by meaning (vectors), as one list. Blocking.

The two lists are fused by reciprocal rank (G. Cormack, C. Clarke, S. Büttcher, SIGIR 2009): `Σ 1 / (60 + place)`. With a vector,
the list of words has only patterns with all the words of the query: one of the patterns with any of them pulls a good model's
answers down. Without a vector it has those, as there is nothing better. Filters hold before anything is cut.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mycelnode.errors import ValueRefused
from mycelnode.patterns import library
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.columns import Accept, Columns, Selection
from mycelnode.patterns.library import Entry
from mycelnode.patterns.ranking import Facts, Score, explain, score, similarity_at
from mycelnode.patterns.vectors import Vectors

RRF: Final = 60  # as in the paper
DEPTH: Final = 100  # of either list; the ranking sees no more
MAX_LIMIT: Final = 100
EXPLORE_FROM: Final = 5  # results, of which one place is for somebody whom nobody has rated
MAX_QUERY_CHARS: Final = 1_000  # more of a query is not looked at
MAX_WORDS: Final = 32
COLUMN_WEIGHTS: Final = "bm25(4.0, 2.0, 2.0, 1.0)"  # title, description, trigger, body
# words that nearly every question has, in English
STOP_WORDS: Final = frozenset((
    "a", "about", "all", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by",
    "can", "could", "do", "does", "doing", "for", "from", "get", "had", "has", "have", "how", "i",
    "if", "in", "into", "is", "it", "its", "just", "me", "my", "no", "not", "of", "on", "or", "our",
    "so", "some", "that", "the", "their", "them", "then", "there", "these", "they", "this", "to",
    "up", "us", "want", "was", "we", "were", "what", "when", "where", "which", "while", "who",
    "why", "will", "with", "would", "you", "your",
))  # fmt: skip

_WORD: Final = re.compile(r"[^\W_]+")

Outcomes = Callable[[Cid], tuple[int, int]]  # (uses, successes) of the person
Reputation = Callable[[Cid], int | None]  # of others' ratings, 0…1000
Weighed = tuple[int, Facts]  # a pattern by its number


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. ``language`` "pt" finds also "pt-BR"; ``max_price`` is in yoctoNEAR; ``min_reputation`` in 0…1000."""

    text: str
    domain: str | None = None
    language: str | None = None
    kind: str | None = None
    max_price: int | None = None
    creator: bytes | None = None
    min_reputation: int | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Found:
    """A pattern that was found, and why it stands where it does."""

    entry: Entry
    score: Score
    explored: bool = False  # here because a place is kept for those whom nobody has rated


def search(
    connection: sqlite3.Connection,
    columns: Columns,
    query: Query,
    *,
    vector: Vectors | None = None,
    outcomes: Outcomes = lambda cid: (0, 0),
    reputation: Reputation = lambda cid: None,
    prices: Mapping[int, int] = MappingProxyType({}),
) -> list[Found]:
    """The best first, at most ``query.limit`` (and `MAX_LIMIT`) of them.

    ``prices``: what a use costs, in yoctoNEAR, by the number of the pattern, where it is not what the manifest says. Of
    `EXPLORE_FROM` results and more the last place is for the best that nobody has rated, if none stands there by itself; with
    ``query.min_reputation`` it is for nobody.

    ``vector`` is the query's, [dim] of unit length, by the model of ``columns``; without it, words alone count.
    Raises `ValueRefused` for one that cannot be.
    """
    if vector is not None and (columns.model is None or vector.shape != (columns.dim,)):
        raise ValueRefused("the vector of a query must be by the model that made those of the patterns")
    if query.max_price is not None and query.max_price < 0:
        return []
    with columns.lock:
        columns.refresh(connection)
        words, meaning = halves(connection, columns, query, vector, reputation, prices)
    order = fuse(words, [no for no, _ in meaning])
    weighed = _weighed(connection, order, outcomes, reputation, prices)
    weighed.sort(key=lambda one: -score(one[1]))  # a stable sort: equals stay in the order of similarity
    best, explored = _best(weighed, max(0, min(query.limit, MAX_LIMIT)), query.min_reputation is None)
    by_words = {no: place for place, no in enumerate(words, 1)}
    by_meaning = {no: (place, cosine) for place, (no, cosine) in enumerate(meaning, 1)}
    known = library.entries(connection, [no for no, _ in best])
    return [
        Found(known[no], explain(facts, _sentence(by_words.get(no), by_meaning.get(no))), no == explored)
        for no, facts in best
        if no in known
    ]


def _best(weighed: Sequence[Weighed], limit: int, explore: bool) -> tuple[list[Weighed], int | None]:
    """The first ones, and the number of that which has the place of the unrated."""
    best = list(weighed[:limit])
    if explore and limit >= EXPLORE_FROM and all(facts.reputation is not None for _, facts in best):
        newcomer = next((one for one in weighed[limit:] if one[1].reputation is None), None)
        if newcomer is not None:
            return [*best[:-1], newcomer], newcomer[0]
    return best, None


def _weighed(
    connection: sqlite3.Connection,
    order: Sequence[int],
    outcomes: Outcomes,
    reputation: Reputation,
    prices: Mapping[int, int],
) -> list[Weighed]:
    """What is known of each, in the order of similarity."""
    marks = ",".join("?" * len(order))
    rows = connection.execute(f"SELECT no, cid, price FROM patterns WHERE no IN ({marks})", order)
    known = {no: (Cid.from_bytes(cid), int(price)) for no, cid, price in rows}
    weighed = []
    for position, no in enumerate(order, 1):
        if no in known:
            cid, price = known[no]
            facts = Facts(similarity_at(position), *outcomes(cid), reputation(cid), prices.get(no, price))
            weighed.append((no, facts))
    return weighed


def halves(
    connection: sqlite3.Connection,
    columns: Columns,
    query: Query,
    vector: Vectors | None = None,
    reputation: Reputation = lambda cid: None,
    prices: Mapping[int, int] = MappingProxyType({}),
) -> tuple[list[int], list[tuple[int, float]]]:
    """By words: numbers; by meaning: numbers with their cosines. Each `DEPTH` of what the filters let through, the best first."""
    selection = columns.mask(
        domain=query.domain,
        language=query.language,
        kind=query.kind,
        max_price=query.max_price,
        creator=query.creator,
        prices=prices,
    )
    accept = None if query.min_reputation is None else _reputable(connection, query.min_reputation, reputation)
    expression = match_all(query.text) if vector is not None else match_any(query.text)
    words = [] if expression is None else _by_words(connection, expression, selection, accept)
    return words, [] if vector is None else selection.nearest(vector, DEPTH, accept)


def fuse(*lists: Sequence[int]) -> list[int]:
    """Numbers by reciprocal rank fusion; of equals, the one that is first in the last list, and then the newer one, comes first."""
    sums: dict[int, float] = {}
    for ranked in lists:
        for place, no in enumerate(ranked, 1):
            sums[no] = sums.get(no, 0.0) + 1 / (RRF + place)
    last = {no: place for place, no in enumerate(lists[-1])} if lists else {}
    return sorted(sums, key=lambda no: (-sums[no], last.get(no, len(last)), -no))


def match_all(text: str) -> str | None:
    """An FTS5 expression for what has all the words of ``text``, one with marks inside it as a phrase; None without words."""
    pieces = [" ".join(parts) for parts in _pieces(text)]
    return " AND ".join(f'"{piece}"' for piece in pieces) or None


def match_any(text: str) -> str | None:
    """The same for what has any of the words."""
    pieces: list[str] = []
    for parts in _pieces(text):
        pieces += parts if len(parts) == 1 else [" ".join(parts), *parts]
    return " OR ".join(f'"{piece}"' for piece in dict.fromkeys(pieces)) or None


def _pieces(text: str) -> list[list[str]]:
    """The words between spaces, each as the parts that FTS5 makes of it. No mark is left that means something to FTS5."""
    plain = unicodedata.normalize("NFC", text[:MAX_QUERY_CHARS].lower())
    found = [_WORD.findall(piece) for piece in plain.split()]
    said = [parts for parts in found if parts]
    telling = [parts for parts in said if len(parts) > 1 or parts[0] not in STOP_WORDS]
    return (telling or said)[:MAX_WORDS]


def _by_words(
    connection: sqlite3.Connection, expression: str, selection: Selection, accept: Accept | None
) -> list[int]:
    rows = connection.execute(
        "SELECT rowid FROM pattern_words WHERE pattern_words MATCH ? AND rank MATCH ? ORDER BY rank",
        (expression, COLUMN_WEIGHTS),
    )
    found = []
    for (no,) in rows:
        if no in selection and (accept is None or accept(no)):
            found.append(no)
            if len(found) == DEPTH:
                break
    rows.close()
    return found


def _reputable(connection: sqlite3.Connection, least: int, reputation: Reputation) -> Accept:
    """Has the pattern a reputation of at least that? One that nobody has rated has none."""
    asked: dict[int, bool] = {}

    def accept(no: int) -> bool:
        if no not in asked:
            row = connection.execute("SELECT cid FROM patterns WHERE no = ?", (no,)).fetchone()
            known = None if row is None else reputation(Cid.from_bytes(row[0]))
            asked[no] = known is not None and known >= least
        return asked[no]

    return accept


def _sentence(word: int | None, meaning: tuple[int, float] | None) -> str:
    parts = [] if word is None else [f"number {word} by its words"]
    parts += [] if meaning is None else [f"number {meaning[0]} by its meaning (cosine {meaning[1]:.2f})"]
    return " and ".join(parts)
