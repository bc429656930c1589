"""CAR v1 (https://ipld.io/specs/transport/car/carv1/): blocks with their CIDs in one file, and the roots that reach them.

What is imported is checked whole before any of it is kept: each block against its CID, the roots against the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

import cbor2

from mycelnode.encoding import look_over, read
from mycelnode.errors import BlockMissing, BlockRefused, CarRefused, CidRefused, EncodingError
from mycelnode.patterns import dagcbor
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import CODECS, Cid
from mycelnode.patterns.dag import MAX_BLOCK, links_of
from mycelnode.protobuf import MAX_VARINT_BYTES, read_varint, varint

MAX_HEADER: Final = 64 << 10  # bytes
MAX_ROOTS: Final = 1000
MAX_BLOCKS: Final = 1 << 18  # of one file, 400 bytes of memory each while it is looked through
MAX_LINKS: Final = 1 << 20  # of all blocks of one file, 120 bytes each
_MAX_CID: Final = 128  # bytes: what a CID may take that is of no kind known here
_V0: Final = b"\x12\x20"  # a CIDv0 begins with the function and the length of its hash
_SHA2_256, _SHA2_256_BYTES = 0x12, 32


# --- export ------------------------------------------------------------------------------------------------------------------


def export_car(
    store: Blockstore,
    roots: Sequence[Cid],
    to: BinaryIO,
    *,
    partial: bool = False,
    follow: Callable[[Cid, bytes], Sequence[Cid]] = links_of,
) -> int:
    """Write the roots and all that they reach, each block once, those above before those below. Returns how many blocks.

    ``follow``: those links of a block that are followed. One root gives the same bytes from every store that has all of it.

    Raises `BlockMissing` if something is not here, unless ``partial``, which leaves out all but the roots, and `CarRefused` for
    more than one file takes; then part of it is written.
    """
    if not 1 <= len(roots) <= MAX_ROOTS:
        raise CarRefused(f"a CAR has at least one root here, and at most {MAX_ROOTS:,}")
    header = dagcbor.encode({"roots": list(roots), "version": 1})
    to.write(varint(len(header)) + header)
    done: set[Cid] = set()
    links_left = MAX_LINKS
    to_visit = list(reversed(roots))
    while to_visit:
        cid = to_visit.pop()
        if cid in done:
            continue
        block = store.get(cid)
        if block is None:
            if partial and cid not in roots:
                continue
            raise BlockMissing(f"block {cid} is not here, and without it the file would not be complete")
        links = follow(cid, block)
        links_left -= len(links)
        if len(done) == MAX_BLOCKS or links_left < 0:
            raise CarRefused(f"more than {MAX_BLOCKS:,} blocks, or {MAX_LINKS:,} links, do not go into one CAR")
        done.add(cid)
        to.write(varint(len(cid.binary) + len(block)) + cid.binary)
        to.write(block)
        to_visit.extend(link for link in reversed(links) if link not in done)
    return len(done)


# --- import ------------------------------------------------------------------------------------------------------------------


def import_car(
    file: BinaryIO, store: Blockstore, *, check: Callable[[Sequence[Cid]], None] = lambda roots: None
) -> list[Cid]:
    """Keep what the roots of a CAR reach, pin the roots, and return them. ``file`` is from anyone, buffered, and can be sought in.

    ``check`` is called with the roots once all blocks are in the store, and may refuse them.

    Raises `CarRefused` for what is no CAR of ours, a block that is not what its CID says, and roots that are not in it,
    `StoreFull`, and what ``check`` raises. Then blocks and pins are as before.
    """
    start = file.tell()
    roots, found = _look_through(file)
    kept = _reached(roots, found, store)
    file.seek(start)
    _read_header(file)
    pins = store.pins()
    with store.adding() as adding:
        adding.expect({cid: found[cid].size for cid in kept if cid in found})
        try:
            for cid, block in _sections(file):
                if cid in kept:
                    adding.put(cid, block)
            check(roots)
            store.pin_many(roots)  # together: each may reach all that the others do
        except BaseException as error:
            for root in roots:
                if root not in pins:
                    store.unpin(root)
            if isinstance(error, BlockRefused):
                raise CarRefused(f"the CAR changed while it was read: {error}") from error
            raise
    return roots


@dataclass(frozen=True, slots=True)
class _Found:
    """What a file has: the size of a block in bytes, and its links."""

    size: int
    links: tuple[Cid, ...]


def _look_through(file: BinaryIO) -> tuple[list[Cid], dict[Cid, _Found]]:
    """The roots, and all blocks, checked."""
    roots = _read_header(file)
    found: dict[Cid, _Found] = {}
    total = 0
    for number, (cid, block) in enumerate(_sections(file)):
        if not cid.names(block):
            raise CarRefused(f"the CAR lies: the bytes that it has for block {cid} are not that block")
        try:
            found[cid] = _Found(len(block), links_of(cid, block))
        except BlockRefused as error:
            raise CarRefused(f"the CAR has a block that can't be read: {error}") from error
        total += len(found[cid].links)
        if number >= MAX_BLOCKS or total > MAX_LINKS:
            raise CarRefused(f"a CAR has at most {MAX_BLOCKS:,} blocks here, and {MAX_LINKS:,} links in all")
    for root in roots:
        if root not in found:
            raise CarRefused(f"the CAR names the root {root}, and does not have it")
    return roots, found


def _reached(roots: list[Cid], found: dict[Cid, _Found], store: Blockstore) -> set[Cid]:
    """What its roots reach of the file and the store, as blocks of one may be linked from the other."""
    reached = set(roots)
    to_visit = list(roots)
    while to_visit:
        cid = to_visit.pop()
        for link in found[cid].links if cid in found else store.links(cid):
            if link not in reached and (link in found or store.has(link)):
                reached.add(link)
                to_visit.append(link)
    return reached


def _read_header(file: BinaryIO) -> list[Cid]:
    header = _read_part(file, MAX_HEADER, "header")
    if header is None:
        raise CarRefused("the file is empty, and no CAR")
    try:
        look_over(header, 4, 4 * MAX_ROOTS)
        value = read(header, 4)
    except EncodingError as error:
        raise CarRefused(f"the file is no CAR: {error}") from error
    if not isinstance(value, dict) or type(value.get("version")) is not int:
        raise CarRefused("the file is no CAR: its header has no version")
    if value["version"] != 1:
        raise CarRefused(f"the file is a CAR of version {value['version']}; version 1 is read here")
    roots = value.get("roots")
    if not isinstance(roots, list) or not 1 <= len(roots) <= MAX_ROOTS:
        raise CarRefused(f"the CAR names no root, or more than {MAX_ROOTS:,}")
    try:
        return list(dict.fromkeys(map(_root, roots)))
    except CidRefused as error:
        raise CarRefused(f"the CAR has a root of a kind that is not used here: {error}") from error


def _root(value: object) -> Cid:
    """A link as DAG-CBOR writes it; also of a CIDv0, which `dagcbor.decode` does not take."""
    if (
        not isinstance(value, cbor2.CBORTag)
        or value.tag != 42
        or type(value.value) is not bytes
        or value.value[:1] != b"\0"
    ):
        raise CidRefused("it is no link")
    return Cid.from_bytes(value.value[1:])


def _sections(file: BinaryIO) -> Iterator[tuple[Cid, bytes]]:
    """The CIDs and what stands for their blocks."""
    while (section := _read_part(file, _MAX_CID + MAX_BLOCK, "block")) is not None:
        cid, size = _read_cid(section)
        if len(section) - size > MAX_BLOCK:
            raise CarRefused(f"block {cid} of the CAR is larger than the {MAX_BLOCK:,} bytes of a block")
        yield cid, section[size:]


def _read_cid(section: bytes) -> tuple[Cid, int]:
    """The CID at the beginning, and its length."""
    try:
        if section.startswith(_V0):
            size = len(_V0) + _SHA2_256_BYTES
            return Cid.from_bytes(section[:size]), size
        version, place = read_varint(section)
        codec, place = read_varint(section, place)
        function, place = read_varint(section, place)
        length, place = read_varint(section, place)
        if version != 1 or length > _MAX_CID:
            raise CarRefused("the CAR has a block without a CID")
        if codec not in CODECS or (function, length) != (_SHA2_256, _SHA2_256_BYTES):
            raise CarRefused(
                f"the CAR has a block of codec 0x{codec:x} with hash 0x{function:x}; here blocks are raw, dag-pb or dag-cbor,"
                " with sha2-256"
            )
        return Cid.from_bytes(section[: place + length]), place + length
    except (EncodingError, CidRefused) as error:
        raise CarRefused(f"the CAR has a block whose CID can't be read: {error}") from error


def _read_part(file: BinaryIO, most: int, what: str) -> bytes | None:
    """The next length, and as many bytes; None at the end of the file."""
    length = b""
    while not length or length[-1] & 0x80:
        byte = file.read(1)
        if not byte:
            if length:
                raise CarRefused("the CAR is cut off")
            return None
        length += byte
        if len(length) > MAX_VARINT_BYTES:
            raise CarRefused("the file is no CAR: a length has no end")
    try:
        size, _ = read_varint(length)
    except EncodingError as error:
        raise CarRefused(f"the file is no CAR: {error}") from error
    if size > most:
        raise CarRefused(f"the CAR has a {what} of {size:,} bytes, more than the {most:,} that are taken")
    data = file.read(size)
    if len(data) != size:
        raise CarRefused("the CAR is cut off" if what == "block" else "the file is no CAR, or one that is cut off")
    return data
