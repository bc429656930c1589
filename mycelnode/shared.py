"""Handles on the mesh's shared collections: what library users read, write and watch.

Every handle reads the folded document as it stands on disk here, and writes one transaction per call: a write has returned when
it is fsynced, whether or not another device is reachable. Two devices may use different types under one name; those are two
collections.

Every write raises `ValueRefused` for what the mesh does not carry (a transaction has at most 256 KiB), `NotAMember`,
`ForkDetected`, `ClockWrong`, `DiskFull` and `ClosedError`; nothing is written then. Cancelled, it may still happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from mycelnode.crdt import document as ops
from mycelnode.crdt.document import Change
from mycelnode.crdt.operations import is_name
from mycelnode.encoding import Value
from mycelnode.errors import ClosedError, ValueRefused
from mycelnode.mesh import Mesh
from mycelnode.protocols.folding import Progress

RESERVED = "mycel."  # collections of mycelnode itself
MAX_WATCHED = 4096  # changes waiting for a slow watcher


def check_name(name: str) -> str:
    """``name`` if users may give it to a collection; else `ValueRefused`."""
    if not is_name(name) or name.startswith(RESERVED):
        raise ValueRefused(
            f"a collection's name has 1 to {ops.MAX_NAME_CHARS} characters and does not start with {RESERVED!r}"
        )
    return name


class _Shared:
    """What all handles have in common."""

    def __init__(self, mesh: Mesh, name: str) -> None:
        self._mesh = mesh
        self.name = name

    @property
    def _document(self) -> ops.Document:
        return self._mesh.replica.document

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def _write(self, *operations: Any) -> None:
        self._mesh.check_open()
        if made := [operation for operation in operations if operation is not None]:
            await self._mesh.write(made)
        else:  # nothing to do, and a checkpoint all the same
            await trio.lowlevel.checkpoint()


class SharedMap(_Shared):
    """A last-writer-wins map from text to values: of two concurrent writes to a key, the later one by hybrid clock stays.

    >>> notes = node.map("notes")
    >>> await notes.put("shopping", "milk")
    >>> notes.get("shopping")
    'milk'
    """

    def get(self, key: str, default: Value = None) -> Value:
        """The value under ``key``."""
        return self._document.map(self.name).get(key, default)

    def items(self) -> Mapping[str, Value]:
        """All keys and values, as a copy."""
        return dict(self._document.map(self.name))

    def __getitem__(self, key: str) -> Value:
        return self._document.map(self.name)[key]

    def __contains__(self, key: object) -> bool:
        return key in self._document.map(self.name)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._document.map(self.name)))

    def __len__(self) -> int:
        return len(self._document.map(self.name))

    async def put(self, key: str, value: Value) -> None:
        """Set ``key`` (at most 512 characters); on disk when this returns. Raises what every write raises, see this module."""
        await self._write(ops.map_put(self.name, key, value))

    async def delete(self, key: str) -> None:
        """Remove ``key``; a concurrent later write brings it back."""
        await self._write(ops.map_remove(self.name, key))

    async def update(self, values: Mapping[str, Value]) -> None:
        """Set several keys in one transaction: every device sees all of them or none."""
        await self._write(*(ops.map_put(self.name, key, value) for key, value in values.items()))


class SharedRegister(_Shared):
    """One last-writer-wins value.

    >>> title = node.register("title")
    >>> await title.set("Travel plans")
    >>> title.get()
    'Travel plans'
    """

    def get(self, default: Value = None) -> Value:
        """The value, or ``default`` if none was ever set."""
        return self._document.register(self.name).get(default)

    async def set(self, value: Value) -> None:
        """Replace the value."""
        await self._write(ops.register_set(self.name, value))


class SharedSet(_Shared):
    """An observed-remove set: of a concurrent add and remove of the same element, the add wins.

    >>> tags = node.set("tags")
    >>> await tags.add("home", "urgent")
    >>> await tags.remove("home")
    >>> sorted(tags)
    ['urgent']
    """

    def __contains__(self, element: Value) -> bool:
        return element in self._document.orset(self.name)

    def __iter__(self) -> Iterator[Value]:
        return iter(list(self._document.orset(self.name)))

    def __len__(self) -> int:
        return len(self._document.orset(self.name))

    async def add(self, *elements: Value) -> None:
        """Add elements in one transaction."""
        await self._write(*(self._document.add(self.name, element) for element in elements))

    async def remove(self, *elements: Value) -> None:
        """Remove elements as seen here; absent ones are ignored."""
        await self._write(*(self._document.remove(self.name, element) for element in elements if element in self))


class SharedLog(_Shared):
    """A grow-only set: what was added stays.

    >>> visits = node.log("visits")
    >>> await visits.add({"day": "2026-11-25", "place": "library"})
    >>> len(visits)
    1
    """

    def __contains__(self, element: Value) -> bool:
        return element in self._document.gset(self.name)

    def __iter__(self) -> Iterator[Value]:
        return iter(list(self._document.gset(self.name)))

    def __len__(self) -> int:
        return len(self._document.gset(self.name))

    async def add(self, *elements: Value) -> None:
        """Add elements in one transaction."""
        await self._write(*(ops.gset_add(self.name, element) for element in elements))


class SharedCounter(_Shared):
    """A counter that every device may raise and lower; concurrent changes add up.

    >>> cups = node.counter("cups")
    >>> await cups.add(2)
    >>> cups.value
    2
    """

    @property
    def value(self) -> int:
        """The sum of all changes known here."""
        return self._document.counter(self.name).value

    async def add(self, delta: int = 1) -> None:
        """Change the counter by ``delta`` (|delta| ≤ 2^53)."""
        await self._write(ops.counter_add(self.name, delta))


class SharedVersions(_Shared):
    """A multi-value register: concurrent versions are all kept until somebody who saw them sets a new one.

    >>> draft = node.versions("draft")
    >>> await draft.set("Dear all")
    >>> draft.values()
    ['Dear all']
    """

    def values(self) -> Sequence[Value]:
        """All current versions; one unless devices wrote concurrently."""
        return list(self._document.multi(self.name).values())

    async def set(self, value: Value) -> None:
        """Supersede every version seen here."""
        await self._write(self._document.assign(self.name, value))


class Changes:
    """The changes of one collection (or of all) while a `Node.watch` block lasts, in the order in which they became durable.

    Whoever falls `MAX_WATCHED` changes behind, and everybody after a fold from the start (a device was revoked), gets one change of
    kind ``"refolded"`` in place of all that waited: read the collection anew.

    >>> async with node.watch("notes") as changes:
    ...     async for change in changes:  # ends when the node is closed
    ...         print(change.key, change.new)
    """

    def __init__(self, name: str | None) -> None:
        self.name = name
        self._waiting: deque[Change] = deque()
        self._ended = False
        self._news = trio.Event()

    async def receive(self) -> Change:
        """The next change. Raises `ClosedError` when the block or the node has ended. Cancelling loses nothing."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._waiting:
            if self._ended:
                raise ClosedError("nothing is watched any more")
            await self._news.wait()
        change = self._waiting.popleft()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return change

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> Change:
        try:
            return await self.receive()
        except ClosedError:
            raise StopAsyncIteration from None

    def _hear(self, progress: Progress) -> None:
        changes = [change for change in progress.changes if self.name is None or change.name == self.name]
        if progress.refolded or len(self._waiting) + len(changes) > MAX_WATCHED:
            self._waiting.clear()
            changes = [Change.refolded(self.name)]
        if changes:
            self._waiting += changes
            self._wake()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


@asynccontextmanager
async def watch(mesh: Mesh, name: str | None) -> AsyncIterator[Changes]:
    """Changes of one collection (None: of all), from now on, once they are on disk here. Raises `ClosedError`, `ValueRefused`."""
    mesh.check_open()
    changes = Changes(None if name is None else check_name(name))
    mesh.listeners.append(changes._hear)
    mesh.closing.append(changes._end)
    try:
        yield changes
    finally:
        mesh.listeners.remove(changes._hear)
        mesh.closing.remove(changes._end)
        changes._end()
