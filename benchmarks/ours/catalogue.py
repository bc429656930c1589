"""Catalogue sync: what it takes to learn of d manifests out of N, between the two machines. Argument: N.

One end lacks d random digests of N; then both ends have d/2 that the other lacks; then one end has nothing. Bytes are those of both
directions with their framing, and without the digests that the asking end tells the other of, which are no part of learning.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import trio

from benchmarks.ours.world import Numbers, job
from mycelnode.p2p.framing import encode_frame
from mycelnode.protocols.catalogue import Initiator
from mycelnode.protocols.catalogue_answers import Responder
from mycelnode.protocols.catalogue_frames import View
from mycelnode.protocols.holding import Holding
from mycelnode.protocols.riblt import DIGEST_BYTES

DIFFERENCES = (10, 100, 1000)
KEYS = 5  # under which each is measured: bytes vary with the key, and their mean counts


def digests(first: int, last: int) -> list[bytes]:
    """Those of manifests by number."""
    return sorted(sha256(b"manifest %d" % number).digest() for number in range(first, last))


def session(mine: Sequence[bytes], theirs: View) -> tuple[float, int, float]:
    """Seconds at both ends, bytes, and requests. Raises `AssertionError` unless the difference is found."""
    started = perf_counter()
    initiator, responder = Initiator(mine), Responder(theirs)
    asked, size = [initiator.start()], 0
    for request in asked:
        size += len(encode_frame(request))
        for answer in responder.receive(request):
            size += len(encode_frame(answer))
            asked += initiator.receive(answer)
    taken, result = perf_counter() - started, initiator.result
    if result is None or set(result.here) != set(theirs.digests) - set(mine):
        raise AssertionError("the catalogue was not learnt")
    return taken, size - DIGEST_BYTES * len(result.there), result.requests


def _measured(mine: Sequence[bytes], views: Sequence[View], kind: str) -> Numbers:
    found = [session(mine, theirs) for theirs in views]
    seconds, sizes, requests = (sum(each) / len(found) for each in zip(*found, strict=True))
    return {f"{kind}_s": seconds, f"{kind}_bytes": sizes, f"{kind}_requests": requests}


def _all(n: int) -> Numbers:
    theirs, rng = digests(0, n), random.Random(1)
    views = [Holding(bytes([key]) * 16, theirs).view() for key in range(KEYS)]
    numbers: Numbers = {}
    for differences in DIFFERENCES:
        away = sorted(rng.sample(theirs, n - differences))
        numbers |= _measured(away, views, f"one_{differences}")
        new = digests(n, n + differences // 2)
        both = sorted(rng.sample(theirs, n - differences // 2) + new)
        numbers |= _measured(both, views, f"both_{differences}")
    numbers |= _measured([], views, "newcomer")
    started = perf_counter()
    holding = Holding(bytes(16), theirs)
    numbers["ready_s"] = perf_counter() - started
    more = digests(2 * n, 2 * n + 1000)
    started = perf_counter()
    for digest in more:
        holding.change(digest, True)
    numbers["change_s"] = (perf_counter() - started) / len(more)
    return numbers


async def measure(folder: Path, n: int) -> Numbers:
    """Means over `KEYS` keys: seconds of computing at both ends, bytes, requests."""
    return await trio.to_thread.run_sync(_all, n)


if __name__ == "__main__":
    job(measure)
