"""Patterns for the tests of nodes: drafts to make them of, and doors to look through as a stranger does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mycelnode.keeping.keeper import Keeper
from mycelnode.node import Node
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import Draft
from mycelnode.patterns.files import read_file as read_draft

SKILL = """---
name: {name}
description: {description}
---

# Steps

1. Look at {{{{thing}}}}.
"""


def draft(folder: Path, name: str = "look", *, files: dict[str, bytes] | None = None) -> Draft:
    """Of a skill called ``name``, with ``files`` by their paths."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "SKILL.md").write_text(SKILL.format(name=name, description=f"How to {name} at something"))
    for file, data in (files or {}).items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_bytes(data)
    return read_draft(path)


def keeper_of(node: Node) -> Keeper:
    """Its keeper, which has opened."""
    assert node.collective.keeper is not None, node.collective.problem
    return node.collective.keeper


def blocks_of(keeper: Keeper, cid: Cid) -> set[Cid]:
    """All blocks of a pattern that is here."""
    return set(keeper.store.reachable([cid]))


def shown(keeper: Keeper, cids: Iterable[Cid]) -> set[Cid]:
    """Which of these blocks strangers may have, or hear of."""
    return {cid for cid in cids if keeper.is_shown(cid) or cid.digest in keeper.catalogued}
