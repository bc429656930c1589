"""The library's columns in memory: what is filtered by, and one model's vectors as one matrix, so that a search is one product.

A copy of the database, read once and then brought up to date by `pattern_changes`. Blocking; a thread uses it under its ``lock``.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mycelnode.lazy import np
from mycelnode.patterns.library import MAX_CHANGES
from mycelnode.patterns.pattern import MAX_YOCTO
from mycelnode.patterns.vectors import Vectors

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_CAUGHT_UP: Final = 5_000  # changes; with more, all is read anew, which is quicker
GROWTH: Final = 1.25  # of the matrix: while it grows there are two of them
SPARSE: Final = 4  # when fewer than one in so many rows are wanted, they are taken out before they are multiplied
_HALF: Final = (1 << 64) - 1
_ROWS: Final = (
    "SELECT p.no, p.hidden, p.kind, p.domain, p.language, p.creator, p.price, v.vector FROM patterns p"
    " LEFT JOIN pattern_vectors v ON v.model = ? AND v.dim = ? AND v.no = p.no"
)

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Accept = Callable[[int], bool]


class _Coded:
    """A column of values as numbers."""

    def __init__(self, room: int) -> None:
        self.codes: dict[Hashable, int] = {}
        self.column = np.zeros(room, np.int32)

    def put(self, slot: int, value: Hashable) -> None:
        self.column[slot] = self.codes.setdefault(value, len(self.codes))

    def which(self, accepted: Callable[[Any], bool], rows: int) -> Mask:
        wanted = [code for value, code in self.codes.items() if accepted(value)]
        found: Mask = np.isin(self.column[:rows], wanted)
        return found

    def equal(self, value: Hashable, rows: int) -> Mask:
        found: Mask = self.column[:rows] == self.codes.get(value, -1)
        return found


class Columns:
    """The patterns that can be found, with the vectors that ``model`` made, of ``dim`` numbers; without a model there are none."""

    def __init__(self, model: str | None = None, dim: int = 0) -> None:
        self.model, self.dim = model, dim if model is not None else 0
        self.lock = threading.Lock()
        self._change: int | None = None  # up to which all is here
        self._clear(0)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def with_vector(self) -> int:
        """How many have one."""
        return int(np.count_nonzero(self._embedded[: self._rows]))

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Bring it up to date with what ``connection`` sees."""
        first, last = connection.execute(
            "SELECT (SELECT min(change) FROM pattern_changes), (SELECT max(change) FROM pattern_changes)"
        ).fetchone()  # each a look at one end; asked for together, SQLite reads them all
        if last == self._change:
            return
        if last is None or self._change is None or self._missed(first, last):
            self._read_all(connection)
        else:
            changed = {no for (no,) in connection.execute(
                "SELECT no FROM pattern_changes WHERE change > ?", (self._change,)
            )}  # fmt: skip
            for no in sorted(changed):
                rows = connection.execute(f"{_ROWS} WHERE p.no = ?", (self.model, self.dim, no)).fetchall()
                self._remove(no)
                self._put_all(rows)
        self._change = last

    def mask(
        self,
        *,
        domain: str | None = None,
        language: str | None = None,
        kind: str | None = None,
        max_price: int | None = None,  # 0 or more
        creator: bytes | None = None,
        prices: Mapping[int, int] = MappingProxyType({}),
    ) -> Selection:
        """Those that all of these hold for; ``language`` "pt" is also that of "pt-BR", ``prices`` are by number those of today."""
        rows = self._rows
        chosen = self._there[:rows].copy()
        for column, value in ((self._kinds, kind), (self._domains, domain), (self._creators, creator)):
            if value is not None:
                chosen &= column.equal(value, rows)
        if language is not None:
            chosen &= self._languages.which(lambda tag: speaks(tag, language), rows)
        if max_price is not None:
            most = min(max_price, MAX_YOCTO)
            high, low = np.uint64(most >> 64), np.uint64(most & _HALF)
            highs, lows = self._price_high[:rows], self._price_low[:rows]
            cheap = (highs < high) | ((highs == high) & (lows <= low))
            for no, price in prices.items():
                if 0 <= (slot := self._slots.get(no, -1)) < rows:
                    cheap[slot] = price <= most
            chosen &= cheap
        return Selection(self, chosen)

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _missed(self, first: int, last: int) -> bool:
        assert self._change is not None
        crowded = len(self._domains.codes) + len(self._creators.codes) + len(self._languages.codes)
        return first > self._change + 1 or last - self._change > MAX_CAUGHT_UP or crowded > 3 * len(self) + MAX_CHANGES

    def _clear(self, room: int) -> None:
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self._rows = 0  # slots in use, or free again
        self._numbers = np.zeros(room, np.int64)
        self._there, self._embedded = np.zeros(room, np.bool_), np.zeros(room, np.bool_)
        self._kinds, self._domains, self._languages, self._creators = (_Coded(room) for _ in range(4))
        self._price_high, self._price_low = np.zeros(room, np.uint64), np.zeros(room, np.uint64)
        self._matrix: Vectors = np.zeros((room, self.dim), np.float32)

    def _grow(self, room: int) -> None:
        def grown(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            larger = np.zeros((room, *array.shape[1:]), array.dtype)
            larger[: self._rows] = array[: self._rows]
            return larger

        self._numbers, self._there, self._embedded = map(grown, (self._numbers, self._there, self._embedded))
        self._price_high, self._price_low = grown(self._price_high), grown(self._price_low)
        for coded in (self._kinds, self._domains, self._languages, self._creators):
            coded.column = grown(coded.column)
        self._matrix = grown(self._matrix)

    def _read_all(self, connection: sqlite3.Connection) -> None:
        self._change = None  # should this fail half-way, it is done again
        (count,) = connection.execute("SELECT sum(count) FROM pattern_counts").fetchone()
        self._clear(int(count))
        self._put_all(connection.execute(f"{_ROWS} ORDER BY p.no", (self.model, self.dim)))

    def _put_all(self, rows: Iterable[Sequence[Any]]) -> None:
        for no, hidden, kind, domain, language, creator, price, vector in rows:
            if hidden:
                continue
            slot = self._slot()
            self._slots[no] = slot
            self._numbers[slot], self._there[slot], self._embedded[slot] = no, True, vector is not None
            self._kinds.put(slot, kind)
            self._domains.put(slot, domain)
            self._languages.put(slot, language)
            self._creators.put(slot, creator)
            self._price_high[slot], self._price_low[slot] = int(price) >> 64, int(price) & _HALF
            self._matrix[slot] = 0.0 if vector is None else np.frombuffer(vector, "<f4")

    def _slot(self) -> int:
        if self._free:
            return self._free.pop()
        if self._rows == len(self._numbers):
            self._grow(int(self._rows * GROWTH) + 64)
        self._rows += 1
        return self._rows - 1

    def _remove(self, no: int) -> None:
        slot = self._slots.pop(no, None)
        if slot is not None:
            self._there[slot] = self._embedded[slot] = False
            self._free.append(slot)


class Selection:
    """Some of the patterns; good until the columns are refreshed."""

    def __init__(self, columns: Columns, mask: Mask) -> None:
        self._columns, self._mask = columns, mask

    def __contains__(self, no: int) -> bool:
        slot = self._columns._slots.get(no, -1)
        return 0 <= slot < len(self._mask) and bool(self._mask[slot])

    def nearest(self, vector: Vectors, most: int, accept: Accept | None = None) -> list[tuple[int, float]]:
        """(number, cosine) of the ``most`` nearest to ``vector`` ([dim], of unit length), of those that ``accept`` takes."""
        columns = self._columns
        wanted = self._mask & columns._embedded[: len(self._mask)]
        if int(np.count_nonzero(wanted)) * SPARSE < columns._rows:
            slots = np.flatnonzero(wanted)
            cosines = columns._matrix[slots] @ vector
        else:
            slots = np.arange(columns._rows)
            cosines = columns._matrix[: columns._rows] @ vector
            cosines[~wanted] = -np.inf
        if accept is None and len(slots) > most:
            best = np.argpartition(cosines, len(slots) - most)[-most:]
            slots, cosines = slots[best], cosines[best]
        numbers = columns._numbers[slots]
        found: list[tuple[int, float]] = []
        for place in np.lexsort((numbers, -cosines)):
            no = int(numbers[place])
            if wanted[slots[place]] and (accept is None or accept(no)):
                found.append((no, float(cosines[place])))
                if len(found) == most:
                    break
        return found


def speaks(tag: str, wanted: str) -> bool:
    """Is the language ``tag`` the ``wanted`` one, or a variety of it (RFC 4647, 3.3.1: basic filtering)?"""
    return tag.lower() == wanted.lower() or tag.lower().startswith(f"{wanted.lower()}-")
