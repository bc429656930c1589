"""Reading a document: read-only views of its collections, and their plain forms.

A view shows the collection as it is at each call, also one that does not exist yet (it is empty).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from mycelnode.crdt.counters import PNCounter
from mycelnode.crdt.registers import LWWMap, LWWRegister, MVRegister
from mycelnode.crdt.sets import GSet, ORSet
from mycelnode.encoding import Value

REGISTER: Final = "register"
MAP: Final = "map"
GSET: Final = "gset"
ORSET: Final = "orset"
COUNTER: Final = "counter"
MULTI: Final = "multi"


class RegisterView:
    """A last-writer-wins register."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], LWWRegister | None]) -> None:
        self._find = find

    def get(self, default: Value = None) -> Value:
        """The value, or ``default`` if none was ever set."""
        found = self._find()
        return default if found is None else found.get(default)


class MapView(Mapping[str, Value]):
    """A last-writer-wins map."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], LWWMap | None]) -> None:
        self._find = find

    def __getitem__(self, key: str) -> Value:
        found = self._find()
        if found is None or key not in found:
            raise KeyError(key)
        return found.get(key)

    def __contains__(self, key: object) -> bool:
        found = self._find()
        return found is not None and key in found

    def __iter__(self) -> Iterator[str]:
        return iter(self._find() or ())

    def __len__(self) -> int:
        return len(self._find() or ())


class SetView(Collection[Value]):
    """A grow-only or observed-remove set. Elements may be lists and maps too, so this is no `collections.abc.Set`."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], GSet | ORSet | None]) -> None:
        self._find = find

    def __contains__(self, element: object) -> bool:
        found = self._find()
        return found is not None and element in found

    def __iter__(self) -> Iterator[Value]:
        return iter(self._find() or ())

    def __len__(self) -> int:
        return len(self._find() or ())


class CounterView:
    """A counter."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], PNCounter | None]) -> None:
        self._find = find

    @property
    def value(self) -> int:
        """The sum of all changes."""
        found = self._find()
        return 0 if found is None else found.value


class MultiView:
    """A multi-value register."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], MVRegister | None]) -> None:
        self._find = find

    def values(self) -> list[Value]:
        """All current versions, without repetition; one unless devices wrote concurrently, none before the first."""
        found = self._find()
        return [] if found is None else found.values()


View = RegisterView | MapView | SetView | CounterView | MultiView


def plain_value(view: View) -> Any:
    """What a view shows, as one Python value."""
    if isinstance(view, RegisterView):
        return view.get()
    if isinstance(view, MapView):
        return dict(view)
    if isinstance(view, CounterView):
        return view.value
    return view.values() if isinstance(view, MultiView) else list(view)
