"""One device: a key, a disk, a replica, and the committer between them, in the order of `mycelnode.mesh`.

Proposals queue up; the replica judges a group of them, what they amount to is stored in one transaction, and only when that is on
disk it counts and is answered (*acknowledged*). A crash forgets everything but the disk.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mycel_simnet.virtual.clock import Clock
from mycel_simnet.virtual.disk import BRANCHES, FACTS, RECORDS, STATEMENTS, STATES, Disk, Page
from mycel_simnet.virtual.keys import Broken, Signer
from mycelnode.crdt.changelog import DeviceId, Head, Verify
from mycelnode.crdt.document import Document
from mycelnode.crdt.snapshots import Confirmation
from mycelnode.encoding import Digest
from mycelnode.errors import EncodingError, MycelError
from mycelnode.mesh import CLOCK_SET_MS, GROUP_BYTES
from mycelnode.protocols import tending
from mycelnode.protocols.folding import Base, Progress
from mycelnode.protocols.logset import Branch
from mycelnode.protocols.replica import Batch, Pruned, Replica
from mycelnode.protocols.state_transfer import STATE_PAYS, Offer, Partial, StateSource

MAX_TENDING = 100  # steps that one device takes for snapshots in one go

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


class Device:
    """``sync_delay`` tells how long a transaction takes to reach the disk (0: no time, and nothing comes in between)."""

    def __init__(
        self,
        name: str,
        root: bytes,
        key: Signer,
        verify: Verify,
        clock: Clock,
        rng: random.Random,
        *,
        disk: Disk | None = None,
        sync_delay: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.name, self.root, self.key, self.verify, self.clock, self.rng = name, root, key, verify, clock, rng
        self.disk = Disk() if disk is None else disk
        self.sync_delay = sync_delay
        self.archive: dict[bytes, bytes] = {}  # every entry that was ever stored, by its chain hash
        self.skew_ms = 0
        self.state_pays = STATE_PAYS
        self.up = False
        self.lives = 0  # how often it was started
        self.fuse: tuple[Moment, bool] | None = None  # the next transaction ends in a crash; True: of the power
        self.crashed: Callable[[bool], None] = lambda power: None
        self.listeners: list[Callable[[Progress], None]] = []

    @property
    def id(self) -> DeviceId:
        """Our public key."""
        return self.key.public

    @property
    def now(self) -> int:
        """Our wall clock, in Unix ms."""
        return self.clock.wall(self.skew_ms)

    def set_clock(self, skew_ms: int) -> None:
        """Somebody sets our wall clock. (As `Mesh.now` notices.)"""
        by, self.skew_ms = skew_ms - self.skew_ms, skew_ms
        if self.up and abs(by) > CLOCK_SET_MS:
            self.replica.clock_set(by)

    # --- starting and ending -----------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """As `Mesh._load`: everything from disk."""
        self.up, self.lives = True, self.lives + 1
        self.replica = Replica(self.root, self.id, self.key.sign, self.verify, self.disk)
        self._queue: list[Request] = []
        self._busy = False
        self.partial, self.source = Partial(), StateSource(self.offer, least=self.state_pays)
        branches: Mapping[tuple[DeviceId, int], Branch] = self.disk.tables[BRANCHES]
        for (device, number), branch in sorted(branches.items(), key=lambda item: item[0][1]):
            if branch.tip is None or self.disk.hash_at(device, number, branch.tip.seq) != branch.tip.hash:
                raise Broken("torn", f"a log on the disk of {self.name} does not end where it should")
            self.replica.logs.durable.setdefault(device, []).append(branch)
        state, base = self.disk.tables[FACTS].get("document", (None, None))
        document = None if state is None else Document.decode_state(state)
        clock = self.disk.tables[FACTS].get("clock", 0)
        records = sorted(self.disk.tables[RECORDS].values(), key=lambda record: isinstance(record, Confirmation))
        self.replica.load(
            list(self.disk.tables[STATEMENTS].values()),
            document,
            base,
            clock=clock,
            records=records,
            states=list(self.disk.tables[STATES]),
            now=self.now,
        )

    def stop(self) -> None:
        """A clean end: the folded state is kept, so that the next start need not fold anew."""
        self.disk.store([(FACTS, "document", (self.replica.document.encode_state(), self.replica.base))])
        self.disk.checkpoint()
        self._end(power=False)

    def crash(self, *, power: bool) -> None:
        """Nothing more happens in here."""
        self.disk.crash(self.rng, power=power)
        self._end(power)

    def _end(self, power: bool) -> None:
        self.up, self.fuse = False, None
        self.listeners.clear()
        self.crashed(power)

    def offer(self) -> Offer | None:
        """Our folded state, for a newcomer."""
        return Offer.of(self.replica.document, self.replica.logs)

    # --- the committer -------------------------------------------------------------------------------------------------------

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
        own = {record.id for record in self.disk.tables[RECORDS].values() if record.author == self.id}
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
        """What was held may have come of age."""
        if self.up and not self._busy:
            self._notify(self.replica.tick(self.now))

    # --- what else the real node commits -----------------------------------------------------------------------------------------

    def write(
        self,
        operations: Sequence[Any],
        done: Callable[[Head], None],
        failed: Callable[[MycelError], None] = lambda error: None,
    ) -> None:
        """One transaction of document operations."""
        self.commit(lambda replica: replica.write(operations, self.now), done=done, failed=failed)

    def start_from(
        self,
        state: bytes,
        cut: dict[DeviceId, Head],
        giver: DeviceId,
        done: Callable[[Any], None],
        failed: Callable[[MycelError], None],
    ) -> None:
        """As `Mesh.start_from`. Raises `EncodingError`."""
        document = Document.decode_state(state)
        if dict(document.applied) != {device: head.seq for device, head in cut.items() if head.seq}:
            raise EncodingError("a state does not belong to the cut sent with it")
        packed = (state, Base(cut, document.digest(), giver))  # now: the replica goes on with this very document

        def begun(progress: Progress) -> None:
            self._notify(progress)
            done(progress)

        self.commit(
            lambda replica: replica.start_from(document, cut, giver, self.now),
            lambda: [(FACTS, "document", packed)],
            done=begun,
            failed=failed,
        )

    def learn_state(
        self, snapshot: bytes, state: bytes, done: Callable[[Any], None], failed: Callable[[MycelError], None]
    ) -> None:
        """As `Mesh.learn_state`. Raises `EncodingError`."""
        document = Document.decode_state(state)
        self.commit(
            lambda replica: replica.learn_state(snapshot, state, document), size=len(state), done=done, failed=failed
        )

    def tend(self, over: Callable[[], None], *, may_write: bool, least: int | None = None, steps: int = 0) -> None:
        """As `Mesh.tend`; with ``least`` the first step has another bound."""
        if steps > MAX_TENDING:
            raise Broken("endless", f"{self.name} never finishes its part in snapshots")
        if least is None and not tending.needed(self.replica, may_write=may_write):
            over()
            return

        def tended(more: bool) -> None:
            if more:
                self.tend(over, may_write=may_write, steps=steps + 1)
            else:
                over()

        self.commit(lambda replica: tending.tend(replica, self.now, may_write=may_write, least=least), done=tended)
