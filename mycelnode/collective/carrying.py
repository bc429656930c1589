"""Patterns in and out of CARs, as files on the disk; blocking, for a thread.

What goes out is the pattern alone: its manifest, and the files that travel with it. The patterns that it names are others, and may
be private.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mycelnode.errors import BlockMissing, BlockRefused, CarRefused, PatternFileRefused, PatternRefused
from mycelnode.keeping.keeper import Keeper
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.car import export_car, import_car
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.dag import links_of


class Carried(NamedTuple):
    """What was taken from a CAR: the pattern that is its first root; of ``others``, its further roots, nothing is kept."""

    pattern: Cid
    others: int


def export_alone(store: Blockstore, roots: Sequence[Cid], to: BinaryIO) -> int:
    """Write manifests and folders as they are, without any pattern that one names. Returns how many blocks; as `export_car`."""
    return export_car(store, roots, to, follow=_own_links)


def _own_links(cid: Cid, block: bytes) -> Sequence[Cid]:
    """Of a manifest none: its files are a root, too. Nor does a folder lead to a manifest, whoever made it."""
    return () if cid.codec == DAG_CBOR else [link for link in links_of(cid, block) if link.codec != DAG_CBOR]


def write_car(keeper: Keeper, path: Path, roots: Sequence[Cid]) -> int:
    """To a new file, or nothing; returns its size. Raises `PatternFileRefused`, `BlockMissing`, `BlockRefused`."""
    try:
        with path.open("xb") as file:
            try:
                export_alone(keeper.store, roots, file)
                return file.tell()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise PatternFileRefused(f"{path}: something of this name is there already: choose another") from None
    except OSError as error:
        raise PatternFileRefused(f"{path}: {error.strerror or error}") from error


def read_car(keeper: Keeper, path: Path) -> Carried:
    """Its blocks are pinned in the store, with a pattern of which all is here as its first root; or nothing.

    Raises `CarRefused`, `PatternFileRefused`, `PatternRefused`, `CreatorBlocked`, `StoreFull`.
    """
    own: list[Cid] = []

    def check(roots: Sequence[Cid]) -> None:
        try:
            own.extend(keeper.roots(keeper.load_whole(roots[0])))
        except BlockMissing as error:
            raise CarRefused(f"it has not all files of the pattern {roots[0]}: {error}") from error
        except BlockRefused as error:
            raise CarRefused(f"it has files with the pattern {roots[0]} that cannot be taken: {error}") from error

    with _naming(path), _opened(path) as file:
        first, *rest = import_car(file, keeper.store, check=check)
    return Carried(first, sum(root not in own for root in rest))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (CarRefused, PatternRefused) as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise PatternFileRefused(f"{path}: {error.strerror or error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file: nothing that waits is opened, such as a pipe that nobody writes to."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PatternFileRefused("it is no regular file")
        yield file


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
