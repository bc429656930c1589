"""Both ends of a catalogue session, fed whole conversations: each ends as it promises, learns nothing that cannot be, and says no
more than its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from mycelnode.encoding import decode, encode
from mycelnode.errors import BusyError, EncodingError, PeerMisbehaved
from mycelnode.protocols.catalogue import Initiator
from mycelnode.protocols.catalogue_answers import Responder
from mycelnode.protocols.catalogue_frames import MAX_FRAME, MAX_REQUESTS, MAX_TOLD, View
from mycelnode.protocols.riblt import CELL_BYTES, DIGEST_BYTES
from tests.fuzz.guard import Broken, Target, one_by_one
from tests.protocols.catalogues import many, view

MINE = many(range(200))
PARTS_BYTES = 64 * 16 * 64  # of the longest answer about ranges
MOST = 300  # digests that are to be learnt at most


@cache
def _views() -> Sequence[View]:
    """Of neighbours: with few differences, with few cells, with many digests, and with none."""
    return [
        view(many(range(8, 210)), cells=400),
        view(many(range(8, 260)), cells=2),
        view(many(range(2000)), cells=400),
        view([], cells=400),
    ]


def _conversation(theirs: View) -> tuple[list[bytes], list[bytes]]:
    """What the two ends say."""
    initiator, responder = Initiator(MINE, MOST), Responder(theirs)
    asked, answers = [initiator.start()], list[bytes]()
    for request in asked:
        for answer in responder.receive(request):
            answers.append(answer)
            asked += initiator.receive(answer)
    return asked, answers


def _asking(data: bytes) -> None:
    machine, said = Initiator(MINE, MOST), 1
    machine.start()
    for frame in one_by_one(decode(data)):
        said += len(machine.receive(frame))
        if machine.result is not None:
            here, there = machine.result.here, machine.result.there
            if len(here) > MOST or not set(here).isdisjoint(MINE) or not set(there) <= set(MINE):
                raise Broken("catalogue: it learns what cannot be")
            break
    if said > MAX_REQUESTS:
        raise Broken("catalogue: it does not stop asking")


def _answering(data: bytes) -> None:
    theirs = _views()[0]
    machine, said, requests = Responder(theirs), 0, 0
    for frame in one_by_one(decode(data)):
        for answer in machine.receive(frame):
            said += len(answer)
            if len(answer) > MAX_FRAME:
                raise Broken("catalogue: it says more than a frame")
        requests += 1
    most = (CELL_BYTES + 1) * len(theirs.cells) + (DIGEST_BYTES + 1) * len(theirs.digests)
    if said > most + requests * PARTS_BYTES or len(machine.told) > MAX_TOLD or requests > MAX_REQUESTS:
        raise Broken("catalogue: it says more, or remembers more, than its bounds")


CATALOGUE = (
    Target(
        "catalogue-asking",
        _asking,
        (PeerMisbehaved, EncodingError, BusyError),
        lambda: [encode(_conversation(theirs)[1]) for theirs in _views()],
        slow=True,
    ),
    Target(
        "catalogue-answering",
        _answering,
        (PeerMisbehaved, EncodingError),
        lambda: [encode(_conversation(theirs)[0]) for theirs in _views()],
        slow=True,
    ),
)
