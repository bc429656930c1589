"""Announcements of patterns: what one says, and which are believed and passed on (docs/protocols/announcements.md).

An announcement is signed by the creator, so that nobody uses up a creator's share but the creator, and says when it was made, so
that an old one is not used for that either. Who passes it on, and who was first, it does not say.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mycelnode.encoding import as_bytes, as_int, as_list, decode, encode
from mycelnode.errors import EncodingError, ValueRefused
from mycelnode.protocols.buckets import Buckets, Rate

MAX_ANNOUNCEMENT_BYTES: Final = 1024
MAX_MANIFEST_BYTES: Final = 1 << 20
CID_BYTES: Final = 36  # CIDv1, dag-cbor, sha2-256
FRESH_SECONDS: Final = 3600  # that an announcement may be old, or ahead of our clock
PEER_RATE: Final = Rate(burst=100, per_second=5)  # new announcements that one peer passes on
CREATOR_RATE: Final = Rate(burst=20, per_second=1 / 30)  # of one creator: a person publishes by hand
MAX_PEERS: Final = 1024  # whose shares are kept
MAX_CREATORS: Final = 16_384  # more than all peers together can name while a creator's share fills up again
MAX_REJECTED: Final = 3  # of one peer; no honest one passes on what is malformed
_CID_PREFIX: Final = b"\x01\x71\x12\x20"
_DOMAIN: Final = b"mycel-announcement"

Verify = Callable[[bytes, bytes, bytes], bool]  # key, message, signature


@dataclass(frozen=True, slots=True)
class Announcement:
    """That ``creator`` (an Ed25519 key) has published the manifest ``cid`` (36 bytes) of ``size`` bytes, ``at`` (Unix seconds)."""

    cid: bytes
    creator: bytes
    size: int
    at: int
    signature: bytes

    @classmethod
    def sign(cls, cid: bytes, creator: bytes, size: int, at: int, sign: Callable[[bytes], bytes]) -> Announcement:
        """Make one. Raises `ValueRefused` if that is no manifest's CID or size."""
        if len(cid) != CID_BYTES or not cid.startswith(_CID_PREFIX) or not 0 < size <= MAX_MANIFEST_BYTES:
            raise ValueRefused("only a manifest, a dag-cbor block of at most 1 MiB, is announced")
        return cls(cid, creator, size, at, sign(_DOMAIN + encode([cid, creator, size, at])))

    @classmethod
    def read(cls, data: bytes) -> Announcement:
        """The inverse of `write`. Raises `EncodingError`; the signature is not checked."""
        whole = decode(data, max_bytes=MAX_ANNOUNCEMENT_BYTES, max_depth=1, max_items=8)
        cid, creator, size, at, signature = as_list(whole, 5)
        if not as_bytes(cid, CID_BYTES).startswith(_CID_PREFIX):
            raise EncodingError("a manifest's CID was expected")
        return cls(cid, as_bytes(creator, 32), as_int(size, 1, MAX_MANIFEST_BYTES), as_int(at), as_bytes(signature, 64))

    def write(self) -> bytes:
        """Canonical CBOR."""
        return encode([self.cid, self.creator, self.size, self.at, self.signature])

    def signed_by_creator(self, verify: Verify) -> bool:
        """Is the signature the creator's?"""
        content = [self.cid, self.creator, self.size, self.at]
        return verify(self.creator, _DOMAIN + encode(content), self.signature)


class Verdict(Enum):
    """What becomes of an announcement."""

    ACCEPT = "accept"  # deliver it, and pass it on
    IGNORE = "ignore"  # neither; whoever passed it on did nothing wrong
    REJECT = "reject"  # it is malformed; whoever passed it on should have seen that
    CUT = "cut"  # and that was once too often


class Judge:
    """The machine. ``blocked``: creators of whom nothing is passed on; ``wall``: Unix seconds."""

    def __init__(self, verify: Verify, blocked: Callable[[bytes], bool], wall: Callable[[], float]) -> None:
        self._verify, self._blocked, self._wall = verify, blocked, wall
        self._peers = Buckets(PEER_RATE, MAX_PEERS)
        self._creators = Buckets(CREATOR_RATE, MAX_CREATORS)
        self._rejected: OrderedDict[str, int] = OrderedDict()  # how often, by peer; the latest is last

    def judge(self, peer: str, data: bytes, now: float) -> tuple[Verdict, Announcement | None]:
        """An announcement that was not seen before, from ``peer``; with `ACCEPT`, what it says.

        Signatures are checked within the peer's share only, so nobody makes us compute.
        """
        if not self._peers.take(peer, now):
            return Verdict.IGNORE, None
        try:
            said = Announcement.read(data)
        except EncodingError:
            return self.reject(peer), None
        if abs(self._wall() - said.at) > FRESH_SECONDS or self._blocked(said.creator):
            return Verdict.IGNORE, None
        if not self._creators.has(said.creator, now):
            return Verdict.IGNORE, None
        if not said.signed_by_creator(self._verify):
            return self.reject(peer), None
        self._creators.take(said.creator, now)
        return Verdict.ACCEPT, said

    def reject(self, peer: str) -> Verdict:
        """Count against a peer what no honest one does."""
        self._rejected[peer] = self._rejected.pop(peer, 0) + 1
        if len(self._rejected) > MAX_PEERS:
            self._rejected.popitem(last=False)
        return Verdict.CUT if self._rejected[peer] >= MAX_REJECTED else Verdict.REJECT
