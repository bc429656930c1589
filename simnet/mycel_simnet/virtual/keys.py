"""Signing keys that cost no CPU: everybody could forge, nobody here does. And what a broken promise raises."""

from __future__ import annotations

import hashlib
from typing import Protocol


class Broken(AssertionError):
    """A promise was broken; ``kind`` says which."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


class Signer(Protocol):
    """A private key."""

    @property
    def public(self) -> bytes:
        """32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of ``message``."""
        ...


class Key:
    """A `Signer` made from a name."""

    def __init__(self, name: str) -> None:
        self.public = hashlib.blake2b(name.encode(), digest_size=32).digest()

    def sign(self, message: bytes) -> bytes:
        """A keyed hash, under a key that is public."""
        return hashlib.blake2b(self.public + message).digest()


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Is ``signature`` what the `Key` with that public part signs?"""
    return hashlib.blake2b(key + message).digest() == signature
