"""The gate inside Noise: who may connect is decided when the handshake has proved the peer's key, before a muxer exists.

libp2p 0.8.1 can gate by address only, and accepts plaintext, TLS and secio unless Noise is the only security option it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from libp2p.abc import IRawConnection, ISecureConn
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.transport import Transport
from libp2p.utils import varint

from mycelnode.errors import EncodingError
from mycelnode.p2p._multistream import MAX_TOKEN_BYTES
from mycelnode.p2p._sockets import ends

Judge = Callable[[bytes, str], bool]  # (Ed25519 public key, remote IP address) → may it connect?


def key_of(peer: ID) -> bytes:
    """The 32-byte Ed25519 key that a peer id consists of; b"" for other kinds of key."""
    data: bytes = peer.to_bytes()
    return data[6:] if len(data) == 38 and data.startswith(b"\x00\x24\x08\x01\x12\x20") else b""


def bound_tokens() -> None:
    """Make libp2p refuse oversized tokens while Noise and yamux are negotiated: it believes any length up to 2^64 of anybody."""
    varint.read_varint_prefixed_bytes = partial(varint.read_varint_prefixed_bytes_limited, max_length=MAX_TOKEN_BYTES)


def id_of(text: str) -> ID:
    """The libp2p id that ``text`` names. Raises `EncodingError` if it is none with an Ed25519 key."""
    try:
        peer = ID.from_string(text)
        if key_of(peer):
            return peer
    except Exception as error:  # base58 raises several kinds
        raise EncodingError(f"{text[:80]!r} is not a peer id") from error
    raise EncodingError(f"{text[:80]!r} is not a peer id")


class GatedNoise(Transport):  # type: ignore[misc]  # libp2p is not checked
    """Noise XX that asks ``judge`` about every inbound peer, and notes on each secured connection the raw one under it."""

    def __init__(self, key_pair: Any, judge: Judge) -> None:
        super().__init__(key_pair, noise_privkey=create_new_key_pair().private_key)
        self._judge = judge

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        """Handshake, then judge. Raises `HandshakeFailure` for a peer that may not connect."""
        secured = await super().secure_inbound(conn)
        both = ends(conn)
        key = key_of(secured.get_remote_peer())
        if both is None or not key or not self._judge(key, both[1].host):
            await secured.close()
            raise HandshakeFailure("this peer may not connect now")
        secured.mycel_raw = conn
        return secured

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        """Handshake; fails unless the other end has the key of ``peer_id``."""
        secured = await super().secure_outbound(conn, peer_id)
        secured.mycel_raw = conn
        return secured
