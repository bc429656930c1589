"""Catalogue sync, the end that asks: which manifests exist that we do not have, at a cost that grows with the difference.

First by cells (`riblt`), as few as the difference takes; by ranges (`ranges`) where that is cheaper, or where the cells do not come
apart. Pure: frames in, frames out. What is learnt are hints: whoever uses them fetches each manifest and verifies it.
docs/protocols/catalogue.md has the states; the end that answers is in `catalogue_answers`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mycelnode.encoding import as_bytes, as_int, as_list, encode
from mycelnode.errors import BusyError, EncodingError, PeerMisbehaved
from mycelnode.protocols.catalogue_frames import (
    BUSY,
    CELLS,
    CELLS_AT_ONCE,
    CELLS_PER_FRAME,
    CUT,
    DIGESTS_PER_FRAME,
    ENDS,
    GOES_ON,
    HELLO,
    HERE,
    LACKS,
    LEVELS,
    LIST,
    LISTED,
    LISTS,
    MAX_DIGESTS,
    MAX_REQUESTS,
    MAX_TOLD,
    MORE,
    PARTS,
    SPLIT,
    SPLITS,
    VERSION,
    message,
    read_digests,
)
from mycelnode.protocols.ranges import WHOLE, Part, Range, fingerprint, read_parts, write_ranges
from mycelnode.protocols.riblt import (
    CELL_BYTES,
    COUNT_BYTES,
    DIGEST_BYTES,
    KEY_BYTES,
    MAX_CELLS,
    Cells,
    Decoder,
    Encoder,
)

CELLS_EACH: Final = 1.4  # cells that a difference takes, of many; fewer take more
FIRST_CELLS: Final = 24  # ten differences come out of as many, or their number is known to a third
FIRST_EACH: Final = 1.3  # of the expected number, asked for at once: hardly ever more than it takes
STEP_CELLS: Final = 8  # asked for beyond that, and
STEP_PART: Final = 1 / 12  # of the cells that are here, whichever is more
HOPELESS_EACH: Final = 4  # of a difference, and
HOPELESS_CELLS: Final = 64  # beyond: then two digests lie in the same cells, and never come apart
LEAF: Final = 32  # digests of a range that are listed, and not cut up
DENSE: Final = 512  # the same, where more than three parts in four differ
SPARSE: Final = 4  # of a range of which we have so small a part, all are listed


@dataclass(frozen=True, slots=True)
class Result:
    """What a session has found: digests that ``here`` or ``there`` are missing, in order.

    ``complete``: nothing is known to be left out. ``cells`` came; ``ranged``: the rest by ranges. ``there`` is as the peer says.
    """

    here: Sequence[bytes]
    there: Sequence[bytes]
    complete: bool
    cells: int
    ranged: bool
    requests: int


class Initiator:
    """One session for the set of ``digests``, which are in order. At most ``most`` are learnt, and no more than fit in here."""

    def __init__(self, digests: Sequence[bytes], most: int = MAX_DIGESTS) -> None:
        self._mine = digests
        self._most = min(most, max(0, MAX_DIGESTS - len(digests)))
        self._requests = 0
        self._key = b""
        self._count = 0  # digests at the other end
        self._limit = 0  # cells to be had
        self._wanted = 1  # cells asked for
        self._encoder: Encoder | None = None
        self._decoder: Decoder | None = None
        self._awaits = HERE
        self._missing_here: set[bytes] = set()
        self._missing_there: set[bytes] = set()
        self._complete = True
        # by ranges
        self._theirs: Sequence[bytes] = ()  # what the other end holds, as far as we know
        self._ranged = False
        self._to_split: list[Part] = []
        self._to_list: list[Range] = []
        self._asked_split: list[Part] = []
        self._asked_list: list[Range] = []
        self._heard: list[bytes] = []
        self._expected = 0  # digests in all that is to be listed, as the other end counts
        self._listed = 0
        self._hashed = 0
        self.result: Result | None = None

    def start(self) -> bytes:
        """The first frame."""
        return self._ask([HELLO, VERSION])

    def receive(self, frame: bytes) -> list[bytes]:
        """The frames to send next; `result` is set when the session is over.

        Raises `PeerMisbehaved`, and `BusyError` where the other end has no time.
        """
        try:
            return self._receive(*message(frame))
        except EncodingError as error:
            raise PeerMisbehaved(f"a catalogue answer does not parse: {error}") from error

    def _receive(self, kind: int, said: Sequence[Any]) -> list[bytes]:
        if kind == BUSY and self._awaits == HERE:
            raise BusyError("the other end has too many catalogue sessions; try again later")
        if kind != self._awaits or self.result is not None:
            raise PeerMisbehaved("a catalogue answer that was not asked for")
        if kind == HERE:
            return self._on_here(said)
        if kind == CELLS:
            return self._on_cells(said)
        if kind == PARTS:
            return self._on_parts(said)
        return self._on_listed(said)

    def _ask(self, request: list[Any]) -> bytes:
        self._requests += 1
        if self._requests > MAX_REQUESTS - 1 - MAX_TOLD // DIGESTS_PER_FRAME:
            raise PeerMisbehaved("the catalogue of the other end does not come to an end")
        return encode(request)

    # --- by cells ------------------------------------------------------------------------------------------------------

    def _on_here(self, said: Sequence[Any]) -> list[bytes]:
        _, version, key, count, limit, first = as_list(said, 6)
        as_int(version, low=1)
        self._key = as_bytes(key, KEY_BYTES)
        self._count = as_int(count, high=MAX_DIGESTS)
        self._limit = as_int(limit, low=1, high=MAX_CELLS)
        cell = Cells.decode(as_bytes(first), 1)
        if int(cell.counts[0]) != self._count % (1 << 8 * COUNT_BYTES):
            raise PeerMisbehaved("the first cell of the other end does not hold all of its digests")
        least = abs(self._count - len(self._mine))
        if self._dear(least) or CELLS_EACH * least > self._limit:
            return self._by_ranges()
        self._encoder, self._decoder = Encoder(self._key, self._mine), Decoder(self._key)
        self._decoder.add(cell, self._encoder.extend(1))
        return self._after_cells(max(FIRST_CELLS, math.ceil(FIRST_EACH * least)))

    def _dear(self, differences: int, here: int = 0) -> bool:
        """Would a list of all that they have cost less than the cells, beyond those which are ``here``?"""
        return CELL_BYTES * (CELLS_EACH * differences - here) > DIGEST_BYTES * self._count

    def _on_cells(self, said: Sequence[Any]) -> list[bytes]:
        _, first, count, data = as_list(said, 4)
        assert self._decoder is not None
        assert self._encoder is not None
        begun = len(self._decoder)
        end = begun + as_int(count, low=1, high=CELLS_PER_FRAME)
        if first != begun or end > self._wanted:
            raise PeerMisbehaved("cells that were not asked for")
        self._decoder.add(Cells.decode(as_bytes(data), count), self._encoder.extend(self._wanted)[begun:end])
        return [] if end < self._wanted else self._after_cells(0)

    def _after_cells(self, least: int) -> list[bytes]:
        decoder = self._decoder
        assert decoder is not None
        if decoder.done:
            self._take_found(decoder)
            return self._finish()
        here, differences = len(decoder), decoder.estimate()
        wanted = here + max(STEP_CELLS, math.ceil(here * STEP_PART))
        if here >= FIRST_CELLS:
            wanted = max(wanted, math.ceil(FIRST_EACH * differences))
        wanted = min(max(wanted, least), here + CELLS_AT_ONCE, self._limit)
        hopeless = here >= max(HOPELESS_EACH * differences, HOPELESS_CELLS)
        beyond = CELLS_EACH * differences > self._limit and here >= FIRST_CELLS
        if wanted <= here or hopeless or beyond or self._dear(differences, here):
            self._take_found(decoder)
            return self._by_ranges(dense=self._dear(differences))
        self._wanted, self._awaits = wanted, CELLS
        return [self._ask([MORE, here, wanted - here])]

    def _take_found(self, decoder: Decoder) -> None:
        for digest, sign in decoder.found.items():
            if (sign == 1) == self._has(digest):
                raise PeerMisbehaved("the cells of the other end say of our own digests what is not so")
            (self._missing_here if sign == 1 else self._missing_there).add(digest)

    def _has(self, digest: bytes) -> bool:
        at = bisect_left(self._mine, digest)
        return at < len(self._mine) and self._mine[at] == digest

    # --- by ranges -----------------------------------------------------------------------------------------------------

    def _by_ranges(self, *, dense: bool = False) -> list[bytes]:
        """``dense``: they differ nearly everywhere."""
        self._ranged = True
        self._theirs = self._mine
        if self._missing_here or self._missing_there:
            self._theirs = sorted(self._missing_here.union(self._mine) - self._missing_there)
        if dense and self._count:
            self._to_list.append(WHOLE)
            self._expected = self._count
        else:
            self._consider([Part(WHOLE, self._count, b"")])
        return self._next()

    def _consider(self, parts: Sequence[Part]) -> None:
        """What is to be asked of the parts of one range."""
        held = [self._theirs[part.range.of(self._theirs)] for part in parts]
        self._hashed += sum(map(len, held))
        if self._hashed > LEVELS * len(self._theirs):
            raise PeerMisbehaved("the other end cuts its ranges in vain")
        unlike = [
            (part, here)
            for part, here in zip(parts, held, strict=True)
            if part.count != len(here) or part.fingerprint != fingerprint(self._key, here)
        ]
        dense = 4 * len(unlike) > 3 * len(parts) > 3
        for part, here in unlike:
            if part.count == 0:
                self._compare(here, ())
            elif part.count <= (DENSE if dense else LEAF) or SPARSE * len(here) <= part.count:
                self._to_list.append(part.range)
                self._expected += part.count
            else:
                self._to_split.append(part)

    def _next(self) -> list[bytes]:
        if self._to_split:
            self._to_split.sort(key=lambda part: part.range.low)
            self._asked_split, self._to_split = self._to_split[:SPLITS], self._to_split[SPLITS:]
            self._awaits = PARTS
            return [self._ask([SPLIT, write_ranges([part.range for part in self._asked_split])])]
        if self._to_list and len(self._missing_here) < self._most:
            ranges = _joined(self._to_list)
            self._asked_list, self._to_list = ranges[:LISTS], ranges[LISTS:]
            self._awaits = LISTED
            return [self._ask([LIST, write_ranges(self._asked_list)])]
        self._complete = not self._to_list
        if self._complete and self._listed < self._expected:
            raise PeerMisbehaved("fewer digests are listed than there were said to be")
        return self._finish()

    def _on_parts(self, said: Sequence[Any]) -> list[bytes]:
        answers = as_list(as_list(said, 2)[1], len(self._asked_split))
        for asked, answer in zip(self._asked_split, answers, strict=True):
            parts = read_parts(answer, asked.range, asked.count)
            if len(parts) == 1:
                raise PeerMisbehaved("a range was not cut up")
            self._consider(parts)
        return self._next()

    def _on_listed(self, said: Sequence[Any]) -> list[bytes]:
        _, data, goes = as_list(said, 3)
        digests = read_digests(data)
        as_int(goes, high=CUT)
        if digests and self._heard and digests[0] <= self._heard[-1]:
            raise PeerMisbehaved("digests are listed twice")
        if not digests and goes != ENDS:
            raise PeerMisbehaved("a list goes on, and says nothing")
        self._heard += digests
        self._listed += len(digests)
        if self._listed > self._expected:
            raise PeerMisbehaved("more digests are listed than there were said to be")
        if goes == GOES_ON:
            return []
        heard, self._heard = self._heard, []
        within = 0
        for each in self._asked_list:
            listed = heard[each.of(heard)]
            within += len(listed)
            rest = each.after(heard[-1]) if goes == CUT else None
            if rest is not None:
                self._to_list.append(rest)
            if rest != each:
                known = self._theirs[each.of(self._theirs)]
                end = len(known) if rest is None else bisect_left(known, rest.low)
                self._compare(known[:end], listed)
        if within != len(heard):
            raise PeerMisbehaved("digests are listed that were not asked for")
        return self._next()

    def _compare(self, known: Sequence[bytes], listed: Sequence[bytes]) -> None:
        """A part of what we thought that they have, and what they have there."""
        told = set(listed)
        for digest in told.difference(known):
            if not self._has(digest):
                self._missing_here.add(digest)
            self._missing_there.discard(digest)
        for digest in known:
            if digest not in told:
                self._missing_here.discard(digest)
                if self._has(digest):
                    self._missing_there.add(digest)

    # --- the end -------------------------------------------------------------------------------------------------------

    def _finish(self) -> list[bytes]:
        here, there = sorted(self._missing_here), sorted(self._missing_there)
        complete = self._complete and len(here) <= self._most
        cells = 1 if self._decoder is None else len(self._decoder)
        self.result = Result(here[: self._most], there, complete, cells, self._ranged, self._requests)
        told = there[:MAX_TOLD]
        parts = range(0, len(told), DIGESTS_PER_FRAME)
        return [encode([LACKS, b"".join(told[at : at + DIGESTS_PER_FRAME])]) for at in parts]


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """In order, and those that touch as one."""
    found: list[Range] = []
    for each in sorted(ranges, key=lambda one: one.low):
        if found and found[-1].high == each.low != b"":
            found[-1] = Range(found[-1].low, each.high)
        else:
            found.append(each)
    return found
