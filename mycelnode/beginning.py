"""What every way into a mesh shares: checks of folder, clock and name, and the first content of a folder's database."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mycelnode import audit, logstore
from mycelnode.commands import RESTORED_FROM, RESTORED_NAME, chosen_name
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.clock import EARLIEST_MS
from mycelnode.crdt.statements import ENROL, Statement
from mycelnode.database import open_database
from mycelnode.encoding import Value, encode
from mycelnode.errors import (
    AlreadyInitialised,
    ClockWrong,
    DataDirBusy,
    DataDirUnusable,
    NodeRunning,
)
from mycelnode.identity import (
    RootKey,
    mesh_id,
)
from mycelnode.logstore import StoredLogs
from mycelnode.paths import DataDir, sync_folder
from mycelnode.ports import Clock
from mycelnode.privacy import budget
from mycelnode.protocols.pairing import clean_name
from mycelnode.protocols.release_records import Plan
from mycelnode.schema import loading


def default_name() -> str:
    """This machine's name, for a device that was given none."""
    return clean_name(platform.node().split(".")[0] or "device")


def first_name(name: str | None) -> str:
    """The name that a person chose, else this machine's. Raises `ValueRefused`."""
    return default_name() if name is None else chosen_name(name)


def refuse_if_member(data: DataDir) -> None:
    """Raise `AlreadyInitialised` for a folder that belongs to a mesh."""
    if data.initialised() and not data.joining.exists():
        raise AlreadyInitialised(f"{data.path} already holds a device of a mesh; `mycelnode leave` takes it out")


def refuse_if_begun(data: DataDir) -> None:
    """Raise `AlreadyInitialised` also for a folder that is on its way into a mesh."""
    refuse_if_member(data)
    if data.joining.exists():
        raise AlreadyInitialised(data.unfinished)


def database_files(data: DataDir) -> list[Path]:
    """The database, its write-ahead log, and copies from before a migration."""
    return sorted([*data.path.glob(data.database.name), *data.path.glob(f"{data.database.name}[-.]*")])


def refuse_leftovers(data: DataDir) -> None:
    """Before a key is made: a new database would not go with what is left of another."""
    left = database_files(data)
    if left and not data.database.exists():
        raise DataDirUnusable(
            f"{left[0]} is left of a device whose {data.database.name} is missing; put that back, or move this away"
        )


def check_clock(clock: Clock) -> None:
    """Nothing begins under a clock that was never set: its times would look like the distant past for ever."""
    if clock.wall() < EARLIEST_MS:
        raise ClockWrong("the clock of this device is set to a time before 2025; set it and try again")


def root_statement(root: RootKey, kind: str, subject: DeviceId, head: Head | None, said: str) -> Statement:
    """The root's word about ``subject``; ``said`` is its name for an enrolment, else the reason."""
    info = {"name": said} if kind == ENROL else {"reason": said}
    return Statement(kind, subject, head, root.public, None, info).signed(root.public, root.sign)


async def begin(
    data: DataDir,
    root: bytes,
    statements: Sequence[Statement],
    event: str,
    name: str,
    clock: Clock,
    facts: Mapping[str, Value] = {},
    plans: Sequence[Plan] = (),
) -> None:
    """The first content of a folder's database, in one transaction; afterwards the folder belongs to the mesh.

    ``facts``: ``good``, peer → an address where it answered, for the first time that the node runs; and what else is to be kept.
    ``plans``: by whom releases are decided.
    """

    def store(connection: sqlite3.Connection) -> None:
        logstore.save_fact(connection, "root", root)
        for fact in (RESTORED_NAME, RESTORED_FROM):
            logstore.drop_fact(connection, fact)
        for fact, value in {"good": {}, **facts}.items():
            logstore.save_fact(connection, fact, encode(value))
        logstore.save_statements(connection, ((s.id, s.encoded) for s in statements))
        audit.record(connection, event, {"mesh": mesh_id(root), "name": name}, clock.wall())
        budget.keep(connection, plans, clock.wall())

    async with open_database(data) as database:
        await database.write(store)
    data.joining.unlink(missing_ok=True)
    sync_folder(data.path)


@dataclass(frozen=True, slots=True)
class Restored:
    """The mesh that a folder's database holds, and the name that a restored device is to have; ``from_backup``: just now."""

    root: bytes
    name: str | None
    from_backup: bool


async def restored_here(data: DataDir) -> Restored | None:
    """What a backup, or a device that is out, has left in the folder for the next join."""
    if not data.database.exists():
        return None
    async with open_database(data) as database:
        with loading(data.database):
            stored = StoredLogs(database.read, data.database)
            root, name = stored.fact("root"), stored.fact(RESTORED_NAME)
            if root is None:
                return None
            return Restored(root, None if name is None else name.decode(), stored.fact(RESTORED_FROM) is not None)


def chosen(name: str | None, restored: Restored | None) -> str:
    """How a device that joins will be called. Raises `ValueRefused` for a name that cannot be."""
    return clean_name((restored and restored.name) or default_name()) if name is None else chosen_name(name)


@contextmanager
def alone(data: DataDir) -> Iterator[None]:
    """Hold the folder. Raises `NodeRunning` while somebody else does."""
    with ExitStack() as stack:
        try:
            stack.enter_context(data.lock())
        except DataDirBusy as error:
            raise NodeRunning(str(error)) from error
        yield
