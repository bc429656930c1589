"""The end of a catalogue session that answers: from what it holds already, and no more than an honest session asks.

docs/protocols/catalogue.md has the states. The other end's machine is in `catalogue`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final

from mycelnode.encoding import as_int, as_list, encode
from mycelnode.errors import EncodingError, PeerMisbehaved
from mycelnode.protocols.catalogue_frames import (
    CELLS,
    CELLS_AT_ONCE,
    CELLS_PER_FRAME,
    CUT,
    ENDS,
    HELLO,
    HERE,
    LACKS,
    LEVELS,
    LIST,
    LISTED_DIGESTS,
    LISTS,
    MAX_REQUESTS,
    MAX_TOLD,
    MORE,
    PARTS,
    SPLIT,
    SPLITS,
    VERSION,
    View,
    listing,
    message,
    read_digests,
)
from mycelnode.protocols.ranges import read_ranges, split

STUCK_CELLS: Final = 64  # whoever asks about ranges after so many could not take the difference out of them


class Responder:
    """One session over ``view``. ``told`` is what the other end says that we lack: hints, of things nobody has seen yet."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.told: list[bytes] = []
        self.stuck = False  # did it not get by with cells?
        self._greeted = False
        self._requests = 0
        self._cells = 1  # sent; the first comes with the greeting
        self._listed = 0
        self._hashed = 0
        self._claims = 0
        self._last = b""  # of what it said that we lack

    def receive(self, frame: bytes) -> Iterator[bytes]:
        """The frames that answer a frame, made one at a time. Raises `PeerMisbehaved`, then the session is over."""
        try:
            return self._answer(*message(frame))
        except EncodingError as error:
            raise PeerMisbehaved(f"a catalogue request does not parse: {error}") from error

    def _answer(self, kind: int, said: Sequence[Any]) -> Iterator[bytes]:
        self._requests += 1
        if self._requests > MAX_REQUESTS:
            raise PeerMisbehaved(f"more than {MAX_REQUESTS} requests in one catalogue session")
        if (kind == HELLO) == self._greeted:
            raise PeerMisbehaved("a catalogue session begins with one greeting")
        handlers = {HELLO: self._greet, MORE: self._more, SPLIT: self._split, LIST: self._list, LACKS: self._lacks}
        if kind not in handlers:
            raise EncodingError(f"there is no request {kind}")
        return handlers[kind](said)

    def _greet(self, said: Sequence[Any]) -> Iterator[bytes]:
        _, version = as_list(said, 2)
        as_int(version, low=1)
        self._greeted = True
        view = self.view
        return iter([encode([HERE, VERSION, view.key, len(view.digests), len(view.cells), view.cells[:1].encode()])])

    def _more(self, said: Sequence[Any]) -> Iterator[bytes]:
        _, first, count = as_list(said, 3)
        end = as_int(first) + as_int(count, low=1, high=CELLS_AT_ONCE)
        if first != self._cells or end > len(self.view.cells):
            raise PeerMisbehaved("cells are to be had once, in order, and no more than there are")
        self._cells = end
        starts = range(first, end, CELLS_PER_FRAME)
        return (self._some(start, min(start + CELLS_PER_FRAME, end)) for start in starts)

    def _some(self, start: int, end: int) -> bytes:
        return encode([CELLS, start, end - start, self.view.cells[start:end].encode()])

    def _split(self, said: Sequence[Any]) -> Iterator[bytes]:
        ranges = read_ranges(as_list(said, 2)[1], SPLITS)
        digests, key = self.view.digests, self.view.key
        self._complain()
        for each in ranges:
            place = each.of(digests)
            self._hashed += place.stop - place.start
        if self._hashed > LEVELS * len(digests):
            raise PeerMisbehaved("the same ranges are cut up again and again")
        return iter([encode([PARTS, [split(key, digests, each) for each in ranges]])])

    def _list(self, said: Sequence[Any]) -> Iterator[bytes]:
        ranges = read_ranges(as_list(said, 2)[1], LISTS)
        self._complain()
        digests = self.view.digests
        wanted: list[bytes] = []
        for each in ranges:
            place = each.of(digests)
            wanted += digests[place.start : min(place.stop, place.start + LISTED_DIGESTS + 1 - len(wanted))]
            if len(wanted) > LISTED_DIGESTS:
                break
        cut = len(wanted) > LISTED_DIGESTS
        wanted = wanted[:LISTED_DIGESTS]
        self._listed += len(wanted)
        if self._listed > len(digests):
            raise PeerMisbehaved("the same digests are asked for again")
        return listing(wanted, CUT if cut else ENDS)

    def _complain(self) -> None:
        self.stuck = self.stuck or self._cells >= STUCK_CELLS

    def _lacks(self, said: Sequence[Any]) -> Iterator[bytes]:
        digests = self.view.digests
        found = read_digests(as_list(said, 2)[1])
        self._claims += len(found)
        if not found or self._claims > MAX_TOLD or found[0] <= self._last:
            raise PeerMisbehaved(f"a catalogue session tells of 1 to {MAX_TOLD} digests, in order")
        self._last = found[-1]
        for digest in found:
            at = bisect_left(digests, digest)
            if at == len(digests) or digests[at] != digest:
                self.told.append(digest)
        return iter(())
