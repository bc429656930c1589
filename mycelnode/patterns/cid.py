"""Content identifiers: what a block is called, from its bytes (https://github.com/multiformats/cid).

One kind is made here, and only its like is read: sha2-256 of a raw, DAG-PB or DAG-CBOR block, as CIDv1 in base32. A CIDv0 names the
same block as the CIDv1 of DAG-PB with its hash, and is read as that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from mycelnode.encoding import base32, from_base32, from_base58
from mycelnode.errors import CidRefused, EncodingError

RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71
CODECS: Final = {RAW: "raw", DAG_PB: "dag-pb", DAG_CBOR: "dag-cbor"}

DIGEST_BYTES: Final = 32
_VERSION: Final = b"\x01"
_SHA2_256: Final = b"\x12\x20"  # and the length of the digest
_BINARY_BYTES: Final = 4 + DIGEST_BYTES
TEXT_CHARS: Final = 59  # of a CID: "b", and 36 bytes in base32
_V0_CHARS: Final = 46


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """``codec`` says how the block is to be read, ``digest`` is its sha2-256."""

    codec: int
    digest: bytes

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise CidRefused(f"blocks here are raw, dag-pb or dag-cbor, and codec 0x{self.codec:x} is none of these")
        if len(self.digest) != DIGEST_BYTES:
            raise CidRefused("a CID here holds the 32 bytes of a sha2-256")

    @classmethod
    def of(cls, codec: int, block: bytes) -> Cid:
        """The name of a block."""
        return cls(codec, hashlib.sha256(block).digest())

    @classmethod
    def from_bytes(cls, data: bytes) -> Cid:
        """The inverse of `binary`; reads the 34 bytes of a CIDv0, too. Raises `CidRefused`."""
        if len(data) == len(_SHA2_256) + DIGEST_BYTES and data.startswith(_SHA2_256):
            return cls(DAG_PB, data[2:])
        if len(data) != _BINARY_BYTES or data[:1] != _VERSION or data[2:4] != _SHA2_256:
            raise CidRefused("only a CIDv1 (or v0) of a sha2-256 is known here")
        return cls(data[1], data[4:])

    @classmethod
    def parse(cls, text: str) -> Cid:
        """A CID as people paste it: base32, or the base58 of a CIDv0, also after ``ipfs://`` or ``/ipfs/``. Raises `CidRefused`."""
        word = text.strip().removeprefix("ipfs://").removeprefix("/ipfs/")
        shown = word if len(word) <= 2 * TEXT_CHARS else word[:TEXT_CHARS] + "…"
        try:
            if len(word) == _V0_CHARS and word.startswith("Qm"):
                return cls.from_bytes(from_base58(word))
            if len(word) == TEXT_CHARS and word[0] in "bB":
                return cls.from_bytes(from_base32(word[1:]))
        except EncodingError as error:
            raise CidRefused(f"{shown!r} is no CID of ours: {error}") from error
        raise CidRefused(f"{shown!r} is no CID: one begins with b and has {TEXT_CHARS} characters")

    @property
    def binary(self) -> bytes:
        """36 bytes: version, codec, hash function, length, digest; each of the first four is a varint of one byte."""
        return _VERSION + bytes([self.codec]) + _SHA2_256 + self.digest

    def names(self, block: bytes) -> bool:
        """Is this the CID of that block?"""
        return hashlib.sha256(block).digest() == self.digest

    def __str__(self) -> str:
        return "b" + base32(self.binary)
