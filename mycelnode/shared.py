"""Handles on the mesh's shared collections: what library users read, write and watch.

Every handle reads the folded document as it stands on disk here, and writes one transaction per call: a write has returned when
it is fsynced, whether or not another device is reachable. Two devices may use different types under one name; those are two
collections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from mycelnode.crdt import document as ops
from mycelnode.crdt.document import Change
from mycelnode.encoding import Value
from mycelnode.errors import ValueRefused
from mycelnode.mesh import Mesh
from mycelnode.protocols.replica import Progress

RESERVED = "mycel."  # collections of mycelnode itself
MAX_WATCHED = 4096  # changes waiting for a slow watcher; then it gets one `Change` of kind "refolded" and reads anew


def check_name(name: str) -> str:
    """``name`` if users may give it to a collection; else `ValueRefused`."""
    if not name or len(name) > ops.MAX_NAME_CHARS or name.startswith(RESERVED):
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

    async def _write(self, *operations: Any) -> None:
        await self._mesh.write([operation for operation in operations if operation is not None])


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

    async def put(self, key: str, value: Value) -> None:
        """Set ``key``; on disk when this returns."""
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
        operations = [self._document.remove(self.name, element) for element in elements if element in self]
        if operations:
            await self._write(*operations)


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


@asynccontextmanager
async def watch(mesh: Mesh, name: str | None) -> AsyncIterator[trio.MemoryReceiveChannel[Change]]:
    """Changes of one collection (or of all), from now on, once they are on disk here.

    A watcher that falls `MAX_WATCHED` changes behind, and any watcher after a fold from the start (a device was revoked), gets one
    change of kind ``"refolded"``: read the collection anew.
    """
    send, receive = trio.open_memory_channel[Change](MAX_WATCHED)
    overflowed = False

    def listen(progress: Progress) -> None:
        nonlocal overflowed
        changes = [change for change in progress.changes if name is None or change.name == name]
        if progress.refolded or overflowed:
            changes = [Change.refolded(name)]
        for change in changes:
            try:
                send.send_nowait(change)
                overflowed = False
            except trio.WouldBlock:
                overflowed = True
                return

    mesh.listeners.append(listen)
    try:
        async with send, receive:
            yield receive
    finally:
        mesh.listeners.remove(listen)
