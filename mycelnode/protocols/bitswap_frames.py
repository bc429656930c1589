"""The message of Bitswap 1.2.0 (https://specs.ipfs.tech/bitswap-protocol/), read with bounds and written as Kubo and Helia read it.

On the wire each message follows its length, a varint. Blocks are called here by the 36 bytes of a CIDv1 with a sha2-256; a CIDv0 is
another spelling of one. CIDs of other kinds are read as they are: their blocks are nowhere here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mycelnode import protobuf
from mycelnode.errors import EncodingError
from mycelnode.protobuf import bytes_field, varint_field

PROTOCOL: Final = "/ipfs/bitswap/1.2.0"
MAX_MESSAGE: Final = 4 << 20  # bytes, as in Kubo
MAX_BLOCK: Final = 2 << 20  # bytes, by the specification
MAX_CID: Final = 128  # bytes; a sha2-512 takes 68
MAX_FIELDS: Final = 1 << 16  # of one message, all its parts counted: each costs time
MAX_ENTRIES: Final = 1024  # of a want-list that are looked at; what comes after is as if it had not been said
MAX_BLOCKS: Final = 1024  # of one message that are looked at
MAX_PRESENCES: Final = 4096  # of one message that are looked at

_V1: Final = b"\x01"
_SHA2_256: Final = b"\x12\x20"  # and the length of the digest
_V0_PREFIX: Final = b"\x00\x70" + _SHA2_256  # a CIDv0 has none in itself; this is how Bitswap says it
_DAG_PB: Final = b"\x70"
_CODECS: Final = frozenset((b"\x55", _DAG_PB, b"\x71"))  # raw, dag-pb, dag-cbor
_CID_BYTES: Final = 36
_PREFIX_BYTES: Final = 4
_BLOCK, _HAVE = 0, 1  # what an entry wants
_HERE, _NOT_HERE = 0, 1  # what a presence says
_MAX_PRIORITY: Final = (1 << 31) - 1


def name_of(cid: bytes) -> bytes | None:
    """The 36 bytes by which a block is called here; None for a CID of a kind that names no block of ours."""
    if len(cid) == _CID_BYTES and cid[:1] == _V1 and cid[1:2] in _CODECS and cid[2:4] == _SHA2_256:
        return cid
    if len(cid) == _CID_BYTES - 2 and cid[:2] == _SHA2_256:
        return _V1 + _DAG_PB + cid
    return None


def spellings(name: bytes) -> tuple[bytes, ...]:
    """The CIDs by which others may call the block that is called ``name`` here."""
    return (name, name[2:]) if name[1:2] == _DAG_PB else (name,)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a want-list. ``want_have``: tell whether the block is there, instead of sending it."""

    cid: bytes
    want_have: bool = False
    cancel: bool = False
    send_dont_have: bool = False
    priority: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """A block as it came; what it is called follows from its bytes."""

    prefix: bytes
    data: bytes

    @property
    def name(self) -> bytes | None:
        """What this block is called here, by its own bytes; None if it is of a kind that nobody here asks for."""
        prefix = _V1 + self.prefix[1:] if self.prefix == _V0_PREFIX else self.prefix
        if len(prefix) != _PREFIX_BYTES or name_of(prefix + bytes(32)) is None:
            return None
        return prefix + hashlib.sha256(self.data).digest()

    @classmethod
    def of(cls, cid: bytes, data: bytes) -> Block:
        """The block that answers for ``cid`` as a peer wrote it."""
        return cls(cid[:_PREFIX_BYTES] if cid[:1] == _V1 else _V0_PREFIX, data)


@dataclass(frozen=True, slots=True)
class Message:
    """``full``: ``entries`` are all that the sender wants. ``presences``: is the block there that a CID names?"""

    entries: tuple[Entry, ...] = ()
    full: bool = False
    blocks: tuple[Block, ...] = ()
    presences: tuple[tuple[bytes, bool], ...] = ()
    pending_bytes: int = 0


# --- reading -------------------------------------------------------------------------------------------------------------------


class _Budget:
    """Counts the fields of one message, those of its parts among them."""

    def __init__(self) -> None:
        self.left = MAX_FIELDS

    def fields(self, data: bytes) -> Iterator[tuple[int, int | bytes]]:
        for number, _, value in protobuf.fields(data, self.left):
            self.left -= 1
            yield number, value


def decode_message(data: bytes) -> Message:
    """The message in ``data``, without the length before it.

    Unknown fields are passed over, and so are entries, blocks and answers beyond what is looked at. Raises `EncodingError`.
    """
    if len(data) > MAX_MESSAGE:
        raise EncodingError(f"a Bitswap message of {len(data)} bytes; {MAX_MESSAGE} are allowed")
    budget = _Budget()
    full, pending = False, 0
    entries, blocks, presences = list[Entry](), list[Block](), list[tuple[bytes, bool]]()
    for number, value in budget.fields(data):
        if number == 1:
            full = _read_wants(_bytes(value), budget, entries) or full
        elif number == 3 and len(blocks) < MAX_BLOCKS:
            blocks.append(_read_block(_bytes(value), budget))
        elif number == 4 and len(presences) < MAX_PRESENCES:
            presences.append(_read_presence(_bytes(value), budget))
        elif number == 5:
            pending = _int(value)
    return Message(tuple(entries), full, tuple(blocks), tuple(presences), pending)


def _read_wants(data: bytes, budget: _Budget, entries: list[Entry]) -> bool:
    """Adds to ``entries``. Is the list full?"""
    full = False
    for number, value in budget.fields(data):
        if number == 1 and len(entries) < MAX_ENTRIES:
            entries.append(_read_entry(_bytes(value), budget))
        elif number == 2:
            full = bool(_int(value))
    return full


def _read_entry(data: bytes, budget: _Budget) -> Entry:
    found: dict[int, int | bytes] = {1: b"", 2: 0, 3: 0, 4: 0, 5: 0}
    found.update(budget.fields(data))  # of a field that stands twice, the last one holds
    return Entry(
        cid=_cid(found[1]),
        priority=_int(found[2]) & _MAX_PRIORITY,
        cancel=bool(_int(found[3])),
        want_have=_int(found[4]) == _HAVE,
        send_dont_have=bool(_int(found[5])),
    )


def _read_block(data: bytes, budget: _Budget) -> Block:
    found: dict[int, int | bytes] = {1: b"", 2: b""}
    found.update(budget.fields(data))
    block = Block(_bytes(found[1]), _bytes(found[2]))
    if len(block.prefix) > MAX_CID or len(block.data) > MAX_BLOCK:
        raise EncodingError(f"a block of {len(block.data)} bytes; {MAX_BLOCK} are allowed")
    return block


def _read_presence(data: bytes, budget: _Budget) -> tuple[bytes, bool]:
    found: dict[int, int | bytes] = {1: b"", 2: 0}
    found.update(budget.fields(data))
    return _cid(found[1]), _int(found[2]) == _HERE


def _cid(value: int | bytes) -> bytes:
    cid = _bytes(value)
    if len(cid) > MAX_CID:
        raise EncodingError(f"a CID of {len(cid)} bytes")
    return cid


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise EncodingError("a number where bytes should be")
    return value


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise EncodingError("bytes where a number should be")
    return value


# --- writing -------------------------------------------------------------------------------------------------------------------


def encode_message(message: Message) -> bytes:
    """The bytes of a message, without the length before it. It always has a want-list: some older peers read no other."""
    wants = b"".join(bytes_field(1, _write_entry(entry)) for entry in message.entries)
    parts = [bytes_field(1, wants + varint_field(2, int(message.full)))]
    parts += [bytes_field(3, bytes_field(1, block.prefix) + bytes_field(2, block.data)) for block in message.blocks]
    parts += [
        bytes_field(4, bytes_field(1, cid) + varint_field(2, _HERE if here else _NOT_HERE))
        for cid, here in message.presences
    ]
    if message.pending_bytes:
        parts.append(varint_field(5, message.pending_bytes))
    return b"".join(parts)


def _write_entry(entry: Entry) -> bytes:
    return b"".join(
        (
            bytes_field(1, entry.cid),
            varint_field(2, entry.priority),
            varint_field(3, int(entry.cancel)),
            varint_field(4, _HAVE if entry.want_have else _BLOCK),
            varint_field(5, int(entry.send_dont_have)),
        )
    )
