"""What a search learns of the registry: the local copy, looked at anew within a few seconds if that can be, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import trio

from mycelnode.chain import copied
from mycelnode.chain.copied import State
from mycelnode.chain.indexer import Indexer
from mycelnode.mesh import Mesh
from mycelnode.ports import Clock

ASK_SECONDS: Final = 2.0
AGES: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True)
class Asked:
    """``state``: "ok", "off", or why the registry could not be asked. ``copy``: what is known of it all the same."""

    state: str
    copy: State | None = None


class RegistrySource(Protocol):
    """Whom a search asks."""

    async def ask(self) -> Asked:
        """Within `ASK_SECONDS`; raises nothing that comes from outside."""
        ...

    @property
    def copy(self) -> State | None:
        """What is known of it without asking."""
        ...


class NoRegistry:
    """None is set."""

    copy: State | None = None

    async def ask(self) -> Asked:
        """Off."""
        return Asked("off")


class LiveRegistry:
    """The registry that a running node follows."""

    def __init__(self, indexer: Indexer, clock: Clock) -> None:
        self._indexer, self._clock = indexer, clock

    async def ask(self) -> Asked:
        """See `RegistrySource`. Nobody is told what is searched for: only what has changed is asked."""
        with trio.move_on_after(ASK_SECONDS) as scope:
            await self._indexer.fresh()
        late = f"it did not answer within {ASK_SECONDS:g} s" if scope.cancelled_caught else ""
        return asked(self.copy, self._indexer.problem or late, self._clock.wall())

    @property
    def copy(self) -> State | None:
        """See `RegistrySource`."""
        return self._indexer.state


class CopyAlone:
    """The copy that the last node has left, while none is running."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    async def ask(self) -> Asked:
        """See `RegistrySource`; nobody is asked."""
        if not self._mesh.settings.get("near.registry"):
            return Asked("off")
        return asked(self.copy, "no node is running to ask it", self._mesh.clock.wall())

    @property
    def copy(self) -> State | None:
        """See `RegistrySource`."""
        get = self._mesh.settings.get
        named = partial(copied.held, network=str(get("near.network")), contract=str(get("near.registry")))
        return self._mesh.database.look(named)


def asked(copy: State | None, problem: str, now: int) -> Asked:
    """What came of it, ``now`` (Unix ms)."""
    if copy is None:
        return Asked(problem or "nothing of it has come yet")
    if not copy.is_whole:
        said = f"{copy.next_seq:,} of its {copy.seq:,} changes have come"
        return Asked(f"{problem}; {said}" if problem else said, copy)
    return Asked(f"{problem}; the copy that was used is {age(now - copy.looked)} old" if problem else "ok", copy)


def age(milliseconds: int) -> str:
    """For people, such as "3 hours"."""
    seconds = max(0, milliseconds) // 1000
    size, unit = next(((size, unit) for size, unit in AGES if seconds >= size), AGES[-1])
    return f"{seconds // size:,} {unit}{'' if seconds // size == 1 else 's'}"
