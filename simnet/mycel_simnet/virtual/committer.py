"""The committer of a device, in the order of `mycelnode.mesh`.

Proposals queue up; the replica judges a group of them, what they amount to is stored in one transaction, and only when that is on
disk it counts and is answered (*acknowledged*).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mycel_simnet.virtual.clock import Clock
from mycel_simnet.virtual.disk import Disk, Page
from mycel_simnet.virtual.keys import Broken
from mycelnode.encoding import Digest
from mycelnode.errors import MycelError
from mycelnode.mesh import GROUP_BYTES
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.replica import Batch, Pruned, Replica

Moment = Literal["writing", "syncing", "synced"]
"""Of a transaction: before its commit page is written; before that is synced; before anybody is answered."""


@dataclass(slots=True)
class Request:
    """A proposal on its way through the committer."""

    propose: Callable[[Replica], Any]
    store: Callable[[], Sequence[Page]]
    size: int
    done: Callable[[Any], None]
    failed: Callable[[MycelError], None]
    result: Any = None


class Committer:
    """``sync_delay`` tells how long a transaction takes to reach the disk (0: no time, and nothing comes in between)."""

    replica: Replica

    def __init__(
        self, name: str, clock: Clock, rng: random.Random, disk: Disk, sync_delay: Callable[[], float]
    ) -> None:
        self.name, self.clock, self.rng, self.disk, self.sync_delay = name, clock, rng, disk, sync_delay
        self.archive: dict[bytes, bytes] = {}  # every entry that was ever stored, by its chain hash
        self.up = False
        self.lives = 0  # how often it was started
        self.fuse: tuple[Moment, bool] | None = None  # the next transaction ends in a crash; True: of the power
        self.listeners: list[Callable[[Progress], None]] = []
        self._queue: list[Request] = []
        self._busy = False

    @property
    def now(self) -> int:
        """Our wall clock, in Unix ms."""
        raise NotImplementedError

    def crash(self, *, power: bool) -> None:
        """Nothing more happens in here."""
        raise NotImplementedError

    def commit(
        self,
        propose: Callable[[Replica], Any],
        store: Callable[[], Sequence[Page]] = lambda: (),
        *,
        size: int = 1024,
        done: Callable[[Any], None] = lambda result: None,
        failed: Callable[[MycelError], None] = lambda error: None,
    ) -> None:
        """Let the replica judge a proposal; ``done`` hears what it returned once it is on disk, ``failed`` why it was refused."""
        self._queue.append(Request(propose, store, size, done, failed))
        if not self._busy:
            self._next_group()

    @property
    def busy(self) -> bool:
        """Is a transaction under way?"""
        return self.up and (self._busy or bool(self._queue))

    def _next_group(self) -> None:
        size, count = 0, 0
        while count < len(self._queue) and (not count or size < GROUP_BYTES):
            size += self._queue[count].size
            count += 1
        group, self._queue = self._queue[:count], self._queue[count:]
        self._busy = True
        self._carry_out(group)

    def _carry_out(self, group: Sequence[Request]) -> None:
        accepted: list[Request] = []
        refused: list[tuple[Request, MycelError]] = []
        for request in group:
            try:
                request.result = request.propose(self.replica)
                accepted.append(request)
            except MycelError as error:
                refused.append((request, error))
        batch = self.replica.take()
        stores = [page for request in accepted for page in request.store()]
        pages = [*self._pages(batch), *stores] if batch or stores else []
        life = self.lives

        def alive() -> bool:
            return self.lives == life and self.up

        def synced() -> None:
            if not alive():
                return
            if pages:
                self.disk.commit()
                if self._blown("synced"):
                    return
            self._notify(self.replica.durable(self.now))
            if self.replica.held:
                self._notify(self.replica.tick(self.now))
            for request in accepted:
                request.done(request.result)
                if not alive():
                    return
            self._busy = False
            self._go_on()
            if self._queue:
                self._next_group()

        if pages:
            self.disk.begin(pages)
            self.disk.write(self.rng.randint(0, len(pages)))
            if self._blown("writing"):
                return
            self.disk.write()
            if self._blown("syncing"):
                return
        for request, why in refused:
            request.failed(why)
        if not alive():
            return
        delay = self.sync_delay() if pages else 0.0
        if delay:
            self.clock.at(delay, synced)
        else:
            synced()

    def _blown(self, moment: Moment) -> bool:
        if self.fuse is None or self.fuse[0] != moment:
            return False
        self.crash(power=self.fuse[1])
        return True

    def _pages(self, batch: Batch) -> list[Page]:
        """As `Mesh._store`."""
        for addition in batch.additions:
            self.archive.update({row.hash: row.entry for row in addition.rows if not isinstance(row.entry, Digest)})
        for pruned in batch.pruned:
            self._check_confirmed(pruned)
        return self.disk.pages(batch, self.replica.clock.last)

    def _check_confirmed(self, pruned: Pruned) -> None:
        """Nobody may delete under what it has not confirmed itself."""
        snapshots = self.replica.snapshots
        own = {record.id for record in self.disk.records.values() if record.author == self.replica.device}
        mine = [p for p in snapshots.complete if p.id in own or any(c.id in own for c in snapshots.records(p))]
        last = pruned.digests[-1][0] if pruned.digests else 0
        if not any(pruned.device in p.cut and last <= p.cut[pruned.device].seq for p in mine):
            raise Broken("deleted", f"{self.name} deletes entries under a snapshot that it did not confirm")

    def _notify(self, progress: Progress) -> None:
        if progress.base_checked is False:
            raise Broken("base", f"{self.name} was given a state that its logs do not fold to")
        for listener in list(self.listeners):
            listener(progress)

    def tick(self) -> None:
        """What was held may have come of age; and a piece of the state that we began with is checked."""
        if self.up and not self._busy:
            self._notify(self.replica.tick(self.now))
            self._go_on()

    def _go_on(self) -> None:
        """Between writes, as the committer does."""
        if self.up and self.replica.checking:
            self.clock.at(0.001, self.tick)
