"""Catalogues to reconcile, and a session between the two machines."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence

from mycelnode.protocols import catalogue_frames as frames
from mycelnode.protocols.catalogue import Initiator, Result
from mycelnode.protocols.catalogue_answers import Responder
from mycelnode.protocols.catalogue_frames import View
from mycelnode.protocols.riblt import MAX_CELLS, Encoder

KEY = bytes(range(16))
FRAMING = 12  # bytes around each frame


def digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def many(numbers: Iterable[int]) -> list[bytes]:
    return sorted(map(digest, numbers))


def view(digests: Sequence[bytes], key: bytes = KEY, cells: int = MAX_CELLS) -> View:
    return View(key, Encoder(key, digests).extend(cells), digests)


class Wire:
    """One session, and how many bytes each end has said."""

    def __init__(self, mine: Sequence[bytes], theirs: View, most: int = frames.MAX_DIGESTS) -> None:
        self.initiator, self.responder = Initiator(mine, most), Responder(theirs)
        self.asked = self.answered = 0

    def run(self) -> Result:
        asked = deque([self.initiator.start()])
        while asked:
            request = asked.popleft()
            self.asked += len(request) + FRAMING
            for answer in self.responder.receive(request):
                assert len(answer) <= frames.MAX_FRAME
                self.answered += len(answer) + FRAMING
                asked += self.initiator.receive(answer)
        assert self.initiator.result is not None
        return self.initiator.result

    @property
    def bytes(self) -> int:
        return self.asked + self.answered


def check(mine: Sequence[bytes], theirs: Sequence[bytes], *, cells: int = MAX_CELLS) -> tuple[Wire, Result]:
    wire = Wire(mine, view(theirs, cells=cells))
    result = wire.run()
    assert list(result.here) == sorted(set(theirs) - set(mine))
    assert list(result.there) == sorted(set(mine) - set(theirs))
    assert result.complete
    assert wire.responder.told == list(result.there)[: frames.MAX_TOLD]
    return wire, result
