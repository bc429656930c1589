"""The mesh on one device, without a network: data folder, database, replica, and the one committer that makes writes durable.

`Mesh.commit` is the only way anything changes: proposals queue up, one task lets the replica judge them, stores what they
amount to in one transaction, and only then answers. Proposals that arrive while a transaction is being synced to disk share the
next one (group commit), so many writers cost few fsyncs.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import trio

from mycelnode import logstore
from mycelnode.background import open_background
from mycelnode.checkpoints import Checkpoints
from mycelnode.config import Settings
from mycelnode.crdt.changelog import DeviceId, Head, SignedHead, genesis
from mycelnode.crdt.document import Document
from mycelnode.crdt.snapshots import Confirmation, decode_record
from mycelnode.crdt.statements import Statement, decode_statement
from mycelnode.database import Database, open_database
from mycelnode.encoding import as_list, decode, encode, peer_id
from mycelnode.errors import ClosedError, EncodingError, LogError, MycelError
from mycelnode.identity import Identity, load_identity, mesh_id, verify
from mycelnode.logstore import StoredBranch, StoredLogs, StoredRow
from mycelnode.paths import DataDir
from mycelnode.ports import Clock
from mycelnode.protocols import tending
from mycelnode.protocols.folding import Base, Progress
from mycelnode.protocols.logset import Branch
from mycelnode.protocols.pairing import InviteBook, OpenInvite, parse_invite
from mycelnode.protocols.replica import Batch, Replica
from mycelnode.protocols.state_transfer import Draft
from mycelnode.schema import loading

RESERVED_BYTES = 256 << 20  # of free disk kept for our own writes: entries of others are not taken any more
RESERVED_SHARE = 10  # or a part of so many of a small disk; the write-ahead log alone may take 16 MiB, twice
MAX_QUEUED = 10_000  # proposals waiting for the committer; more callers wait
GROUP_BYTES = 256 << 10  # of proposals in one transaction: signatures stand at most this far (and one entry) apart
HOLD_CHECK_SECONDS = 30.0  # how often held entries are looked at

# The collections of mycelnode itself; see `shared.RESERVED`.
CONFIG = "mycel.config"  # the mesh's layer of settings
NAMES = "mycel.names"  # peer id → what people call the device
ADDRESSES = "mycel.addrs"  # peer id → multiaddrs
ANCHORS = "mycel.audit"  # "<peer id>/<day>" → [events, hash]

_log = logging.getLogger(__name__)

T = TypeVar("T")
Store = Callable[[sqlite3.Connection], object]


@dataclass(slots=True)
class _Request(Generic[T]):
    """A proposal on its way through the committer."""

    propose: Callable[[Replica], T]
    store: Store | None
    size: int
    done: trio.Event = field(default_factory=trio.Event)
    result: Any = None
    error: BaseException | None = None


class Mesh:
    """One device's part of the mesh, opened by `open_mesh`."""

    def __init__(self, data: DataDir, identity: Identity, root: bytes, database: Database, clock: Clock) -> None:
        self.data, self.identity, self.root, self.database, self.clock = data, identity, root, database, clock
        self.settings = Settings(data)
        self.stored = StoredLogs(database.read, database.path)
        self.replica = Replica(root, identity.device, identity.sign, verify, self.stored)
        self.checkpoints = Checkpoints(database, self.stored)
        self.listeners: list[Callable[[Progress], None]] = []
        self.closing: list[Callable[[], None]] = []  # called when the mesh closes
        self.closed = False
        self._send, self._receive = trio.open_memory_channel[_Request[Any]](MAX_QUEUED)

    @property
    def id(self) -> str:
        """The mesh id, as people and JSON see it."""
        return mesh_id(self.root)

    @property
    def device(self) -> str:
        """Our peer id."""
        return peer_id(self.identity.device)

    def now(self) -> int:
        """The wall clock, in Unix ms. A replica that learned from peers how far it is off hears when somebody sets it."""
        wall = self.clock.wall()
        self.replica.clock_reads(wall - round(self.clock.boottime() * 1000))
        return wall

    def check_open(self) -> None:
        """Raise `ClosedError` once the mesh is closed."""
        if self.closed:
            raise ClosedError("the node is closed")

    def has_room(self) -> bool:
        """Is there disk left for what others send? What that leaves is for our own writes, so that no flood can stop them."""
        disk = shutil.disk_usage(self.data.path)
        return disk.free > min(RESERVED_BYTES, disk.total // RESERVED_SHARE)

    # --- writing -------------------------------------------------------------------------------------------------------

    async def write(self, operations: Sequence[Any]) -> Head:
        """One transaction of document operations; returns its place in our log once it is on disk.

        The operations are taken as they are at the call. Raises `ValueRefused`, `NotAMember`, `ForkDetected`,
        `ClockWrong`, `DiskFull`, `ClosedError`. Cancelled while waiting, the write may still happen.
        """
        encoded = encode(list(operations))
        taken = as_list(decode(encoded, max_bytes=len(encoded)))
        return await self.commit(lambda replica: replica.write(taken, self.now()), size=len(encoded))

    async def commit(self, propose: Callable[[Replica], T], store: Store | None = None, *, size: int = 1024) -> T:
        """Let the replica judge a proposal; returns what ``propose`` returned, once it is on disk.

        ``store`` writes more into the same transaction. ``size`` is about how many bytes it will be. Whatever ``propose`` raises is
        raised here and nothing is stored.
        """
        request = _Request(propose, store, size)
        self.check_open()
        try:
            await self._send.send(request)
        except trio.BrokenResourceError:
            raise ClosedError("the node is closed") from None
        await request.done.wait()
        if request.error is not None:
            raise request.error
        return request.result  # type: ignore[no-any-return]

    async def recheck(self) -> None:
        """Something that `Replica.held` depends on, besides time, has changed: look at what is held."""
        await self.commit(lambda replica: None)

    async def start_from(self, state: bytes, cut: Mapping[DeviceId, Head], giver: DeviceId) -> None:
        """Begin with a peer's folded state. Raises `EncodingError` if it is malformed or does not belong to its cut."""
        document = await trio.to_thread.run_sync(Document.decode_state, state)
        if dict(document.applied) != {device: head.seq for device, head in cut.items() if head.seq}:
            raise EncodingError("a state does not belong to the cut sent with it")

        def propose(replica: Replica) -> Progress:
            return replica.start_from(document, cut, giver, self.now())

        async with self.checkpoints.replacing(state, document, Base(cut, document.digest(), giver)) as store:
            self._notify(await self.commit(propose, store))

    async def learn_state(self, snapshot: bytes, state: bytes) -> None:
        """Keep the state of a snapshot, which stands for entries that we do not have. Raises `EncodingError`, `LogError`."""
        document = await trio.to_thread.run_sync(Document.decode_state, state)
        await self.commit(lambda replica: replica.learn_state(snapshot, state, document), size=len(state))

    async def tend(self) -> None:
        """Propose or confirm a snapshot, and replace what lies under one by its state, as far as that is due."""
        while tending.needed(self.replica):
            if not await self.commit(lambda replica: tending.tend(replica, self.now())):
                return

    def offer(self) -> Draft | None:
        """Our folded state, for a newcomer."""
        return Draft.of(self.replica.document, self.replica.logs)

    # --- small things kept -----------------------------------------------------------------------------------------------

    def push_config(self) -> None:
        """Let the settings see the mesh's layer as it stands in the document."""
        self.settings.set_shared(dict(self.replica.document.map(CONFIG)))

    def fact(self, name: str, default: Any = None) -> Any:
        """A small value kept on this device, by name; `EncodingError` if it is not of the kind of ``default``."""
        packed = self.stored.fact(name)
        if packed is None:
            return default
        value = decode(packed)
        if default is not None and type(value) is not type(default):
            raise EncodingError(f"what {self.database.path} keeps under {name!r} is not what was stored")
        return value

    async def keep_fact(self, name: str, value: Any) -> None:
        """Keep a small value on this device."""
        packed = encode(value)
        await self.database.write(lambda connection: logstore.save_fact(connection, name, packed))

    async def forget_invites(self) -> None:
        """Erase what is of no use any more: an invite holds a secret."""
        book = InviteBook()
        for text, used_by, name in self.stored.invites():
            invite = parse_invite(text)
            book.invites[invite.id] = OpenInvite(invite, used_by, name)
        kept = set(book.invites)
        book.prune(self.now() / 1000)
        if gone := kept - book.invites.keys():
            await self.database.write(lambda connection: logstore.drop_invites(connection, gone))

    # --- the committer ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._commit_groups()
        finally:
            with suppress(trio.WouldBlock):
                while True:
                    request = self._receive.receive_nowait()
                    request.error = ClosedError("the node is closed")
                    request.done.set()
            self._receive.close()

    async def _commit_groups(self) -> None:
        while True:
            self.checkpoints.look(self.replica)
            group: list[_Request[Any]] = []
            if self.replica.checking:  # between writes, and without keeping anything else from running
                await trio.lowlevel.checkpoint()
                with suppress(trio.WouldBlock):
                    group.append(self._receive.receive_nowait())
            else:
                with trio.move_on_after(HOLD_CHECK_SECONDS):
                    group.append(await self._receive.receive())
            if not group:
                self._notify(self.replica.tick(self.now()))
                continue
            size = group[0].size
            while size < GROUP_BYTES:
                try:
                    group.append(self._receive.receive_nowait())
                except trio.WouldBlock:
                    break
                size += group[-1].size
            with trio.CancelScope(shield=True):  # what was taken from the queue is answered
                await self._carry_out(group)
            if self.replica.held:
                self._notify(self.replica.tick(self.now()))

    async def _carry_out(self, group: Sequence[_Request[Any]]) -> None:
        accepted: list[_Request[Any]] = []
        for index, request in enumerate(group):
            try:
                request.result = request.propose(self.replica)
                accepted.append(request)
            except MycelError as error:
                request.error = error
                request.done.set()
            except Exception as error:  # a fault of ours: what it left of a proposal goes, the others stay
                _log.exception("a proposal failed")
                request.error = error
                request.done.set()
                self.replica.rollback()
                await self._carry_out([*accepted, *group[index + 1 :]])
                return
        batch = self.replica.take()
        stores = [request.store for request in accepted if request.store is not None]
        try:
            if batch or stores:
                await self.database.write(lambda connection: self._store(connection, batch, stores))
        except MycelError as error:
            self.replica.rollback()
            for request in accepted:
                request.error = error
                request.done.set()
            return
        progress = self.replica.durable(self.now())
        for request in accepted:
            request.done.set()
        self._notify(progress)

    def _store(self, connection: sqlite3.Connection, batch: Batch, stores: Sequence[Store]) -> None:
        for device, number, branch, rows, _ in batch.additions:
            logstore.save_branch(connection, _stored(device, number, branch), (StoredRow(*row) for row in rows))
        logstore.drop_statements(connection, (s.id for s in batch.unsaid))
        logstore.save_statements(connection, ((s.id, s.encoded) for s in batch.statements))
        for record in batch.records:
            logstore.save_snapshot(connection, record.id, record.encoded)
        for key, state in batch.states.items():
            logstore.save_state(connection, key, state)
        for device, number, seq, digests, freed in batch.pruned:
            logstore.prune(connection, device, number, seq, digests, freed)
        logstore.drop_snapshots(connection, batch.dropped)
        for device, number, rows, size in batch.filled:
            logstore.fill(connection, device, number, [StoredRow(*row) for row in rows], size)
        logstore.save_fact(connection, "clock", encode(self.replica.clock.last))
        for store in stores:
            store(connection)

    def _notify(self, progress: Progress) -> None:
        for listener in list(self.listeners):
            try:
                listener(progress)
            except Exception:  # whoever listens must not end the committer
                _log.exception("a listener failed")

    # --- opening and closing -----------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read what is on disk into the replica."""
        for stored in self.stored.branches():
            tip = SignedHead(stored.tip_seq, stored.tip_hash, stored.tip_signature)
            leaves = Head(stored.base_seq, stored.base_hash)
            branch = Branch(stored.parent, leaves, tip, stored.size, stored.pruned)
            own = stored.branch or branch.base == genesis(self.root, stored.device)
            if not own or self.stored.hash_at(stored.device, stored.branch, tip.seq) != tip.hash:
                raise LogError(f"the log of the device {peer_id(stored.device)} does not end where it should")
            self.replica.logs.durable.setdefault(stored.device, []).append(branch)
        statements: list[Statement] = [decode_statement(item) for item in self.stored.statements()]
        document, base = self.checkpoints.load()
        records = [decode_record(item) for item in self.stored.snapshots()]
        self.replica.load(
            statements,
            document,
            base,
            clock=self.fact("clock", 0),
            records=sorted(records, key=lambda record: isinstance(record, Confirmation)),
            states=self.stored.states(),
            now=self.now(),
        )
        for text, _, _ in self.stored.invites():  # the node reads them later, where nobody expects damage
            parse_invite(text)


@asynccontextmanager
async def open_mesh(data: DataDir, *, clock: Clock) -> AsyncIterator[Mesh]:
    """Open the data folder's mesh for this process alone.

    Raises `NotInitialised`, `DataDirBusy`, `KeyFileError`, `DatabaseDamaged`, `SchemaTooNew`, `DataDirUnusable`, `ConfigError`,
    `DiskFull`.
    """
    data.check_readable()
    with data.lock():
        identity = load_identity(data)
        async with open_database(data) as database:
            with loading(data.database):
                root = StoredLogs(database.read, data.database).fact("root")
            if root is None:
                raise data.without_root()
            mesh = Mesh(data, identity, root, database, clock)
            with loading(data.database):
                mesh._load()
            mesh.push_config()
            with suppress(MycelError):  # on a full disk they stay a little longer
                await mesh.forget_invites()
            async with open_background() as nursery:
                nursery.start_soon(mesh._run)
                nursery.start_soon(mesh.checkpoints.run, mesh.replica)
                try:
                    yield mesh
                finally:
                    mesh.closed = True
                    for close in list(mesh.closing):
                        close()
                    with trio.CancelScope(shield=True):
                        await mesh.checkpoints.keep(mesh.replica)


def _stored(device: DeviceId, number: int, branch: Branch) -> StoredBranch:
    tip = branch.tip
    assert tip is not None  # only an empty log has none, and nothing is stored for it
    return StoredBranch(
        device,
        number,
        branch.parent,
        branch.base.seq,
        branch.base.hash,
        tip.seq,
        tip.hash,
        tip.signature,
        branch.size,
        branch.pruned,
    )
