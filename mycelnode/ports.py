"""The small Protocols through which lower rooms reach what they must not import."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Clock(Protocol):
    """Where every reading of time comes from, so that tests and simnet can own it."""

    def wall(self) -> int:
        """Unix time in milliseconds, as the operating system believes it."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; not counted while the machine sleeps."""
        ...

    def boottime(self) -> float:
        """Seconds since boot, counted also while the machine sleeps (CLOCK_BOOTTIME)."""
        ...


class Service(Protocol):
    """A part of the node that another package adds, open for as long as the node is."""

    @property
    def state(self) -> tuple[str, str]:
        """("ok" | "off" | "failed", a sentence that says more), for `mycelnode status`."""
        ...

    @property
    def commands(self) -> Mapping[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]]:
        """What the control socket answers for it: request type → handler; the service's name and a dot come before the type."""
        ...


class Embedder(Protocol):
    """A model that turns texts into vectors, of which near ones mean something near."""

    @property
    def name(self) -> str:
        """What a person is told, such as "ollama:all-minilm"."""
        ...

    @property
    def model_id(self) -> str:
        """Names the model to the last bit: vectors of different ones cannot be compared."""
        ...

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        ...

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[len(texts), dim], each of unit length. Raises `EmbedderUnavailable`. Cancelled, nothing comes of it."""
        ...


class DigestSet(Protocol):
    """Which manifests a node holds, by their sha2-256 digests of 32 bytes: what catalogue sync reconciles with its neighbours."""

    @property
    def listeners(self) -> list[Callable[[bytes, bool], None]]:
        """Each is called as ``listener(digest, held)`` when a manifest has come (True) or gone, in the thread of the event loop."""
        ...

    def digests(self) -> Iterable[bytes]:
        """All of them, in any order."""
        ...


class BlockStore(Protocol):
    """Where blocks lie by their CIDs, in the 36 bytes of a CIDv1. Blocking; may be called from several threads at once."""

    def get(self, cid: bytes) -> bytes | None:
        """The block, checked against its name; None if it is not here."""
        ...

    def size(self, cid: bytes) -> int | None:
        """Its size in bytes; None if it is not here."""
        ...

    def put(self, cid: bytes, block: bytes) -> None:
        """Keep a block, which is checked against its name. Raises `MycelError`, and then nothing has changed."""
        ...
