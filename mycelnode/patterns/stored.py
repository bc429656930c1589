"""A pattern in the blockstore: its manifest, the files that travel with it, and whether all of it is here.

Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mycelnode.errors import BlockMissing, PatternRefused
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.files.folder import MAX_TOTAL_BYTES
from mycelnode.patterns.folders import read_folder
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.unixfs import read_file

PATTERN_PREFIX: Final = "bafyrei"  # of the CIDs of DAG-CBOR, as text


def roots(manifest: Manifest) -> list[Cid]:
    """What belongs to a pattern beside its own block: not the patterns that it names, and no model."""
    return [] if manifest.pattern.files is None else [manifest.pattern.files]


def check_name(cid: Cid) -> None:
    """Raise `PatternRefused` for what can be the name of no pattern."""
    if cid.codec != DAG_CBOR:
        raise PatternRefused(f"{cid} names no pattern: the CID of one begins with {PATTERN_PREFIX}")


def load(store: Blockstore, cid: Cid) -> Manifest:
    """A manifest whose block is here. Raises `BlockMissing`, and `PatternRefused` if it is none."""
    check_name(cid)
    block = store.get(cid)
    if block is None:
        raise BlockMissing(f"{cid} is not on this device")
    return Manifest.read(block)


def find_whole(store: Blockstore, cid: Cid) -> Manifest | None:
    """A pattern, if all of it is here. Raises `PatternRefused`."""
    check_name(cid)
    block = store.get(cid)
    if block is None:
        return None
    manifest = Manifest.read(block)
    return manifest if is_here(store, manifest) else None


def is_here(store: Blockstore, manifest: Manifest) -> bool:
    """Are all its blocks? They are not read."""
    return store.has(manifest.cid) and not any(store.missing(root, 1) for root in roots(manifest))


def read_files(store: Blockstore, manifest: Manifest) -> dict[str, bytes]:
    """The files that travel with a pattern.

    Raises `BlockMissing`, and `BlockRefused` if they are none, or larger than they may be.
    """
    return read_folder_files(store, roots(manifest))


def read_folder_files(store: Blockstore, folders: Iterable[Cid]) -> dict[str, bytes]:
    """The files of some folders; raises as `read_files` does."""
    found, room = dict[str, bytes](), MAX_TOTAL_BYTES
    for root in folders:
        for path, cid in read_folder(root, store.get).items():
            if cid is not None:
                found[path] = b"".join(read_file(cid, store.get, max_bytes=room))
                room -= len(found[path])
    return found
