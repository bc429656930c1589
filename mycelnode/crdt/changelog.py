"""A device's append-only log: entries, the hash chain over them, and signed heads.

An entry is one transaction, canonical CBOR ``[clock, op, op, …]`` or ``[0, statement]``. With ``d_n = BLAKE2b-256(entry_n)`` the
chain is ``h_0 = BLAKE2b-256(b"mycel-log" ‖ root ‖ device)``, ``h_n = BLAKE2b-256(h_{n−1} ‖ d_n)``. The device signs heads
``(seq, h_seq)``, not entries: one signature vouches for all before it. Hashing the digest, not the entry, lets the chain be
verified also where contents were replaced by state (docs/decisions/0001).

Pure: signing and verifying are injected (`Sign`, `Verify`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mycelnode.encoding import Digest, as_bytes, as_int, as_list, decode, encode
from mycelnode.errors import LogError, ValueRefused

DeviceId = bytes  # 32 bytes: an Ed25519 public key
Sign = Callable[[bytes], bytes]  # message → 64-byte Ed25519 signature
Verify = Callable[[bytes, bytes, bytes], bool]  # (public key, message, signature) → valid?

MAX_ENTRY = 256 * 1024  # bytes of one encoded transaction, refused at write
MAX_ENTRY_DEPTH = 24
MAX_SEQ = (1 << 48) - 1
MAX_CLOCK = (1 << 63) - 1


class Head(NamedTuple):
    """A point of a log: the number of entries, and the chain hash after the last of them."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head with its device's signature."""

    seq: int
    hash: bytes
    signature: bytes

    @property
    def head(self) -> Head:
        """Without the signature."""
        return Head(self.seq, self.hash)

    def to_wire(self) -> list[Any]:
        """``[seq, hash, signature]``."""
        return [self.seq, self.hash, self.signature]

    @classmethod
    def from_wire(cls, value: Any) -> SignedHead:
        """The inverse of `to_wire`; raises `EncodingError`. Verified by `verify_head`, not here."""
        seq, digest, signature = as_list(value, 3)
        return cls(as_int(seq, 1, MAX_SEQ), as_bytes(digest, 32), as_bytes(signature, 64))


def genesis(root: bytes, device: DeviceId) -> Head:
    """The head of ``device``'s empty log in the mesh of ``root``."""
    return Head(0, hashlib.blake2b(b"mycel-log" + root + device, digest_size=32).digest())


def digest(entry: bytes) -> bytes:
    """BLAKE2b-256 of an encoded entry (which may be all that is left of it): what the chain runs over."""
    return entry if isinstance(entry, Digest) else hashlib.blake2b(entry, digest_size=32).digest()


def chain(previous: bytes, entry: bytes) -> bytes:
    """The chain hash after ``entry``."""
    return hashlib.blake2b(previous + digest(entry), digest_size=32).digest()


def chain_digests(start: Head, digests: Iterable[bytes]) -> list[bytes]:
    """The chain hash after each entry, from the entries' digests alone."""
    hashes, last = [], start.hash
    for item in digests:
        last = hashlib.blake2b(last + item, digest_size=32).digest()
        hashes.append(last)
    return hashes


def head_message(root: bytes, device: DeviceId, head: Head) -> bytes:
    """The bytes that a device signs for a head."""
    return b"mycel-head" + root + device + head.seq.to_bytes(8, "big") + head.hash


def sign_head(root: bytes, device: DeviceId, head: Head, sign: Sign) -> SignedHead:
    """``head``, vouched for by its device."""
    return SignedHead(head.seq, head.hash, sign(head_message(root, device, head)))


def verify_head(root: bytes, device: DeviceId, head: SignedHead, verify: Verify) -> None:
    """Raise `LogError` unless ``device`` signed ``head`` for this mesh."""
    if not verify(device, head_message(root, device, head.head), head.signature):
        raise LogError("the signature of a log head is wrong")


def verify_batch(
    root: bytes, device: DeviceId, start: Head, entries: Sequence[bytes], head: SignedHead, verify: Verify
) -> list[bytes]:
    """The chain hashes of ``entries``, which continue the log from ``start`` and end exactly at the signed ``head``; a `Digest`
    stands for an entry that was replaced by state.

    Raises `LogError` when an entry is too large, the count or the chain does not reach the head (truncated, reordered, replaced or
    foreign entries), or the signature is wrong. Nothing of a refused batch may be stored.
    """
    if start.seq + len(entries) != head.seq:
        raise LogError("a batch does not end at the head sent with it")
    if any(len(entry) > MAX_ENTRY for entry in entries):
        raise LogError("an entry is larger than any device may write")
    hashes = chain_digests(start, map(digest, entries))
    if (hashes[-1] if hashes else start.hash) != head.hash:
        raise LogError("a batch does not reach the head sent with it")
    verify_head(root, device, head, verify)
    return hashes


def encode_entry(clock: int, operations: Sequence[Any]) -> bytes:
    """The entry for one transaction; `ValueRefused` if it is empty or larger than `MAX_ENTRY`."""
    if not operations:
        raise ValueRefused("a transaction without operations")
    data = encode([clock, *operations])
    if len(data) > MAX_ENTRY:
        raise ValueRefused(
            f"a transaction of {len(data):,} bytes; {MAX_ENTRY:,} are allowed: store large values as files"
        )
    return data


def decode_entry(data: bytes) -> list[Any]:
    """``[clock, op, …]`` or ``[0, statement bytes]``; else `EncodingError` or `LogError`. The document checks operations."""
    entry = list(as_list(decode(data, max_bytes=MAX_ENTRY, max_depth=MAX_ENTRY_DEPTH)))
    if len(entry) < 2:
        raise LogError("an entry without operations")
    as_int(entry[0], 0, MAX_CLOCK)
    if entry[0] == 0:
        as_bytes(entry[1])
        as_list(entry, 2)
    return entry
