"""Start by state: a newcomer gets the folded document at a cut, in resumable pieces, and is usable before it has the logs.

The sender keeps the state it is sending for as long as somebody fetches it, so that an interrupted newcomer goes on where it
stopped. What came is whole only when its BLAKE2b-256 equals the digest announced first; whether it is *true* is settled later,
against the logs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mycelnode.crdt.changelog import DeviceId, Head, SignedHead
from mycelnode.crdt.document import Document
from mycelnode.encoding import blake2b
from mycelnode.errors import PeerMisbehaved
from mycelnode.protocols.logset import LogSet

PIECE_BYTES = 512 << 10
MAX_STATE = 1 << 30  # bytes of an encoded document that a newcomer takes
STATE_PAYS = 2000  # entries; fewer come as quickly as logs, which need no checking afterwards
DRAFT_BYTES = 256 << 10  # of a state encoded in one go: some hundredths of a second
KEEP_SECONDS = 120.0  # how long a state is kept after its last use


@dataclass(frozen=True, slots=True)
class Offer:
    """A folded state: the encoded document, its digest, and the heads it was folded up to, each signed by its device.

    So nobody can claim more of another's log than there is, and what the state promises will come.
    """

    state: bytes
    digest: bytes
    cut: Mapping[DeviceId, SignedHead]

    @classmethod
    def of(cls, document: Document, logs: LogSet) -> Offer | None:
        """Made here and now; None where `Draft.of` is."""
        draft = Draft.of(document, logs)
        while draft is not None and (offer := draft.step()) is None:
            pass
        return None if draft is None else offer


class Draft:
    """An offer in the making: a large state is encoded a piece at a time, so that its giver goes on answering."""

    def __init__(self, document: Document, cut: Mapping[DeviceId, SignedHead]) -> None:
        self.cut = cut
        self._blocks, self._done, self._hash = document.state_blocks(), list[bytes](), hashlib.blake2b(digest_size=32)

    @classmethod
    def of(cls, document: Document, logs: LogSet) -> Draft | None:
        """Of ``document`` as it is now; None where its device signed no head at a place up to which a log is applied."""
        cut = {}
        for device, seq in document.applied.items():
            head = logs.signed(device, Head(seq, document.applied_hash(device) or b""))
            if head is None:
                return None
            cut[device] = head
        return cls(document.copy(), cut)

    def step(self, max_bytes: int = DRAFT_BYTES) -> Offer | None:
        """Encode a piece more; the offer once that is all."""
        for block in self._blocks:
            self._done.append(block)
            self._hash.update(block)
            max_bytes -= len(block)
            if max_bytes <= 0:
                return None
        return Offer(b"".join(self._done), self._hash.digest(), self.cut)


@dataclass(slots=True)
class StateSource:
    """One per node: makes states when newcomers ask, and lets several of them share one. ``least``: entries that make it worth
    it."""

    make: Callable[[], Offer | Draft | None]
    least: int = STATE_PAYS
    _offer: Offer | None = None
    _draft: Draft | None = None
    _snapshot: Offer | None = None
    _used: float = 0.0

    def offer(self, asker: DeviceId, digest: bytes | None, now: float) -> Offer | Draft | None:
        """The state with that digest if it is still kept, else a new one; None if the logs are short, ``asker``'s own left aside:
        whoever asks has nothing but that. While it is a draft, ask again: it is a piece further each time."""
        fresh = self._offer is not None and now - self._used < KEEP_SECONDS
        if self._offer is None or not fresh or (digest is not None and self._offer.digest != digest):
            made = self._draft or self.make()
            self._offer, self._draft = (made, None) if isinstance(made, Offer) else (None, made)
        self._used = now
        found = self._offer or self._draft
        if found is None or sum(head.seq for device, head in found.cut.items() if device != asker) < self.least:
            return None
        if self._draft is not None:
            self._offer = self._draft.step()
            self._draft = None if self._offer is not None else self._draft
        return self._offer or self._draft

    def kept(self, digest: bytes, load: Callable[[], bytes], now: float) -> Offer:
        """The state of a snapshot, which is read from the disk once for all who fetch it."""
        if self._snapshot is None or self._snapshot.digest != digest:
            self._snapshot = Offer(load(), digest, {})
        self._used = now
        return self._snapshot

    def expire(self, now: float) -> None:
        """Let go of a state that nobody fetches any more."""
        if now - self._used >= KEEP_SECONDS:
            self._offer = self._draft = self._snapshot = None


@dataclass(slots=True)
class Partial:
    """What a newcomer has received so far; it outlives the connection, not the process. One peer at a time sends: ``sender``."""

    digest: bytes | None = None
    size: int = 0
    cut: dict[DeviceId, SignedHead] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    sender: object | None = None

    def begin(self, digest: bytes, size: int, cut: dict[DeviceId, SignedHead]) -> None:
        """A state is announced; what was received of another one is dropped."""
        if size > MAX_STATE:
            raise PeerMisbehaved(f"a state of {size:,} bytes is larger than any device takes")
        if (digest, size, cut) != (self.digest, self.size, self.cut):
            self.digest, self.size, self.cut, self.data = digest, size, cut, bytearray()

    def add(self, offset: int, piece: bytes) -> bytes | None:
        """The next piece; the whole state once it is complete and its digest is right."""
        if offset != len(self.data) or offset + len(piece) > self.size or (not piece and self.size):
            raise PeerMisbehaved("a piece of the state does not follow the one before")
        self.data += piece
        if len(self.data) < self.size:
            return None
        state, digest = bytes(self.data), self.digest
        self.digest, self.data = None, bytearray()
        if blake2b(state) != digest:
            raise PeerMisbehaved("the state received does not have the digest announced")
        return state
