"""The labelled set: short patterns, questions with the one pattern that answers each, and the vectors that MiniLM makes of both."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mycelnode.patterns import library
from mycelnode.patterns.cid import RAW, Cid
from mycelnode.patterns.solutions import Adapter, Code, Prompt, Solution, Step, Variable, Workflow
from mycelnode.patterns.vectors import Vectors, put_vectors, without_vector
from tests.patterns.known import open_library, signed

FOLDER = Path(__file__).parent
VECTORS = FOLDER / "minilm.npz"


@dataclass(frozen=True)
class Labelled:
    """A pattern of the set."""

    key: str
    domain: str
    kind: str
    title: str
    description: str
    trigger: str
    body: str

    @property
    def solution(self) -> Solution:
        if self.kind == "prompt":
            names = dict.fromkeys(part.partition("}}")[0] for part in self.body.split("{{")[1:])
            return Prompt(self.body, tuple(Variable(name) for name in names))
        if self.kind == "code":
            return Code(self.body, "text")
        if self.kind == "adapter":
            return Adapter(self.body, Cid.of(RAW, self.body.encode()), "0" * 64)
        return Workflow(tuple(Step(line) for line in self.body.splitlines()))


@cache
def patterns() -> tuple[Labelled, ...]:
    return tuple(Labelled(**json.loads(line)) for line in (FOLDER / "patterns.jsonl").read_text().splitlines())


@cache
def queries() -> tuple[tuple[str, str], ...]:
    """(query, the key of its answer)"""
    read = [json.loads(line) for line in (FOLDER / "queries.jsonl").read_text().splitlines()]
    return tuple((one["query"], one["answer"]) for one in read)


def fill() -> tuple[sqlite3.Connection, dict[str, int]]:
    """A library of the patterns, and their numbers in it."""
    db = open_library()
    numbers = {}
    for number, one in enumerate(patterns()):
        manifest = signed(
            title=one.title, description=one.description, trigger=one.trigger, domain=one.domain,
            solution=one.solution, created=number,
        )  # fmt: skip
        library.add(db, manifest, source="set", now=number, kept=True)
        entry = library.get(db, manifest.cid)
        assert entry is not None
        numbers[one.key] = entry.no
    return db, numbers


def texts() -> list[str]:
    """What the product gives an embedder: of the patterns, then of the queries."""
    db, _ = fill()
    return [text for _, text in without_vector(db, "", library.MAX_PAGE)] + [query for query, _ in queries()]


def committed() -> Vectors:
    """The vectors of `texts`, made by make_vectors.py, [n, 384] of unit length."""
    with np.load(VECTORS) as kept:
        vectors = kept["vectors"].astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def embed(db: sqlite3.Connection, model: str, vectors: Vectors) -> None:
    """Store the vectors of the patterns."""
    missing = without_vector(db, model, library.MAX_PAGE)
    put_vectors(db, model, [no for no, _ in missing], vectors[: len(missing)])
