"""Search in a library of N patterns, by words and by meaning, beside one product of numpy and one query of FTS5. Argument: N.

The texts are made up, of words as frequent as those of a language (Zipf's law), and the vectors are random ones of unit length,
among which nothing is near: both halves have all their work. The vector of a query is given, as making it depends on the model.
"""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.ours.world import Numbers, job
from mycelnode.database import Database, open_database
from mycelnode.paths import DataDir
from mycelnode.patterns import library
from mycelnode.patterns.columns import Columns
from mycelnode.patterns.manifest import Manifest, Privacy
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.search import DEPTH, STOP_WORDS, Query, match_all, match_any, search
from mycelnode.patterns.solutions import Prompt
from mycelnode.patterns.vectors import put_vectors

DIM: Final = 384  # MiniLM's
VOCABULARY: Final = 30_000
QUERIES: Final = 60
BATCH: Final = 1_000  # patterns in one transaction
LIMIT: Final = 20
SYLLABLES: Final = (
    "ka",
    "lo",
    "mi",
    "ner",
    "sta",
    "vel",
    "tor",
    "pin",
    "ga",
    "rus",
    "den",
    "ol",
    "fi",
    "ma",
    "che",
    "bri",
)
Texts = tuple[str, str, str, str]  # title, description, trigger, body


def _word(number: int) -> str:
    if number < len(STOP_WORDS):
        return sorted(STOP_WORDS)[number]
    parts = []
    while number:
        number, last = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[last])
    return "".join(parts)


def texts_of(rng: np.random.Generator, n: int) -> list[Texts]:
    """Of n patterns."""
    words = [_word(number) for number in range(VOCABULARY)]
    odds = 1 / (np.arange(VOCABULARY) + 2.7)
    drawn = rng.choice(VOCABULARY, size=(n, 80), p=odds / odds.sum())
    rare = rng.integers(len(STOP_WORDS), VOCABULARY, size=n)  # a title says what is special

    def made(row: npt.NDArray[Any], special: int) -> Texts:
        said = [words[number] for number in row]
        return (
            f"{words[special]} {' '.join(said[:4])}",
            " ".join(said[4:40]),
            " ".join(said[40:50]),
            " ".join(said[50:]),
        )

    return [made(row, special) for row, special in zip(drawn, rare, strict=True)]


def queries_of(rng: np.random.Generator, texts: Sequence[Texts]) -> list[str]:
    """Each has two or three words of one pattern's title and description."""
    found = []
    for place in rng.integers(0, len(texts), QUERIES):
        title, description, *_ = texts[place]
        telling = [word for word in (*title.split()[1:], *description.split()) if word not in STOP_WORDS]
        found.append(" ".join([title.split()[0], *telling[: int(rng.integers(1, 3))]]))
    return found


def _unit(rng: np.random.Generator, n: int) -> npt.NDArray[np.float32]:
    made = rng.standard_normal((n, DIM), np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def fill(
    connection: sqlite3.Connection,
    first: int,
    texts: Sequence[Texts],
    vectors: npt.NDArray[np.float32],
    near: str | None = None,
) -> None:
    """Take up patterns, of an account ``near``; without vectors if there are none."""
    numbers = []
    for number, (title, description, trigger, body) in enumerate(texts, first):
        pattern = Pattern(
            title, f"domain-{number % 20}", Prompt(body), (number % 5_000).to_bytes(32, "big"), number, description,
            trigger=trigger, price=number,
        )  # fmt: skip
        # neither signed nor encoded: that is not what is measured
        manifest = Manifest(pattern, Privacy(), near, b"", number.to_bytes(8, "big"))
        library.add(connection, manifest, source="swarm", now=number, kept=True)
        entry = library.get(connection, manifest.cid)
        assert entry is not None
        numbers.append(entry.no)
    if len(vectors):
        put_vectors(connection, "made-up", numbers, vectors)


def _plain_fts(path: Path, texts: list[Texts]) -> sqlite3.Connection:
    """What anyone would write: one table of FTS5."""
    plain = sqlite3.connect(path, isolation_level=None)
    plain.execute(
        "CREATE VIRTUAL TABLE t USING fts5(title, description, trigger, body, tokenize='porter unicode61 remove_diacritics 2')"
    )
    plain.execute("BEGIN")
    plain.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", texts)
    plain.execute("COMMIT")
    return plain


def _ask_fts(plain: sqlite3.Connection, expression: str | None) -> list[int]:
    found = plain.execute("SELECT rowid FROM t WHERE t MATCH ? ORDER BY rank LIMIT ?", (expression, DEPTH))
    return [no for (no,) in found]


def _ask_numpy(matrix: npt.NDArray[np.float32], vector: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    cosines = matrix @ vector
    best = np.argpartition(-cosines, DEPTH)[:DEPTH]
    return np.asarray(best[np.argsort(-cosines[best])], np.int64)


def _times(name: str, seconds: list[float]) -> Numbers:
    ordered = sorted(seconds)
    return {
        f"{name}_p50_ms": statistics.median(ordered) * 1000,
        f"{name}_p95_ms": ordered[int(len(ordered) * 0.95)] * 1000,
    }


def _timed(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


async def measure(folder: Path, n: int) -> Numbers:
    """Milliseconds of a search as the node does it, and of its halves by plain means; seconds to read all into memory at first."""
    rng = np.random.default_rng(1)
    texts, vectors = texts_of(rng, n), _unit(rng, n)
    queries, asked = queries_of(rng, texts), _unit(rng, QUERIES)
    async with open_database(DataDir(folder)) as database:
        for start in range(0, n, BATCH):
            part = slice(start, start + BATCH)
            await database.write(partial(fill, first=start, texts=texts[part], vectors=vectors[part]))
        columns, words_only = Columns("made-up", DIM), Columns()
        loading = perf_counter()
        await database.scan(columns.refresh)
        numbers: Numbers = {"load_s": perf_counter() - loading}
        await database.scan(words_only.refresh)
        plain = _plain_fts(folder / "plain.db", texts)
        numbers.update(await _searches(database, columns, words_only, plain, vectors, queries, asked))
        plain.close()
    return numbers


async def _searches(
    database: Database,
    columns: Columns,
    words_only: Columns,
    plain: sqlite3.Connection,
    matrix: npt.NDArray[np.float32],
    queries: list[str],
    asked: npt.NDArray[np.float32],
) -> Numbers:
    """Each query in turn by every means, so that a slow moment falls on all."""
    times: dict[str, list[float]] = {name: [] for name in ("ours", "filtered", "words", "fts", "fts_any", "numpy")}
    for text, vector in zip(queries, asked, strict=True):
        for name, index, query, meant in (
            ("ours", columns, Query(text, limit=LIMIT), vector),
            ("filtered", columns, Query(text, domain="domain-7", max_price=10**22, limit=LIMIT), vector),
            ("words", words_only, Query(text, limit=LIMIT), None),
        ):
            started = perf_counter()
            await database.scan(partial(search, columns=index, query=query, vector=meant))
            times[name].append(perf_counter() - started)
        times["fts"].append(_timed(partial(_ask_fts, plain, match_all(text))))
        times["fts_any"].append(_timed(partial(_ask_fts, plain, match_any(text))))
        times["numpy"].append(_timed(partial(_ask_numpy, matrix, vector)))
    return {name: value for kind, seconds in times.items() for name, value in _times(kind, seconds).items()}


if __name__ == "__main__":
    job(measure)
