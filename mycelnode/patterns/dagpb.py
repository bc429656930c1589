"""Strict DAG-PB (https://ipld.io/specs/codecs/dag-pb/spec/): a list of named links, and bytes; what UnixFS files are made of.

The links come before the data, though their number is the higher one. Older programs wrote them the other way round, and CIDv0 in
links: both are read, and never written. Whatever else differs from the one encoding is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mycelnode.errors import CidRefused, EncodingError
from mycelnode.patterns.cid import Cid
from mycelnode.protobuf import VARINT, bytes_field, fields, varint_field

MAX_BLOCK: Final = 2 << 20  # bytes: the most that programs send one another as a block
MAX_LINKS: Final = 1 << 14  # of one node: sixteen times those of a file, and more than Kubo puts in one folder
_DATA, _LINKS = 1, 2  # the fields of a node
_HASH, _NAME, _TSIZE = 1, 2, 3  # and of a link


@dataclass(frozen=True, slots=True)
class Link:
    """``size`` (Tsize) is what its maker said of the bytes of all blocks below, each as often as it is named. A claim."""

    cid: Cid
    name: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """What a block says. No data, and data without a byte in it, are two things."""

    links: tuple[Link, ...] = ()
    data: bytes | None = None


def encode(node: Node) -> bytes:
    """The block of a node, with its links sorted by name. Raises `EncodingError` if it is larger than a block may be."""
    if len(node.links) > MAX_LINKS:
        raise EncodingError(f"{len(node.links)} links are more than the {MAX_LINKS} of a node")
    try:
        parts = [(link.cid.binary, None if link.name is None else link.name.encode(), link.size) for link in node.links]
    except UnicodeEncodeError as error:
        raise EncodingError("the name of a link holds half a character") from error
    parts.sort(key=lambda part: part[1] or b"")
    block = _links(parts) + _data(node.data)
    if len(block) > MAX_BLOCK:
        raise EncodingError(f"{len(block)} bytes are more than the {MAX_BLOCK} of a block")
    return block


def decode(block: bytes) -> Node:
    """The node of a block from anyone, with its links as they stand. `EncodingError` for what is not canonical, or too large."""
    if len(block) > MAX_BLOCK:
        raise EncodingError(f"{len(block)} bytes are more than the {MAX_BLOCK} of a block")
    parts: list[_Part] = []
    data: bytes | None = None
    for number, _, value in fields(block, MAX_LINKS + 1):
        if number == _LINKS and type(value) is bytes and len(parts) < MAX_LINKS:
            parts.append(_read_link(value))
        elif number == _DATA and type(value) is bytes and data is None:
            data = value
        else:
            raise EncodingError("a node has too many links, its data twice, or a field that none has")
    written = _links(parts), _data(data)
    if block not in (written[0] + written[1], written[1] + written[0]):
        raise EncodingError("not the canonical encoding")
    try:
        links = tuple(
            Link(Cid.from_bytes(cid), None if name is None else name.decode(), size) for cid, name, size in parts
        )
    except CidRefused as error:
        raise EncodingError(f"a link is none of ours: {error}") from error
    except UnicodeDecodeError as error:
        raise EncodingError("the name of a link is no UTF-8") from error
    return Node(links, data)


_Part = tuple[bytes, bytes | None, int | None]  # a link as it is written


def _read_link(message: bytes) -> _Part:
    cid: bytes | None = None
    name: bytes | None = None
    size: int | None = None
    for number, kind, value in fields(message, 3):
        if number == _HASH and type(value) is bytes:
            cid = value
        elif number == _NAME and type(value) is bytes:
            name = value
        elif number == _TSIZE and kind == VARINT and type(value) is int:
            size = value
        else:
            raise EncodingError("a link has a field that none has")
    if cid is None:
        raise EncodingError("a link names no block")
    return cid, name, size


def _links(parts: list[_Part]) -> bytes:
    written = []
    for cid, name, size in parts:
        link = bytes_field(_HASH, cid)
        if name is not None:
            link += bytes_field(_NAME, name)
        if size is not None:
            link += varint_field(_TSIZE, size)
        written.append(bytes_field(_LINKS, link))
    return b"".join(written)


def _data(data: bytes | None) -> bytes:
    return b"" if data is None else bytes_field(_DATA, data)
