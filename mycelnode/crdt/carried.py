"""What a device signs by itself and also writes into its log, as the entry ``[0, wire form]``.

It travels alone too, and its place in the log is inside what is signed: so "beyond a fence" can be judged from it and the chain
of hashes alone, and nobody can date it back, for another entry stands at that place.

Wire form: canonical CBOR ``[body, signature]``; the signature covers ``context ‖ root key ‖ body``, so what was signed for one mesh
is worth nothing in another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Self

from mycelnode.crdt.changelog import Head, Sign, Verify, chain
from mycelnode.encoding import as_bytes, as_int, as_list, blake2b, decode, encode
from mycelnode.errors import LogError


class Carried(ABC):
    """The base of frozen dataclasses with the fields ``author``, ``position`` and ``signature``.

    ``position`` is (seq of the carrying entry, chain hash before it); None for what the root signs, which stands in no log.
    """

    CONTEXT: ClassVar[bytes]
    author: bytes
    position: Head | None
    signature: bytes

    @abstractmethod
    def fields(self) -> list[Any]:
        """The signed part, as a canonical CBOR list."""

    @cached_property
    def body(self) -> bytes:
        """The signed part."""
        return encode(self.fields())

    @cached_property
    def encoded(self) -> bytes:
        """The wire form."""
        return encode([self.body, self.signature])

    @cached_property
    def id(self) -> bytes:
        """32 bytes that name this: the hash of its wire form."""
        return blake2b(self.encoded)

    @property
    def entry(self) -> bytes:
        """The log entry that carries it."""
        return encode([0, self.encoded])

    @cached_property
    def at(self) -> Head | None:
        """The head of the author's log right after the carrying entry; None for what the root signs."""
        if self.position is None:
            return None
        return Head(self.position.seq, chain(self.position.hash, self.entry))

    def signed(self, root: bytes, sign: Sign) -> Self:
        """The same with its author's signature."""
        return replace(self, signature=sign(self.CONTEXT + root + self.body))  # type: ignore[type-var]

    def verify_signature(self, root: bytes, verify: Verify) -> None:
        """Raise `LogError` unless the author signed this for the mesh of ``root``."""
        if self.position is not None and self.position.seq < 1:
            raise LogError("log positions start at 1")
        if not verify(self.author, self.CONTEXT + root + self.body, self.signature):
            raise LogError("the signature of a statement is wrong")


def open_wire(data: bytes, max_bytes: int, max_depth: int) -> tuple[Any, bytes]:
    """(the fields of the body, signature) of a wire form. Raises `EncodingError`."""
    body, signature = as_list(decode(data, max_bytes=max_bytes, max_depth=4), 2)
    return decode(as_bytes(body), max_bytes=max_bytes, max_depth=max_depth), as_bytes(signature, 64)


def head_to_wire(head: Head | None) -> list[Any] | None:
    """``[seq, hash]``, or None."""
    return None if head is None else [head.seq, head.hash]


def head_from_wire(value: Any) -> Head | None:
    """The inverse; raises `EncodingError`."""
    if value is None:
        return None
    seq, digest = as_list(value, 2)
    return Head(as_int(seq), as_bytes(digest, 32))
