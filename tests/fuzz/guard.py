"""The four promises of every decoder, and how they are checked: no crash, no hang, no unbounded memory, one encoding a value."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mycelnode.encoding import MAX_BYTES
from mycelnode.errors import MycelError

FLAT_BYTES = 1 << 20  # of memory that any input may cost
BYTES_PER_BYTE = 256  # and for each of its bytes: an empty list is 56 bytes, a pair of them in a map near 200
SECONDS = 0.5  # of CPU that any input may cost
SECONDS_PER_BYTE = 5e-6  # and for each of its bytes
TRACED_SLOWER = 8  # times at most, while memory is traced


class Broken(AssertionError):
    """A decoder broke a promise."""


@dataclass(frozen=True)
class Target:
    """A decoder: ``run`` gives it one input, and may raise only ``promised``; it raises `Broken` where the outcome is wrong.

    ``seeds`` makes real inputs, from which others are made. ``refused``: parts of the sentences with which some of them are
    refused, because they are meant for somebody else. ``largest``: in bytes; what is larger is refused unread, or never sent.
    """

    name: str
    run: Callable[[bytes], object]
    promised: tuple[type[BaseException], ...]
    seeds: Callable[[], Sequence[bytes]]
    per_byte: int = BYTES_PER_BYTE
    flat: int = FLAT_BYTES
    seconds_per_byte: float = SECONDS_PER_BYTE
    largest: int = MAX_BYTES
    refused: tuple[str, ...] = ()
    slow: bool = False  # more than a millisecond an input

    def __str__(self) -> str:
        return self.name

    def unhurried(self) -> Target:
        """The same with time enough for large inputs while memory is traced."""
        return replace(self, seconds_per_byte=TRACED_SLOWER * self.seconds_per_byte)

    def feed(self, data: bytes) -> bool:
        """One input; True if it was accepted. Raises `Broken` for a crash, a hang, or a wrong outcome."""
        started = time.thread_time()
        accepted = True
        try:
            self.run(data)
        except self.promised as error:
            accepted = False
            if isinstance(error, MycelError) and not str(error):
                raise Broken(f"{self.name}: an error without a sentence for {shown(data)}") from error
        except Broken:
            raise
        except BaseException as error:
            raise Broken(f"{self.name}: {type(error).__name__} for {shown(data)}: {error}") from error
        took = time.thread_time() - started
        if took > SECONDS + self.seconds_per_byte * len(data):
            raise Broken(f"{self.name}: {took:.2f} s of CPU for {len(data)} bytes: {shown(data)}")
        return accepted

    def feed_within_memory(self, data: bytes) -> bool:
        """`feed`, while memory is traced (see `traced`)."""
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        accepted = self.feed(data)
        _, peak = tracemalloc.get_traced_memory()
        if peak - before > self.flat + self.per_byte * len(data):
            raise Broken(f"{self.name}: {peak - before:,} bytes of memory for {len(data)} bytes: {shown(data)}")
        return accepted


def text(data: bytes) -> str:
    """Bytes as the text that a person or a file may hold."""
    return data.decode("utf-8", "replace")


def texts(*items: str) -> Callable[[], Sequence[bytes]]:
    """Texts as seeds."""
    return lambda: [item.encode() for item in items]


def shown(data: bytes) -> str:
    """An input as a test can hold it."""
    return f"bytes.fromhex({data[:2000].hex()!r})" + ("…" if len(data) > 2000 else "")


@contextmanager
def traced() -> Iterator[None]:
    """While memory is measured."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def same(name: str, again: bytes, data: bytes) -> None:
    """A canonical decoder: what was accepted is written just so."""
    if again != data:
        raise Broken(f"{name}: accepted {shown(data)}, and writes {shown(again)}")


def one_by_one(frames: Any) -> Iterable[bytes]:
    """The byte strings of an input that is a list of messages."""
    return [frame for frame in frames if type(frame) is bytes] if isinstance(frames, list) else []
