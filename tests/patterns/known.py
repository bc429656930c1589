"""A library in memory, with the schema that is shipped, and patterns to put into it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

from mycelnode.identity import KeyPair
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.manifest import Manifest, Succession
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.solutions import Prompt
from mycelnode.schema import shipped_migrations, split_statements

ANNA, BERT, CARLA = (KeyPair(name * 32) for name in (b"a", b"b", b"c"))
PLAIN = Pattern("Plain", "shell", Prompt("say it"), ANNA.public, 0)


def open_library(path: Path | str = ":memory:") -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    for migration in shipped_migrations():
        for statement in split_statements(migration.script):
            connection.execute(statement)
    return connection


def signed(
    by: KeyPair = ANNA, *, supersedes: Cid | None = None, formers: tuple[KeyPair, ...] = (), **fields: Any
) -> Manifest:
    """A manifest of a pattern with these fields. ``formers``: the keys that ``by`` had before, the last one first."""
    chain, later = [], by
    for former in formers:
        chain.append(Succession.sign(former.public, former.sign, later.public))
        later = former
    pattern = replace(PLAIN, creator=by.public, supersedes=supersedes, **fields)
    return Manifest.sign(pattern, by.sign, succeeds=chain)
