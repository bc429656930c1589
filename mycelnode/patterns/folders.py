"""Folders as blocks (UnixFS): trees of files by their paths, as `ipfs add -r` writes them, and without shards.

A path is names with ``/`` between them. What comes from outside can name nothing above the folder, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import BinaryIO, Final

from mycelnode.errors import BlockRefused
from mycelnode.patterns import dagpb
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.unixfs import (
    FOLDER,
    Added,
    Get,
    Part,
    Put,
    check_total,
    checked,
    folder_data,
    parse,
    put_node,
    write_file,
)

MAX_ENTRIES: Final = 10_000  # files and folders in all
MAX_DEPTH: Final = 32
MAX_NAME_BYTES: Final = 255  # what file systems take
MAX_FOLDER_BYTES: Final = 256 << 10  # of one folder's block: Kubo writes a larger one in shards

Source = BinaryIO | bytes | Iterable[bytes] | None


def write_folder(files: Mapping[str, Source], put: Put) -> Added:
    """Write the files by their paths, each from its source; None stands for a folder without anything in it.

    Raises `BlockRefused` for a path that has no place in a folder, and for more files or levels than there may be.
    """
    root: _Tree = {}
    for path, source in files.items():
        *above, name = path.split("/")
        if len(above) >= MAX_DEPTH:
            raise BlockRefused(f"{path!r} lies more than {MAX_DEPTH} folders deep")
        place = root
        for folder in above:
            check_name(folder)
            place = _inside(place, folder, path)
        check_name(name)
        if name in place:
            raise BlockRefused(f"{path!r} is both a file and a folder")
        place[name] = {} if source is None else _File(source)
    if _count(root) > MAX_ENTRIES:
        raise BlockRefused(f"a folder here holds at most {MAX_ENTRIES:,} files and folders")
    return _write(root, put)


class _File:
    """Holds what a file is read from."""

    def __init__(self, source: BinaryIO | bytes | Iterable[bytes]) -> None:
        self.source = [source] if isinstance(source, bytes) else source


_Tree = dict[str, "_File | _Tree"]


def _inside(place: _Tree, name: str, path: str) -> _Tree:
    found = place.setdefault(name, {})
    if isinstance(found, _File):
        raise BlockRefused(f"{path!r} lies below something that is a file")
    return found


def _count(tree: _Tree) -> int:
    return sum(1 if isinstance(inside, _File) else 1 + _count(inside) for inside in tree.values())


def _write(tree: _Tree, put: Put) -> Added:
    below = [
        (name, write_file(inside.source, put) if isinstance(inside, _File) else _write(inside, put))
        for name, inside in tree.items()
    ]
    node = dagpb.Node(tuple(dagpb.Link(added.cid, name, added.total) for name, added in below), folder_data())
    if len(dagpb.encode(node)) > MAX_FOLDER_BYTES:
        raise BlockRefused(
            f"a folder of {len(below):,} files is too large to be written in one block; make folders in it"
        )
    return put_node(node, sum(added.size for _, added in below), put)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a file, or could lead elsewhere. Raises `BlockRefused`."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise BlockRefused(f"{name!r} is no name for a file in a folder")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BlockRefused(f"{name!r} holds half a character") from None
    if size > MAX_NAME_BYTES:
        raise BlockRefused(f"a file's name has at most {MAX_NAME_BYTES} bytes")


def read_folder(cid: Cid, get: Get) -> dict[str, Cid | None]:
    """The files of a folder from anyone, by their paths, for `read_file`; None stands for a folder without anything in it.

    Raises `BlockMissing` for a block of a folder, or the topmost of a file, and `BlockRefused`.
    """
    part = parse(cid, checked(cid, get))
    if part.kind != FOLDER:
        raise BlockRefused(f"{cid} is a file, and no folder")
    files: dict[str, Cid | None] = {}
    to_read: list[tuple[str, Part]] = []
    entries = 0

    def enter(path: str, part: Part) -> None:
        """Count before it is kept: a hundred names for one folder cost a hundred of it."""
        nonlocal entries
        entries += len(part.links)
        if entries > MAX_ENTRIES or path.count("/") > MAX_DEPTH:
            raise BlockRefused(f"the folder {cid} has more than {MAX_ENTRIES:,} entries, or {MAX_DEPTH} levels")
        to_read.append((path, part))

    enter("", part)
    while to_read:
        path, part = to_read.pop()
        if part.sizes or part.data:
            raise BlockRefused(f"the folder {cid} has content of its own, as only files have")
        names = [link.name or "" for link in part.links]
        if len(set(names)) != len(names):
            raise BlockRefused(f"the folder {cid} has two files of one name")
        if path and not names:
            files[path[:-1]] = None
        for name, link in zip(names, part.links, strict=True):
            check_name(name)
            below = parse(link.cid, checked(link.cid, get))
            check_total(link, below)
            if below.kind == FOLDER:
                enter(f"{path}{name}/", below)
            else:
                files[path + name] = link.cid
    return files
