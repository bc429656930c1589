"""The vectors by which patterns are found: what is to be embedded, and what a model made of it. Blocking, as `library` is.

Each vector is stored under the model that made it, and is compared only with that model's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from mycelnode.errors import ValueRefused
from mycelnode.lazy import np
from mycelnode.patterns.library import MAX_PAGE, WORDS, trim

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_EMBEDDED_CHARS: Final = 2_000  # more than MiniLM reads, which is 256 pieces of words
MAX_MODEL_CHARS: Final = 200
MAX_DIM: Final = 8_192

Vectors: TypeAlias = "npt.NDArray[np.float32]"


def without_vector(connection: sqlite3.Connection, model: str, limit: int, after: int = 0) -> list[tuple[int, str]]:
    """(number, text to embed) of patterns that the model ``model`` has made no vector of; by number, beyond ``after``."""
    rows = connection.execute(
        f"SELECT no, {WORDS} FROM patterns WHERE no > ? AND hidden = 0"
        " AND NOT EXISTS (SELECT 1 FROM pattern_vectors v WHERE v.model = ? AND v.no = patterns.no) ORDER BY no LIMIT ?",
        (after, model, min(limit, MAX_PAGE)),
    )
    return [(no, _embedded(*texts)) for no, *texts in rows]


def count_without_vector(connection: sqlite3.Connection, model: str) -> int:
    """How many there are of them."""
    (count,) = connection.execute(
        "SELECT count(*) FROM patterns WHERE hidden = 0"
        " AND NOT EXISTS (SELECT 1 FROM pattern_vectors v WHERE v.model = ? AND v.no = patterns.no)",
        (model,),
    ).fetchone()
    return int(count)


def put_vectors(connection: sqlite3.Connection, model: str, numbers: Sequence[int], vectors: Vectors) -> None:
    """Store what a model made of the texts, [n, dim] float32 of unit length; patterns that have gone meanwhile are passed over.

    Raises `ValueRefused` for what is no such array, or has another dimension than the model's other vectors.
    """
    dim = vectors.shape[-1]
    if vectors.shape != (len(numbers), dim) or not 0 < dim <= MAX_DIM or not 0 < len(model) <= MAX_MODEL_CHARS:
        raise ValueRefused(
            f"{len(numbers)} vectors of a model were expected, not an array of the shape {vectors.shape}"
        )
    if not bool(np.isfinite(vectors).all()):
        raise ValueRefused(f"the model {model} made a vector that is not finite")
    if dimension(connection, model) not in (None, dim):
        raise ValueRefused(f"the model {model} made vectors of another length before")
    connection.executemany(
        "INSERT OR REPLACE INTO pattern_vectors (model, no, dim, vector) SELECT ?, no, ?, ? FROM patterns WHERE no = ?",
        [(model, dim, vector.astype("<f4").tobytes(), no) for no, vector in zip(numbers, vectors, strict=True)],
    )
    trim(connection)


def dimension(connection: sqlite3.Connection, model: str) -> int | None:
    """Of a model's vectors; None if there are none."""
    row = connection.execute("SELECT dim FROM pattern_vectors WHERE model = ? LIMIT 1", (model,)).fetchone()
    return None if row is None else int(row[0])


def drop_vectors(connection: sqlite3.Connection, but: Iterable[str]) -> int:
    """Drop the vectors of all models other than these; how many there were."""
    kept = list(but)
    marks = ",".join("?" * len(kept))
    return connection.execute(f"DELETE FROM pattern_vectors WHERE model NOT IN ({marks})", kept).rowcount


def _embedded(title: str, description: str, trigger: str, body: str) -> str:
    """One text of a pattern: what it says of itself, and only then, as far as there is room, what it holds."""
    said = [text.strip() for text in (title, description, trigger) if text.strip()]
    return "\n".join([*said, body])[:MAX_EMBEDDED_CHARS]
