"""Patterns of a stranger, and what travels with them that should not."""

from __future__ import annotations

from nacl.signing import SigningKey

from mycelnode.patterns import dagpb
from mycelnode.patterns.cid import DAG_PB, RAW, Cid
from mycelnode.patterns.folders import folder_data
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.solutions import Prompt
from mycelnode.protobuf import varint_field

KEY = SigningKey(bytes(range(32)))  # a stranger's
Blocks = list[tuple[Cid, bytes]]


def manifest(files: Cid | None = None, title: str = "A stranger's") -> Manifest:
    said = Pattern(title, "mail", Prompt("Say hello."), bytes(KEY.verify_key), 1_700_000_000_000, files=files)
    return Manifest.sign(said, lambda data: KEY.sign(data).signature)


def a_bomb() -> Blocks:
    """A folder with one file of 4.9 GB, in five small blocks: each names the one below 170 times."""
    leaf = bytes(1000)
    cid, size, total = Cid.of(RAW, leaf), len(leaf), len(leaf)
    blocks = [(cid, leaf)]
    for _ in range(3):
        sizes = b"".join(varint_field(4, size) for _ in range(170))
        size *= 170
        node = dagpb.Node(
            tuple(dagpb.Link(cid, "", total) for _ in range(170)), varint_field(1, 2) + varint_field(3, size) + sizes
        )
        block = dagpb.encode(node)
        cid, total = Cid.of(DAG_PB, block), len(block) + 170 * total
        blocks.append((cid, block))
    block = dagpb.encode(dagpb.Node((dagpb.Link(cid, "map.bin", total),), folder_data()))
    return [*blocks, (Cid.of(DAG_PB, block), block)]
