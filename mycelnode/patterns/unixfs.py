"""Files as blocks (UnixFS, https://specs.ipfs.tech/unixfs/), written by the profile unixfs-v1-2025 and read in any layout.

The profile (IPIP-499): parts of 1 MiB as raw blocks, nodes of at most 1,024 links, all leaves equally deep. A file of one part is
its raw block. Writing holds the links of one node a level, reading those on the way down to where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from mycelnode.errors import BlockMissing, BlockRefused, EncodingError
from mycelnode.patterns import dagpb
from mycelnode.patterns.cid import DAG_PB, RAW, Cid
from mycelnode.protobuf import VARINT, fields, varint_field

PART_BYTES: Final = 1 << 20
NODE_LINKS: Final = 1024
MAX_DEPTH: Final = 32  # of the nodes of a file; three levels are a petabyte in the profile
# A file of honest parts has few blocks; one in tiny parts is there to keep its reader busy.
FEWEST_BYTES: Final = 512  # that a block adds to a file, over all of it
MORE_BLOCKS: Final = 1024  # which a file may have besides

_RAW, FOLDER, FILE, _METADATA, _SYMLINK, _SHARDED = range(6)  # the kinds of node
_OTHERS: Final = {
    _METADATA: "metadata",
    _SYMLINK: "a symbolic link",
    _SHARDED: "a sharded folder (HAMT), which is not read here; add it anew as a plain one, of fewer files",
}
_TYPE, _DATA, _FILESIZE, _BLOCKSIZES = 1, 2, 3, 4
_OTHER_FIELDS: Final = 16  # that a node may have beside the sizes

Put = Callable[[Cid, bytes], object]
Get = Callable[[Cid], bytes | None]


@dataclass(frozen=True, slots=True)
class Added:
    """What was written: ``size`` is that of the content, ``total`` that of all blocks, both in bytes."""

    cid: Cid
    size: int
    total: int


@dataclass(frozen=True, slots=True)
class Part:
    """What a block says: the content it holds itself, then its links, with the size of the content below each if it is a file's.

    ``total`` is the bytes of the block and of all below it, by what its links say.
    """

    kind: int
    data: bytes
    links: tuple[dagpb.Link, ...]
    sizes: tuple[int, ...]
    total: int

    @property
    def size(self) -> int:
        """Of the content, in bytes."""
        return len(self.data) + sum(self.sizes)


# --- writing -----------------------------------------------------------------------------------------------------------------


def write_file(
    source: BinaryIO | Iterable[bytes], put: Put, *, part_bytes: int = PART_BYTES, node_links: int = NODE_LINKS
) -> Added:
    """Write what ``source`` holds as blocks, each given to ``put`` once it is made, those below before those above."""
    levels: list[list[Added]] = [[]]

    def add(added: Added, level: int) -> None:
        if level == len(levels):
            levels.append([])
        levels[level].append(added)
        if len(levels[level]) == node_links:
            close(level)

    def close(level: int) -> None:
        node = _put_node(levels[level], put)
        levels[level] = []
        add(node, level + 1)

    for part in _parts(source, part_bytes):
        cid = Cid.of(RAW, part)
        put(cid, part)
        add(Added(cid, len(part), len(part)), 0)
    level = 0
    while level < len(levels) - 1 or len(levels[level]) != 1:
        if levels[level]:
            close(level)
        level += 1
    return levels[level][0]


def _put_node(below: list[Added], put: Put) -> Added:
    size = sum(part.size for part in below)
    data = varint_field(_TYPE, FILE) + varint_field(_FILESIZE, size)
    data += b"".join(varint_field(_BLOCKSIZES, part.size) for part in below)
    links = tuple(dagpb.Link(part.cid, "", part.total) for part in below)
    return put_node(dagpb.Node(links, data), size, put)


def put_node(node: dagpb.Node, size: int, put: Put) -> Added:
    """Write a node that has ``size`` bytes of content below it."""
    block = dagpb.encode(node)
    cid = Cid.of(DAG_PB, block)
    put(cid, block)
    return Added(cid, size, total_below(node, block))


def _parts(source: BinaryIO | Iterable[bytes], size: int) -> Iterator[bytes]:
    """All of it in pieces of ``size``, the last one shorter; one empty piece if there is nothing."""
    pieces = iter(lambda: source.read(size), b"") if hasattr(source, "read") else source
    buffer, any_part = bytearray(), False
    for piece in pieces:
        if len(piece) == size and not buffer:  # as files are read; that spares three copies
            any_part = True
            yield bytes(piece)
            continue
        buffer += piece
        while len(buffer) >= size:
            any_part = True
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer or not any_part:
        yield bytes(buffer)


# --- reading -----------------------------------------------------------------------------------------------------------------


def read_file(cid: Cid, get: Get, max_bytes: int) -> Iterator[bytes]:
    """The content of a file from anyone, piece by piece.

    Raises `BlockMissing`, and `BlockRefused` if it has more than ``max_bytes``, or anything differs from what the node above says;
    what came before that was part of the file.
    """
    part = file_part(cid, checked(cid, get))
    if part.size > max_bytes:
        raise BlockRefused(f"the file {cid} has {part.size:,} bytes, more than the {max_bytes:,} that are taken")
    blocks_left = MORE_BLOCKS + part.size // FEWEST_BYTES
    if part.data:
        yield part.data
    below = [(link, size, 1) for link, size in _backwards(part)]
    while below:
        if len(below) > blocks_left or below[-1][2] > MAX_DEPTH:
            raise BlockRefused(f"the file {cid} is made of far more blocks, or levels, than its size needs")
        link, size, depth = below.pop()
        blocks_left -= 1
        part = file_part(link.cid, checked(link.cid, get))
        if part.size != size:
            raise BlockRefused(f"block {link.cid} holds {part.size} bytes of a file where {size} should be")
        check_total(link, part)
        if part.data:
            yield part.data
        below += [(link, size, depth + 1) for link, size in _backwards(part)]


def _backwards(part: Part) -> Iterator[tuple[dagpb.Link, int]]:
    return zip(reversed(part.links), reversed(part.sizes), strict=True)


def checked(cid: Cid, get: Get) -> bytes:
    """The block of that name. Raises `BlockMissing`, `BlockRefused`."""
    block = get(cid)
    if block is None:
        raise BlockMissing(f"block {cid} is not here")
    if not cid.names(block):
        raise BlockRefused(f"the bytes that were given for block {cid} are not that block")
    return block


def file_part(cid: Cid, block: bytes) -> Part:
    """A block as a part of a file, or as the whole of it. Raises `BlockRefused`."""
    part = parse(cid, block)
    if part.kind == FOLDER:
        raise BlockRefused(f"{cid} is a folder, and no file")
    if len(part.sizes) != len(part.links):
        raise BlockRefused(f"block {cid} has {len(part.links)} parts, and sizes for {len(part.sizes)}")
    if 0 in part.sizes:
        raise BlockRefused(f"block {cid} has a part with nothing in it")
    return part


def parse(cid: Cid, block: bytes) -> Part:
    """A block of a file or folder. Raises `BlockRefused` for what is neither, or says another size than its parts have."""
    if cid.codec == RAW:
        return Part(FILE, block, (), (), len(block))
    if cid.codec != DAG_PB:
        raise BlockRefused(f"{cid} is neither a file nor a folder")
    kind: int | None = None
    data: bytes | None = None
    file_size: int | None = None
    sizes: list[int] = []
    try:
        node = dagpb.decode(block)
        for number, wire_type, value in fields(node.data or b"", dagpb.MAX_LINKS + _OTHER_FIELDS):
            if number > _BLOCKSIZES:
                continue  # hints such as the mode and the time of a file, which are not kept
            if number == _DATA and type(value) is bytes and data is None:
                data = value
            elif wire_type != VARINT or type(value) is not int:
                raise EncodingError("a field is of another kind")
            elif number == _TYPE and kind is None:
                kind = value
            elif number == _FILESIZE and file_size is None:
                file_size = value
            elif number == _BLOCKSIZES:
                sizes.append(value)
            else:
                raise EncodingError("a field is there twice")
    except EncodingError as error:
        raise BlockRefused(f"block {cid} is no part of a file or folder: {error}") from error
    if kind in _OTHERS:
        raise BlockRefused(f"{cid} is {_OTHERS[kind]}")
    if kind not in (_RAW, FILE, FOLDER):
        raise BlockRefused(f"block {cid} does not say whether it is a file or a folder")
    part = Part(kind, data or b"", node.links, tuple(sizes), total_below(node, block))
    if kind != FOLDER and file_size not in (None, part.size):
        raise BlockRefused(f"block {cid} says that it has {file_size} bytes, and has parts of {part.size}")
    return part


def total_below(node: dagpb.Node, block: bytes) -> int:
    """The bytes of a block and of all below it, by what its links say."""
    return len(block) + sum(link.size or 0 for link in node.links)


def check_total(link: dagpb.Link, part: Part) -> None:
    """Refuse a link that says another sum of bytes than what it names. Raises `BlockRefused`."""
    if link.size not in (None, part.total):
        raise BlockRefused(f"block {link.cid} and those below have {part.total} bytes where {link.size} should be")


def folder_data() -> bytes:
    """What the node of a folder holds beside its links."""
    return varint_field(_TYPE, FOLDER)
