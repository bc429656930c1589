"""The small Protocols through which lower rooms reach what they must not import."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CidT = TypeVar("CidT")  # the CIDs of mycelnode.patterns, which is a room above


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


@dataclass(frozen=True, slots=True)
class IpfsIdentity:
    """Who an IPFS node is: ``addrs`` are multiaddrs that end in its peer id, ``version`` is what it calls itself."""

    peer_id: str
    addrs: tuple[str, ...]
    version: str


class IpfsNode(Protocol[CidT]):
    """An IPFS node in another program. Everything raises `KuboUnreachable` or `KuboRefused`, and can be cancelled at once.

    Cancelled, a call may have been carried out or not; each can be made again.
    """

    async def identity(self) -> IpfsIdentity:
        """Who it is."""
        ...

    async def connect(self, multiaddr: str) -> None:
        """Let it dial a peer, whose id ends the multiaddr."""
        ...

    async def add(self, chunks: AsyncIterable[bytes], *, pin: bool = True) -> CidT:
        """Keep a file there, in UnixFS of the profile ``unixfs-v1-2025``; the chunks may be of any size."""
        ...

    def cat(self, cid: CidT, max_bytes: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of a file there, or that it finds; refused once it is, or proves, longer than ``max_bytes``.

        That all of them came is checked; that they are what the CID names is not.
        """
        ...

    async def pin(self, cid: CidT, *, recursive: bool = True, name: str = "") -> None:
        """Keep everything below a CID, or its own block alone; what is not there it fetches first.

        A ``name`` tells later who pinned it (`named_pins`). It takes the place of that of an older pin of the same CID.
        """
        ...

    async def unpin(self, cid: CidT) -> None:
        """Keep it no longer. What was not pinned stays so, and is no error."""
        ...

    async def pins(self) -> frozenset[CidT]:
        """What is kept for its own sake (recursively), where its CID is of a kind that is known here."""
        ...

    async def named_pins(self, start: str) -> Mapping[CidT, str]:
        """What is pinned, recursively or not, by a name that begins with ``start``, and these names."""
        ...

    async def is_pinned(self, cid: CidT) -> bool:
        """Is it pinned for its own sake, recursively or not, by whatever name?"""
        ...

    async def block_get(self, cid: CidT, *, seconds: float | None = None) -> bytes:
        """A block, checked against its CID; what is not there it looks for, for so many seconds (None: as long as we wait)."""
        ...

    async def block_put(self, cid: CidT, block: bytes) -> None:
        """Keep a block there, unpinned. Raises `CidRefused` if the CID is not its name."""
        ...

    async def dag_import(self, chunks: AsyncIterable[bytes], *, pin: bool = True) -> tuple[CidT, ...]:
        """Keep the blocks of a CAR there; ``pin`` its roots, which are then returned."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
