"""The set of digests that catalogue sessions are about, kept so that a session finds everything ready: in order, and as cells."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from mycelnode.protocols.catalogue_frames import MAX_DIGESTS, View
from mycelnode.protocols.riblt import Sketch


class Holding:
    """``digests`` of 32 bytes; of more than `MAX_DIGESTS` the rest are left out. Making one, of 100,000, takes 0.2 s.

    While another key is prepared, which takes as long, changes go on: `copy` what is held, make the `Sketch` of it wherever there
    is time, and hand it to `rekey`.
    """

    def __init__(self, key: bytes, digests: Iterable[bytes] = ()) -> None:
        self._digests = sorted(set(digests))[:MAX_DIGESTS]
        self._sketch = Sketch(key, self._digests)
        self._view: View | None = None
        self._since: list[tuple[bytes, bool]] | None = None  # changes since `copy`

    def __len__(self) -> int:
        return len(self._digests)

    @property
    def key(self) -> bytes:
        """Under which the cells are made."""
        return self._sketch.key

    def change(self, digest: bytes, held: bool) -> None:
        """A digest is ``held`` from now on, or not any more; nothing happens if it was so already, or if there is no room."""
        at = bisect_left(self._digests, digest)
        known = at < len(self._digests) and self._digests[at] == digest
        if known == held or (held and len(self._digests) >= MAX_DIGESTS):
            return
        if held:
            self._digests.insert(at, digest)
        else:
            del self._digests[at]
        _apply(self._sketch, digest, held)
        if self._since is not None:
            self._since.append((digest, held))
        self._view = None

    def view(self) -> View:
        """As it is now; sessions between two changes share one."""
        if self._view is None:
            self._view = View(self.key, self._sketch.cells(), tuple(self._digests))
        return self._view

    def copy(self) -> list[bytes]:
        """The digests in order, for a new sketch."""
        self._since = []
        return list(self._digests)

    def rekey(self, sketch: Sketch) -> None:
        """Go on with a sketch of what `copy` returned last, brought up to date."""
        for digest, held in self._since or ():
            _apply(sketch, digest, held)
        self._sketch, self._since, self._view = sketch, None, None


def _apply(sketch: Sketch, digest: bytes, held: bool) -> None:
    if held:
        sketch.add(digest)
    else:
        sketch.remove(digest)
