"""TEMP"""

from __future__ import annotations
from dataclasses import dataclass
from mycelnode.encoding import decode, encode, blake2b


@dataclass(frozen=True)
class Key:
    words: tuple[str, ...]

    def encode(self):
        return encode(list(self.words))

    @classmethod
    def decode(cls, data):
        return cls(tuple(decode(data)))

    @property
    def title(self):
        return " ".join(self.words)

    @property
    def sensitive(self):
        return False


def key_of(request, answer, owner=None):
    w = tuple(
        sorted(x for x in request.lower().split() if x in {"write", "test", "fix", "email", "plan", "dinner", "bug"})
    )
    return Key(w) if w else None


def version():
    return blake2b(b"temp")
