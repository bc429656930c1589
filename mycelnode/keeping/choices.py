"""What a person chose about patterns, on whatever device, as the mesh says it: kept, public, blocked, and how they did.

These are sets, a map and counters of the mesh. A member can write anything there: what is returned here is what makes sense of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from mycelnode import creator
from mycelnode.crdt import operations as ops
from mycelnode.errors import CidRefused
from mycelnode.identity import KEY_BYTES
from mycelnode.mesh import Mesh
from mycelnode.patterns.cid import TEXT_CHARS, Cid
from mycelnode.patterns.stored import PATTERN_PREFIX

KEPT: Final = "mycel.patterns"  # a set of CIDs, as text
PUBLISHED: Final = "mycel.published"  # a set of CIDs: of what we made, that which is public
OPEN: Final = "mycel.open"  # a set of CIDs: of what is kept, that which strangers had before us
BLOCKED: Final = "mycel.blocked"  # a set of creators' keys, as hex
FOLLOWED: Final = frozenset(
    {KEPT, PUBLISHED, OPEN, BLOCKED, creator.CREATORS}
)  # when one changes, `Keeper.settle` has something to do
RATINGS: Final = "mycel.ratings"  # CID → [went well, stars or None, Unix ms]
USES: Final = "mycel.uses/"  # before a CID: a counter
SUCCESSES: Final = "mycel.successes/"
FAILURES: Final = "mycel.failures/"
MAX_KEPT: Final = 10_000  # that are looked at: a hostile member can add what it likes
MAX_BLOCKED: Final = 10_000  # whose patterns are looked for, to let go of them


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What this person, on all devices, has seen of a pattern. Of some uses it was not said how they went."""

    uses: int
    successes: int
    failures: int


# --- kept, and public --------------------------------------------------------------------------------------------------------


def kept(mesh: Mesh) -> list[Cid]:
    """What is kept, by whichever device, in the order of their texts."""
    return named(mesh.replica.document.orset(KEPT))


def is_kept(mesh: Mesh, cid: Cid) -> bool:
    """Is this one?"""
    return str(cid) in mesh.replica.document.orset(KEPT)


def published(mesh: Mesh) -> list[Cid]:
    """All that this person made public."""
    return named(mesh.replica.document.orset(PUBLISHED))


def is_published(mesh: Mesh, cid: Cid) -> bool:
    """Did this person make it public?"""
    return str(cid) in mesh.replica.document.orset(PUBLISHED)


def adding(mesh: Mesh, name: str, cid: Cid) -> list[ops.Operation]:
    """What adds it to one of these sets; nothing if it is there."""
    document = mesh.replica.document
    return [] if str(cid) in document.orset(name) else [document.add(name, str(cid))]


def may_ask(mesh: Mesh, cid: Cid) -> bool:
    """May strangers be asked for it? Not for what is kept and not known to be public: it would tell of it."""
    text, document = str(cid), mesh.replica.document
    return text not in document.orset(KEPT) or text in document.orset(PUBLISHED) or text in document.orset(OPEN)


def named(values: Iterable[Any]) -> list[Cid]:
    """Those that are CIDs of patterns, as we write them, the first `MAX_KEPT` of their texts."""
    texts = (value for value in values if type(value) is str and len(value) == TEXT_CHARS)
    found = list[Cid]()
    for text in heapq.nsmallest(MAX_KEPT, (text for text in texts if text.startswith(PATTERN_PREFIX))):
        try:
            cid = Cid.parse(text)
        except CidRefused:
            continue
        if str(cid) == text:
            found.append(cid)
    return found


# --- blocked -----------------------------------------------------------------------------------------------------------------


def blocked(mesh: Mesh) -> set[bytes]:
    """Creators that the person wants nothing of."""
    said = mesh.replica.document.orset(BLOCKED)
    texts = (value for value in said if type(value) is str and len(value) == 2 * KEY_BYTES)
    found = set()
    for text in islice(texts, MAX_BLOCKED):
        with suppress(ValueError):
            found.add(bytes.fromhex(text))
    return found


def is_blocked(mesh: Mesh, key: bytes) -> bool:
    """Is this creator?"""
    return key.hex() in mesh.replica.document.orset(BLOCKED)


async def block(mesh: Mesh, key: bytes, *, undo: bool) -> None:
    """Say so, or take it back. Raises what `Mesh.write` raises."""
    document = mesh.replica.document
    operation = document.remove(BLOCKED, key.hex()) if undo else document.add(BLOCKED, key.hex())
    if operation is not None:
        await mesh.write([operation])


# --- how they did ------------------------------------------------------------------------------------------------------------


def outcomes(mesh: Mesh, cid: Cid) -> Outcomes:
    """How often it was used, and how that went. Devices can be wrong about each other's counts: none is below 0."""
    counter = mesh.replica.document.counter
    return Outcomes(*(max(0, counter(f"{name}{cid}").value) for name in (USES, SUCCESSES, FAILURES)))


async def used(mesh: Mesh, cid: Cid) -> None:
    """Count a use."""
    await mesh.write([ops.counter_add(f"{USES}{cid}", 1)])


async def rate(mesh: Mesh, cid: Cid, *, success: bool, stars: int | None, since: int | None = None) -> None:
    """Note how it went; who rates again means the last use. Raises what `Mesh.write` raises.

    ``since``: what was noted from then on (Unix ms) is about the same use, and is replaced.
    """
    known, before = outcomes(mesh, cid), None if since is None else noted(mesh, cid, since)
    operations = [
        ops.counter_add(f"{_counter(success)}{cid}", 1),
        ops.map_put(RATINGS, str(cid), [success, stars, mesh.clock.wall()]),
    ]
    if before is not None:
        operations.append(ops.counter_add(f"{_counter(before)}{cid}", -1))
    elif known.uses <= known.successes + known.failures:  # used elsewhere than through `use`
        operations.append(ops.counter_add(f"{USES}{cid}", 1))
    await mesh.write(operations)


def _counter(success: bool) -> str:
    return SUCCESSES if success else FAILURES


def noted(mesh: Mesh, cid: Cid, since: int) -> bool | None:
    """Did it go well, by the last word on it? None: there is none, or it is older than ``since`` (Unix ms)."""
    match mesh.replica.document.map(RATINGS).get(str(cid)):
        case [bool(success), _, int(time)] if time >= since:
            return success
        case _:
            return None
