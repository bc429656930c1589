"""One device: a key, a disk, a replica, and the committer between them. A crash forgets everything but the disk."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mycel_simnet.virtual.clock import Clock
from mycel_simnet.virtual.committer import Committer
from mycel_simnet.virtual.disk import BRANCHES, FACTS, RECORDS, STATEMENTS, STATES, Disk
from mycel_simnet.virtual.keys import Broken, Signer
from mycelnode.crdt.changelog import DeviceId, Head, Verify
from mycelnode.crdt.document import Document
from mycelnode.crdt.snapshots import Confirmation
from mycelnode.errors import EncodingError, MycelError
from mycelnode.protocols import tending
from mycelnode.protocols.folding import Base, Progress
from mycelnode.protocols.logset import Branch
from mycelnode.protocols.replica import Replica
from mycelnode.protocols.state_transfer import STATE_PAYS, Offer, Partial, StateSource

MAX_TENDING = 100  # steps that one device takes for snapshots in one go


class Device(Committer):
    """See the module. ``verify`` belongs to the keys."""

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
        super().__init__(name, clock, rng, Disk() if disk is None else disk, sync_delay)
        self.root, self.key, self.verify = root, key, verify
        self.skew_ms = 0
        self.state_pays = STATE_PAYS
        self.crashed: Callable[[bool], None] = lambda power: None

    @property
    def id(self) -> DeviceId:
        """Our public key."""
        return self.key.public

    @property
    def now(self) -> int:
        """Our wall clock, in Unix ms."""
        return self.clock.wall(self.skew_ms)

    def set_clock(self, skew_ms: int) -> None:
        """Somebody sets our wall clock."""
        self.skew_ms = skew_ms
        if self.up:
            self.replica.clock_reads(skew_ms)

    # --- starting and ending -----------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """As `Mesh._load`: everything from disk."""
        self.up, self.lives = True, self.lives + 1
        self.replica = Replica(self.root, self.id, self.key.sign, self.verify, self.disk)
        self.replica.clock_reads(self.skew_ms)
        self._queue, self._busy = [], False
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
        self._go_on()

    def keep_state(self) -> None:
        """As `mycelnode.checkpoints`: keep the folded state, so that the next start need not fold anew."""
        self.disk.store([(FACTS, "document", (self.replica.document.encode_state(), self.replica.base))])

    def stop(self) -> None:
        """A clean end."""
        self.keep_state()
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

    def tend(self, over: Callable[[], None], *, least: int | None = None, steps: int = 0) -> None:
        """As `Mesh.tend`; with ``least`` the first step has another bound."""
        if steps > MAX_TENDING:
            raise Broken("endless", f"{self.name} never finishes its part in snapshots")
        if least is None and not tending.needed(self.replica):
            over()
            return

        before = set(self.replica.snapshots.proposals)

        def tended(more: bool) -> None:
            proposed = not self.replica.snapshots.proposals.keys() <= before  # one is enough
            if more:
                self.tend(over, least=None if proposed else least, steps=steps + 1)
            else:
                over()

        self.commit(lambda replica: tending.tend(replica, self.now, least=least), done=tended)
