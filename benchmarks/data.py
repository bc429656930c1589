"""The workloads: the same incompressible data in Python and in JavaScript (hypercore.mjs), and the least bytes that carry it.

Only the standard library is needed here: the peers' interpreter imports this, too.

W1  a map of N keys (16 characters) with values of 64 bytes, each set in its own transaction; then an empty replica gets it.
W2  N keys in common; each side sets N/100 others, a transaction each; then they meet.
W3  a set of N common elements of 16 characters; each side adds N/2 and removes N/4, and one adds N/100 again which the other
    removes at the same time: all of them must be there in the end (add wins).
W4  a log of N entries of 256 bytes.
"""

from __future__ import annotations

import base64
import gc
import hashlib
from dataclasses import dataclass
from time import perf_counter

KEY_BYTES = 16
VALUE_BYTES = 64
ENTRY_BYTES = 256
DIGEST_BYTES = 32
REMOVAL_BYTES = 5  # the least that names an add: who made it (1 byte), and its number (4)
PIECE_BYTES = 1 << 20  # of a large file, as it is written and chunked
V1_2025 = ("--cid-version=1", "--raw-leaves", f"--chunker=size-{PIECE_BYTES}", "--max-file-links=1024")  # for Kubo


def now_swept() -> float:
    """The clock, once what was done before has left no garbage: a full collection falls into no part by luck."""
    gc.collect()
    return perf_counter()


def _name(kind: bytes, number: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(kind + b"%d" % number).digest())[:KEY_BYTES].decode()


def key(number: int) -> str:
    """The key of that number."""
    return _name(b"k", number)


def element(number: int) -> str:
    """The set element of that number."""
    return _name(b"e", number)


def value(number: int, generation: int = 0) -> bytes:
    """The value under the key of that number."""
    return hashlib.sha512(b"v%d.%d" % (number, generation)).digest()


def entry(number: int) -> bytes:
    """The log entry of that number."""
    return b"".join(hashlib.sha512(b"l%d.%d" % (number, part)).digest() for part in range(4))


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are, all derived from ``n``."""

    n: int = 10_000

    @property
    def catalogue(self) -> int:
        """Manifests in a catalogue."""
        return 10 * self.n

    @property
    def changed(self) -> int:
        """W2: keys that each side sets."""
        return self.n // 100

    @property
    def added(self) -> int:
        """W3: elements that each side adds."""
        return self.n // 2

    @property
    def removed(self) -> int:
        """W3: elements that each side removes."""
        return self.n // 4

    @property
    def probes(self) -> int:
        """W3: elements that one side adds again while the other removes them."""
        return self.n // 100

    @property
    def alive(self) -> int:
        """W3: elements that are there in the end."""
        return self.n + 2 * (self.added - self.removed) + self.probes

    # --- floors: bytes of the data alone ---------------------------------------------------------------------------------

    @property
    def w1_floor(self) -> int:
        """Every key and value once."""
        return self.n * (KEY_BYTES + VALUE_BYTES)

    @property
    def w2_floor(self) -> int:
        """Every changed key and value once."""
        return 2 * self.changed * (KEY_BYTES + VALUE_BYTES)

    @property
    def w3_floor(self) -> int:
        """Every element added once, and every removal by reference."""
        return (2 * self.added + self.probes) * KEY_BYTES + 2 * self.removed * REMOVAL_BYTES

    @property
    def w3_state_floor(self) -> int:
        """Every living element once."""
        return self.alive * KEY_BYTES

    @property
    def w4_floor(self) -> int:
        """Every entry once."""
        return self.n * ENTRY_BYTES

    # --- W3, as lists ----------------------------------------------------------------------------------------------------

    def common(self) -> list[str]:
        """What both begin with."""
        return [element(number) for number in range(self.n)]

    def one_side(self) -> tuple[list[str], list[str]]:
        """What the first side adds, its probes last, and removes."""
        new = [element(number) for number in range(self.n, self.n + self.added)]
        return [*new, *self.probed()], [element(number) for number in range(self.removed)]

    def other_side(self) -> tuple[list[str], list[str]]:
        """What the second side adds, and removes."""
        first = self.n + self.added
        new = [element(number) for number in range(first, first + self.added)]
        return new, [element(number) for number in range(self.added, self.added + self.removed)]

    def probed(self) -> list[str]:
        """What the first side adds again while the second removes it."""
        return [element(number) for number in range(self.added, self.added + self.probes)]
