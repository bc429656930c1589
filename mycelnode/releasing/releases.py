"""What this device keeps and answers about releases: the machine, and its disk. The network is in `mycelnode.p2p.release_driver`.

What the machine says is to be kept is on disk before it hears so. One thing at a time is done with it (`lock`), and nobody waits
for another device, or for a long history to be read, meanwhile.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import blake2b
from mycelnode.errors import EncodingError, PeerMisbehaved
from mycelnode.identity import verify
from mycelnode.mesh import Mesh
from mycelnode.mesh_secret import known as known_secrets
from mycelnode.privacy import budget, partstore, turnstore
from mycelnode.privacy.interactions import DAY_MS, day_mark
from mycelnode.privacy.key import Key, key_of, version
from mycelnode.privacy.owner import Dictionary
from mycelnode.privacy.partstore import Mark
from mycelnode.privacy.turnstore import Kept as KeptTurn
from mycelnode.protocols.release import Part
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import MAX_RECORD_BYTES, Plan, Record, Seen, Spend, read_record
from mycelnode.protocols.release_steps import Call, Freeze, Give, Keep, Kept, No, Seal, Terms
from mycelnode.protocols.release_units import MAX_MARKS, Handed, counts, digest, label
from mycelnode.protocols.release_window import Window
from mycelnode.releasing import dictionary
from mycelnode.turns import Turns

SALT_BYTES: Final = 16
MAX_HEARD: Final = 20_000  # records in one exchange

Telling = Callable[[int, int], None]  # how many bytes of our own turns were read, of how many


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was counted of a window, in memory alone: key → days, and the salt of its digest."""

    counts: dict[bytes, int]
    salt: bytes


@dataclass(frozen=True, slots=True)
class Handing:
    """Our part as it is handed over; ``said``: why there is nothing in it."""

    turns: Sequence[Handed]
    said: str = ""


class Releases:
    """The releases of one data folder; made by `open_releases`."""

    def __init__(self, mesh: Mesh, turns: Turns, ledger: Ledger, kept: Kept) -> None:
        self.mesh, self.turns = mesh, turns
        me = mesh.identity
        self.part = Part(mesh.root, me.device, me.sign, verify, ledger, kept, secrets.token_bytes)
        self.lock, self._reading = trio.Lock(), trio.Lock()
        self.on_kept: Callable[[], None] = lambda: None  # there are records that others may not have

    # --- how things stand -------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Unix ms."""
        return self.mesh.clock.wall()

    def terms(self) -> Terms:
        """Under which a window opens now."""
        return Terms(version(), dictionary.digest(dictionary.entries(self.mesh)))

    def secrets(self) -> bytes:
        """What stands for the secrets of the mesh that this device knows."""
        return blake2b(b"".join(sorted(known_secrets(self.mesh))))

    def others(self) -> frozenset[DeviceId]:
        """The other devices of the mesh."""
        return frozenset(self.mesh.replica.membership.members) - {self.part.me}

    def clock_doubted(self) -> bool:
        """Do two other devices say that our clock is more than a day off? Then nothing is decided by it."""
        return self.mesh.replica.clock_wrong(self.now())

    async def refresh(self) -> None:
        """Look who is in the mesh, and note under which terms the window of now opened. On disk when this returns."""
        async with self.lock:
            membership = self.mesh.replica.membership
            self.part.membership(frozenset(membership.members), frozenset(membership.enrolled))
            if done := self.part.open(self.now(), self.terms()):
                entries = dictionary.entries(self.mesh)
                with trio.CancelScope(shield=True):
                    await self.mesh.database.write(partial(partstore.open_window, done=done, entries=entries))
                    self.part.opened(done)

    # --- records ----------------------------------------------------------------------------------------------------------

    def records(self) -> list[bytes]:
        """The whole ledger, as it travels."""
        return [record.encoded for record in self.part.ledger]

    async def hear(self, packed: Sequence[bytes]) -> None:
        """What another device holds. Raises `PeerMisbehaved` for what is no record."""
        try:
            records = [read_record(one) for one in packed[:MAX_HEARD] if len(one) <= MAX_RECORD_BYTES]
        except EncodingError as error:
            raise PeerMisbehaved("it sent something that is no record of releases") from error
        async with self.lock:
            if done := self.part.hear(records, self.now()):
                await self.keep(done)
        await self.refresh()  # a plan says which window it is that has opened

    async def keep(self, done: Keep) -> None:
        """Keep records; what we are about to spend only if the ledger on the disk has room for it. `lock` is held.

        Raises `BudgetBroken`, `BudgetSpent`, and what `Database.write` raises.
        """
        now, me, undrawn = self.now(), self.part.me, self.part.undrawn
        spends = [one for one in done.records if isinstance(one, Spend)]
        ours = any(one.author == me for one in spends)
        # Windows only go forward: of those before, and of what another device has decided, no part is wanted any more.
        past = max((one.window.start + (one.author != me) for one in spends), default=0)

        def store(connection: sqlite3.Connection) -> None:
            if ours:
                budget.reserve(connection, done.records, self.mesh.root, verify, now)
            else:
                budget.keep(connection, done.records, now)
            partstore.erase_before(connection, past, None if undrawn is None else undrawn.start)

        with trio.CancelScope(shield=True):
            await self.mesh.database.write(store)
            self.part.kept(done)
            self.on_kept()

    async def save(self, *records: Record) -> None:
        """Keep records of ours."""
        async with self.lock:
            await self.keep(Keep(records))

    # --- one dictionary for a window --------------------------------------------------------------------------------------

    async def terms_for(self, window: Window, caller: DeviceId) -> tuple[Terms, Sequence[str]] | str:
        """By which terms we, who decide a window, read it, with the words of the dictionary; or why there are none."""
        await self.refresh()
        async with self.lock:
            found = self.part.terms_for(window, caller)
            if isinstance(found, No):
                return found.said
            words = await self.mesh.database.scan(lambda connection: partstore.entries(connection, window.start))
            return found, words or []

    def dictionary_of(self, window: Window) -> bytes:
        """What stands for the dictionary by which we would read a window."""
        return self.part.local.opened.get(window.start, self.terms()).dictionary

    async def agree(self, window: Window, releaser: DeviceId, terms: Terms, words: Sequence[str]) -> None:
        """Read a window as the device does which decides it. ``words``: of its dictionary, if that is not ours. On disk when this
        returns. Raises `PeerMisbehaved` if they are others than it says."""
        async with self.lock:
            same = terms.dictionary == self.dictionary_of(window)
            if not same and dictionary.digest(words) != terms.dictionary:
                raise PeerMisbehaved("it sent another dictionary than it said")
            if done := self.part.agree(window, releaser, terms):
                entries = None if same else words
                with trio.CancelScope(shield=True):
                    await self.mesh.database.write(partial(partstore.agree, done=done, entries=entries))
                    self.part.agreed(done)

    # --- answering --------------------------------------------------------------------------------------------------------

    async def called(self, call: Call, caller: DeviceId) -> Handing | str:
        """Our part of a window for its releaser, taken now if it was not yet; or why there is none."""
        await self.refresh()
        async with self.lock:
            answer = self._call(call, caller)
        if isinstance(answer, Freeze):
            await self.freeze(answer)
        async with self.lock:
            answer = self._call(call, caller)
            if isinstance(answer, No):
                return answer.said
            if not isinstance(answer, Give):
                return "its part was not taken; ask again"
            start, me = call.window.start, self.part.me

            def look(connection: sqlite3.Connection, key: bytes) -> list[Handed]:
                return list(partstore.parts(connection, key, start, me))

            if not answer.empty:
                _, key = await self.turns.ready()
                turns = await self.mesh.database.scan(partial(look, key=key))
                if turns:
                    return Handing(turns)
            return Handing([], answer.said or (await self.left_out(call.window)).get(me, ""))

    def _call(self, call: Call, caller: DeviceId) -> Freeze | Give | No:
        return self.part.call(call, caller, self.now(), version(), self.secrets())

    async def given(self, window: Window) -> None:
        """Our part is on the releaser's disk."""
        await self.mesh.database.write(lambda connection: partstore.drop_part(connection, window.start, self.part.me))

    async def asked(self, packed: bytes, caller: DeviceId) -> Seen | str:
        """Our word as a witness for a record, on disk before this returns; or why not."""
        await self.refresh()
        record = read_record(packed)
        if not isinstance(record, Spend | Plan):
            return "only a spend or a plan is countersigned"
        async with self.lock:
            answer = self.part.asked(record, caller, self.now())
            if isinstance(answer, Keep):
                await self.keep(answer)
                answer = next(one for one in answer.records if isinstance(one, Seen))
            return answer.said if isinstance(answer, No) else answer

    # --- our own part -----------------------------------------------------------------------------------------------------

    async def freeze(self, done: Freeze, tell: Telling = lambda here, total: None) -> None:
        """Take our turns of a window, and keep what is to be handed over. Nothing is taken twice, and nothing at all if the machine
        has heard of other terms meanwhile.

        Reading takes long, and others are answered meanwhile: what was read is compared with what is there when it is stored.

        Raises `TurnsLocked`, `MeshSecretMissing`, and what `Database.write` raises.
        """
        me, start = self.part.me, done.window.start
        async with self._reading:
            while self.part.stands(done):
                numbers, handed = await self._read(done, tell)
                with self.turns.using(), trio.CancelScope(shield=True):  # what is on the disk is known to the machine
                    known, key = await self.turns.ready()
                    marks = list(partstore.marks_of(handed, label(start), partial(_day_marks, known)))
                    async with self.lock:
                        if not self.part.stands(done):
                            return
                        if await self.mesh.database.write(partial(_freeze, key, done, me, numbers, handed, marks)):
                            self.part.froze(done)

    async def _read(self, done: Freeze, tell: Telling) -> tuple[list[int], list[Handed]]:
        if done.empty:
            return [], []
        window, look = done.window, self.mesh.database.scan
        entries = await look(lambda connection: partstore.entries(connection, window.start))
        owner = Dictionary(dictionary.entries(self.mesh) if entries is None else entries)
        total = await look(lambda connection: sum(one.size for one in turnstore.counted(connection, window)))
        handed: list[Handed] = []
        read = 0

        def take(turn: KeptTurn, request: str, answer: str, marks: Sequence[bytes]) -> None:
            nonlocal read
            read += turn.size
            trio.from_thread.run_sync(tell, read, total)  # also a place where this can be cancelled
            if (key := key_of(request, answer, owner)) is not None:
                known = (turn.mark, *(mark for mark in marks if mark != turn.mark))  # it is forgotten by the first
                handed.append(Handed(known[:MAX_MARKS], key.encode(), turn.facts.time // DAY_MS, turn.facts.dated))

        return await self.turns.take(window, take), handed

    async def keys(self, window: Window, tell: Telling) -> set[bytes]:
        """Which habits this device has in a window, as far as it was not decided. Nothing is kept of that."""
        if window.start not in self.part.local.frozen:
            _, handed = await self._read(Freeze(window, self.part.me), tell)
            return {one.key for one in handed}
        _, key = await self.turns.ready()
        start, me = window.start, self.part.me
        return await self.mesh.database.scan(
            lambda connection: {one.key for one in partstore.parts(connection, key, start, me)}
        )

    async def take_own(self) -> None:
        """Take our part of a window that has ended, so that an update that comes later does no harm."""
        await self.refresh()
        if done := self.part.own(self.now(), version()):
            await self.freeze(done)

    # --- as the releaser --------------------------------------------------------------------------------------------------

    async def put_part(self, window: Window, device: DeviceId, handed: Sequence[Handed], said: str = "") -> bool:
        """A device's part, on disk when this returns; False if it is too late for it. ``said``: why there is nothing in it.

        Raises `PeerMisbehaved` if something in it is the key of no habit.
        """
        try:
            for one in handed:
                Key.stored(one.key)  # it may have been taken before an update
        except EncodingError as error:
            raise PeerMisbehaved("it has handed over what is the key of no habit") from error
        with self.turns.using():  # or the key of the store could go before the part is sealed under it
            known, key = await self.turns.ready()
            marks = list(partstore.marks_of(handed, label(window.start), partial(_day_marks, known)))

            def store(connection: sqlite3.Connection) -> None:
                partstore.put_parts(connection, key, window.start, device, handed)
                partstore.hand(connection, marks)
                partstore.got(connection, window.start, device, said)

            async with self.lock:
                if self.part.sealing(window):
                    return False
                with trio.CancelScope(shield=True):
                    await self.mesh.database.write(store)
                    self.part.got(window, device)
                return True

    async def left_out(self, window: Window) -> dict[DeviceId, str]:
        """The devices of which nothing counts in a window, as far as is known here, and why."""
        return await self.mesh.database.scan(lambda connection: partstore.left_out(connection, window.start))

    async def leave_out(self, window: Window, devices: Mapping[DeviceId, str]) -> None:
        """A window is decided without these devices."""
        await self.mesh.database.write(lambda connection: partstore.leave_out(connection, window.start, devices))

    async def count(self, window: Window, devices: Iterable[DeviceId]) -> dict[bytes, int]:
        """key → days, of those devices' parts."""
        known, key = await self.turns.ready()
        start, these = window.start, sorted(devices)

        def look(connection: sqlite3.Connection) -> dict[bytes, int]:
            handed = (one for device in these for one in partstore.parts(connection, key, start, device))
            return counts(handed, label(start), partstore.labels(connection), partial(_day_marks, known))

        return await self.mesh.database.scan(look)

    async def seal(self, done: Seal) -> Sealed:
        """Count, and let the machine know what stands for it."""
        async with self.lock:
            salt = secrets.token_bytes(SALT_BYTES)
            found = await self.count(done.window, done.devices)
            begun = self.part.local.opened.get(done.window.start)
            self.part.sealed(done, digest(salt, found), version() if begun is None else begun.version)
            return Sealed(found, salt)

    # --- marks ------------------------------------------------------------------------------------------------------------

    async def mark_digests(self) -> list[bytes]:
        """What stands for all marks, by buckets."""
        return await self.mesh.database.scan(partstore.digests)

    async def marks(self, buckets: Iterable[int]) -> list[Mark]:
        """All marks of some buckets."""
        wanted = list(buckets)
        return await self.mesh.database.scan(
            lambda connection: [one for number in wanted for one in partstore.bucket(connection, number)]
        )

    async def take_marks(self, marks: Sequence[Mark]) -> None:
        """Keep marks of another device. Raises `PeerMisbehaved` if they are too many."""
        if marks and not await self.mesh.database.write(lambda connection: partstore.take(connection, marks)):
            raise PeerMisbehaved(f"there are more than {partstore.MAX_MARKS:,} turns and days that count no more")


def _freeze(
    key: bytes,
    done: Freeze,
    me: DeviceId,
    numbers: Sequence[int],
    handed: Sequence[Handed],
    marks: Sequence[Mark],
    connection: sqlite3.Connection,
) -> bool:
    """False if something came in, or was forgotten, while the turns of these ``numbers`` were read."""
    if not done.empty and [one.no for one in turnstore.counted(connection, done.window)] != numbers:
        return False
    partstore.freeze(connection, key, done, me, handed, marks)
    return True


def _day_marks(known: Sequence[bytes], key: bytes, day: int) -> list[bytes]:
    return [day_mark(secret, key, day) for secret in known]


async def open_releases(mesh: Mesh, turns: Turns) -> Releases:
    """Read what is on the disk. Raises `BudgetBroken`."""

    def look(connection: sqlite3.Connection) -> tuple[list[Record], Kept]:
        return budget.read(connection, mesh.root, verify), partstore.load(connection)

    records, kept = await mesh.database.scan(look)
    releases = Releases(mesh, turns, Ledger(mesh.root, records), kept)
    await releases.refresh()
    return releases
