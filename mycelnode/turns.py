"""The person's private turns on this device: added, imported from files, listed, forgotten. Nothing here enters the mesh, but for a
secret that the person's devices share (`mesh_secret`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

import trio

from mycelnode import logstore, mesh_secret
from mycelnode.errors import DatabaseDamaged, DiskFull, ImportRefused
from mycelnode.logstore import StoredLogs
from mycelnode.mesh import Mesh
from mycelnode.paths import DataDir
from mycelnode.privacy import partstore, storekey, turnstore
from mycelnode.privacy.importing import Tally, turns_in
from mycelnode.privacy.interactions import Turn, checked, turn_mark
from mycelnode.privacy.pieces import Flaw, Pieces
from mycelnode.privacy.sealing import open_turn, seal_turn
from mycelnode.privacy.storekey import STRENGTH, Place
from mycelnode.privacy.turnstore import Chosen, Kept, Sealed
from mycelnode.protocols.release_units import label
from mycelnode.protocols.release_window import Window
from mycelnode.schema import open_reader

PLACE: Final = "turns.key"  # the fact that says where the key of the store is
BATCH_TURNS: Final = 256  # of a file, in one transaction
BATCH_BYTES: Final = 4 << 20
BATCH_SECONDS: Final = 0.25  # so long may an import keep from being interrupted
PAGE_BYTES: Final = 1 << 20  # of text in one answer
FORGOTTEN: Final = "forgotten"  # why a turn is left out that was forgotten, or has counted and is not here
_SAID_FORGOTTEN = "a turn that was forgotten, or has counted already on a device that is gone"


@dataclass(frozen=True, slots=True)
class Page:
    """Turns, newest first, with their texts if asked for; ``total`` of those that were meant, ``more`` if some follow."""

    turns: Sequence[tuple[Kept, tuple[str, str] | None]]
    total: int
    more: bool


class Turns:
    """The turns of one data folder. ``strength``: Argon2id's opslimit and memlimit, for a passphrase."""

    def __init__(self, mesh: Mesh, *, strength: tuple[int, int] = STRENGTH) -> None:
        self._mesh, self._strength = mesh, strength
        self._key: bytes | None = None
        self._made = False
        self._adding = 0  # calls that have the key, and are about to store what they sealed with it
        self._lock = trio.Lock()

    @property
    def place(self) -> Place | None:
        """Where the key of the store is, if there is one."""
        packed = self._mesh.stored.fact(PLACE)
        return None if packed is None else Place.decoded(packed)

    def tell_made(self) -> bool:
        """Was the key made, or put in another place, since this was asked last? Then people are told what that protects."""
        made, self._made = self._made, False
        return made

    # --- adding --------------------------------------------------------------------------------------------------------------

    async def add(self, turn: Turn, passphrase: str | None = None) -> tuple[str, str]:
        """Keep one turn: its id, and "new", "known" or "forgotten". On disk when this returns.

        Raises `TurnRefused`, `TurnsLocked`, and what `Database.write` raises.
        """
        wall = self._mesh.clock.wall()
        turn = checked(turn, wall)
        with self.using():
            secrets, key = await self.ready(passphrase)
            sealed = await trio.to_thread.run_sync(_seal, key, secrets, turn)
            new, known, _ = await self._mesh.database.write(partial(turnstore.add, turns=[sealed], wall=wall))
        return sealed.marks[0].hex()[: turnstore.ID_CHARS], "new" if new else "known" if known else FORGOTTEN

    async def import_file(
        self,
        path: Path,
        source: str | None = None,
        passphrase: str | None = None,
        tell: Callable[[int, int], None] = lambda here, total: None,
    ) -> Tally:
        """Keep the turns in a file that are not here yet. ``tell`` hears how many bytes of how many were read.

        What was taken in is on disk batch by batch: cancelled, killed or failed, that stays, and the same call goes on.

        Raises `ImportRefused` for what is no such file or cannot be read to its end, `TurnsLocked`, `DiskFull`.
        """
        tally = Tally()
        pieces = await trio.to_thread.run_sync(Pieces, path)
        with closing(pieces), self.using():
            secrets, key = await self.ready(passphrase)
            found = turns_in(pieces, self._mesh.clock.wall(), source)
            ended = False
            while not ended:
                batch = await trio.to_thread.run_sync(_batch, found, partial(_seal, key, secrets))
                for flaw in batch.flaws:
                    tally.skip(flaw.reason, f"{flaw.where}: {flaw.said}")
                if batch.turns:
                    await self._store(batch.turns, tally, path)
                tell(pieces.done, pieces.total)
                if batch.problem is not None:
                    raise ImportRefused(f"{batch.problem}{_kept_so_far(tally)}") from batch.problem
                ended = batch.ended
        if not tally.new and not tally.known and tally.skipped.keys() == {"malformed"}:
            count, first = tally.skipped["malformed"]
            raise ImportRefused(
                f"{path} holds no turn that could be read, and {count:,} that could not; the first is {first}"
            )
        return tally

    async def _store(self, batch: Sequence[Sealed], tally: Tally, path: Path) -> None:
        wall = self._mesh.clock.wall()
        try:
            new, known, gone = await self._mesh.database.write(partial(turnstore.add, turns=batch, wall=wall))
        except DiskFull as error:
            raise DiskFull(
                f"the disk is full: {path} was not taken in to its end{_kept_so_far(tally)}; free some space and try again"
            ) from error
        tally.new += new
        tally.known += known
        if gone:
            tally.skip(FORGOTTEN, _SAID_FORGOTTEN, gone)

    # --- looking -------------------------------------------------------------------------------------------------------------

    async def count(self, chosen: Chosen) -> int:
        """How many turns those are. Raises `TurnUnknown`."""
        return await self._mesh.database.scan(partial(turnstore.count, chosen=chosen))

    async def page(
        self,
        chosen: Chosen,
        limit: int,
        *,
        after: str | None = None,
        text: bool = False,
        passphrase: str | None = None,
    ) -> Page:
        """The newest turns, or those that follow the one called ``after``; with ``text`` at most about `PAGE_BYTES` of it.

        Raises `TurnUnknown`; with ``text`` also `TurnsLocked`, `DatabaseDamaged`.
        """
        key = await self._unlocked(passphrase, make=False) if text else None

        def look(connection: sqlite3.Connection) -> Page:
            found = turnstore.page(connection, chosen, limit + 1, after)
            more, size = len(found) > limit, 0
            shown: list[tuple[Kept, tuple[str, str] | None]] = []
            for kept in found[:limit]:
                if key is None:
                    shown.append((kept, None))
                    continue
                size += kept.size
                if shown and size > PAGE_BYTES:
                    more = True
                    break
                shown.append((kept, open_turn(key, kept.mark, *turnstore.sealed_text(connection, kept.no))))
            return Page(shown, turnstore.count(connection, chosen), more)

        return await self._mesh.database.scan(look)

    async def take(
        self, window: Window, look: Callable[[Kept, str, str, Sequence[bytes]], None], passphrase: str | None = None
    ) -> list[int]:
        """Call ``look(turn, request, answer, marks)``, in a worker thread, for each turn that first came in within ``window`` and
        may count in it: nothing foreign is in it, and under no secret of the mesh was it forgotten, or handed over before.

        Returns their numbers, those included that are left out for the last reason (see `turnstore.counted`).

        Raises `TurnsLocked`, `MeshSecretMissing`, `DatabaseDamaged`.
        """
        secrets, key = await self.ready(passphrase)
        this = label(window.start)

        def take(connection: sqlite3.Connection) -> list[int]:
            numbers, labels = [], partstore.labels(connection)
            for kept in turnstore.counted(connection, window):
                numbers.append(kept.no)
                request, answer = open_turn(key, kept.mark, *turnstore.sealed_text(connection, kept.no))
                marks = [turn_mark(secret, request, answer) for secret in secrets]
                if not any(found < this for mark in marks for found in labels(mark)):
                    look(kept, request, answer, marks)
            return numbers

        return await self._mesh.database.scan(take)

    # --- forgetting ----------------------------------------------------------------------------------------------------------

    async def forget(self, chosen: Chosen) -> tuple[int, bool]:
        """Forget turns for good: how many, and whether all traces are gone already (see `Database.empty_log`).

        Once no turn is left, the key of the store goes, too. Raises `TurnUnknown`, `DiskFull`.
        """
        database = self._mesh.database
        async with self._lock:
            marks = await database.write(partial(turnstore.forget, chosen=chosen))
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(turnstore.forget_in_copies, database.path)
                if not self._adding and not await database.scan(_of_use):
                    await self._let_go()
                erased = await database.empty_log()
        return len(marks), erased

    async def _let_go(self) -> None:
        """Of the key of the store."""
        place, self._key = self.place, None
        if place is not None:
            await self._mesh.database.write(lambda connection: logstore.drop_fact(connection, PLACE))
            await trio.to_thread.run_sync(storekey.destroy, self._mesh.data, place)

    # --- the key -------------------------------------------------------------------------------------------------------------

    @contextmanager
    def using(self) -> Iterator[None]:
        """For who seals something: meanwhile nobody lets go of the key because no turn is stored."""
        self._adding += 1
        try:
            yield
        finally:
            self._adding -= 1

    async def ready(self, passphrase: str | None = None) -> tuple[list[bytes], bytes]:
        """The mesh's secrets, and the key of the store, each made if there is none. Raises `TurnsLocked`, `MeshSecretMissing`."""
        key = await self._unlocked(passphrase, make=True)
        if key is None:
            raise DatabaseDamaged("the key of the private turns was made and is not there")
        return await mesh_secret.obtain(self._mesh), key

    async def _unlocked(self, passphrase: str | None, *, make: bool) -> bytes | None:
        """The key, moved to where the setting `privacy.turns_key` wants it; None if there is none and none is to be made."""
        wanted, data = self._mesh.settings.get("privacy.turns_key"), self._mesh.data
        async with self._lock:
            place = self.place
            if place is None:
                if not make:
                    return None
                making = partial(storekey.make, data, wanted, passphrase, strength=self._strength)
                self._key, made = await trio.to_thread.run_sync(making)
                await self._keep(made)
                self._made = True
                return self._key
            if self._key is None:
                fetching = partial(storekey.fetch, data, place, passphrase)
                self._key = await trio.to_thread.run_sync(
                    fetching, abandon_on_cancel=True
                )  # a keyring may wait for a person
            if wanted not in (storekey.AUTO, place.kind):
                moving = partial(storekey.keep, data, self._key, wanted, passphrase, strength=self._strength)
                await self._keep(await trio.to_thread.run_sync(moving))
                await trio.to_thread.run_sync(storekey.destroy, data, place)
                self._made = True
            return self._key

    async def _keep(self, place: Place) -> None:
        packed = place.encoded()
        await self._mesh.database.write(lambda connection: logstore.save_fact(connection, PLACE, packed))


def _of_use(connection: sqlite3.Connection) -> bool:
    """Is something stored that only the key of the store opens?"""
    return turnstore.count(connection, Chosen()) > 0 or partstore.any_parts(connection)


def let_go_of_key(data: DataDir) -> None:
    """Before a folder is erased: keep the key of its turns no more, wherever it is. Blocks. Raises what reading a database does."""
    with closing(open_reader(data.database)) as connection:
        packed = StoredLogs(connection, data.database).fact(PLACE)
    if packed is not None:
        storekey.destroy(data, Place.decoded(packed))


def _seal(key: bytes, secrets: Sequence[bytes], turn: Turn) -> Sealed:
    marks = [turn_mark(secret, turn.request, turn.answer) for secret in secrets]
    wrapped, sealed = seal_turn(key, marks[0], turn.request, turn.answer)
    return Sealed(marks, turn.time, turn.source, turn.success, turn.influenced, turn.size, wrapped, sealed)


@dataclass(slots=True)
class _Batch:
    """The next turns of a file, what was left out among them, whether that was all, and why no more can be read."""

    turns: list[Sealed] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    ended: bool = False
    problem: ImportRefused | None = None


def _batch(found: Iterator[Turn | Flaw | None], seal: Callable[[Turn], Sealed]) -> _Batch:
    batch, size, until = _Batch(), 0, monotonic() + BATCH_SECONDS
    try:
        for one in found:
            if isinstance(one, Turn):
                batch.turns.append(seal(one))
                size += one.size
            elif one is not None:
                batch.flaws.append(one)
            if len(batch.turns) + len(batch.flaws) >= BATCH_TURNS or size >= BATCH_BYTES or monotonic() >= until:
                return batch
        batch.ended = True
    except ImportRefused as problem:
        batch.problem = problem
    return batch


def _kept_so_far(tally: Tally) -> str:
    if not tally.new and not tally.known:
        return ""
    return f" ({tally.new:,} new turns of it are kept, and {tally.known:,} were known; the same command goes on)"
