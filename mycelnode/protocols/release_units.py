"""What is counted: one day of one habit over all devices of a person, each once, and in one window only. Pure.

A device hands over one `Handed` for each of its turns that has a key. Which of them count, the releaser decides alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mycelnode.encoding import as_bytes, as_int, as_list, blake2b, encode
from mycelnode.errors import EncodingError

MARK_BYTES: Final = 32
MAX_MARKS: Final = 8  # of one turn: one under each secret of the mesh
MAX_KEY_BYTES: Final = 1_024
MAX_DAY: Final = 2_932_896  # days from 1970 to the end of the year 9999
FORGOTTEN: Final = 0  # the label of a mark that never counts again, in no window

DayMarks = Callable[[bytes, int], Iterable[bytes]]  # of a key and a day, under each secret


@dataclass(frozen=True, slots=True)
class Handed:
    """A turn as it is handed to the releaser: its marks, that by which the device knows it first, its habit's key, and its day.

    ``dated``: the day is the turn's own, and not that of its ingestion.
    """

    marks: tuple[bytes, ...]
    key: bytes
    day: int
    dated: bool

    def write(self) -> list[object]:
        """As it travels."""
        return [list(self.marks), self.key, self.day, self.dated]

    @classmethod
    def read(cls, value: object) -> Handed:
        """The inverse. Raises `EncodingError`."""
        marks, key, day, dated = as_list(value, 4)
        found = tuple(as_bytes(mark, MARK_BYTES) for mark in as_list(marks))
        if not 1 <= len(found) <= MAX_MARKS or not 0 < len(as_bytes(key)) <= MAX_KEY_BYTES or type(dated) is not bool:
            raise EncodingError("not a turn as it is handed over")
        return cls(found, key, as_int(day, 0, MAX_DAY), dated)


def label(start: int) -> int:
    """What the marks of a window that begins with the quarter ``start`` are labelled with: above `FORGOTTEN`, rising with time."""
    return start + 1


def counts(
    handed: Iterable[Handed], window: int, labels: Callable[[bytes], Iterable[int]], day_marks: DayMarks
) -> dict[bytes, int]:
    """key → on how many days it counts, of those with one at least.

    ``window``: the label of this one. ``labels(mark)``: the windows that a turn, or a day of a habit, was handed in; one before
    this one, or `FORGOTTEN`, and it counts no more. A turn that several devices have counts on one day: that which it names itself,
    the earliest of them.
    """

    def spent(marks: Iterable[bytes]) -> bool:
        return any(found < window for mark in marks for found in labels(mark))

    days: dict[bytes, set[int]] = {}
    for turn, marks in _turns(handed):
        if not spent(marks):
            days.setdefault(turn.key, set()).add(turn.day)
    kept = {key: [day for day in found if not spent(day_marks(key, day))] for key, found in days.items()}
    return {key: len(found) for key, found in kept.items() if found}


def _turns(handed: Iterable[Handed]) -> list[tuple[Handed, set[bytes]]]:
    """Each turn once, with all marks of it: two that have a mark in common are one, also if one device knew more secrets."""
    found: dict[bytes, tuple[Handed, set[bytes]]] = {}
    for one in handed:
        turn, marks = one, set(one.marks)
        for other, more in {id(known): known for mark in one.marks if (known := found.get(mark))}.values():
            turn, marks = min(turn, other, key=_rank), marks | more
        found.update(dict.fromkeys(marks, (turn, marks)))
    return list({id(one): one for one in found.values()}.values())


def _rank(turn: Handed) -> tuple[bool, int, bytes]:
    return (not turn.dated, turn.day, turn.key)


def digest(salt: bytes, found: Mapping[bytes, int]) -> bytes:
    """32 bytes that stand for what was counted, and tell nobody who has not the salt."""
    return blake2b(encode([salt, [[key, found[key]] for key in sorted(found)]]))
