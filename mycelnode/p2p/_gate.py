"""The gate inside Noise: who may connect is decided when the handshake has proved the peer's key, before a muxer exists.

libp2p 0.8.1 can gate by address only, and accepts plaintext, TLS and secio unless Noise is the only security option it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from libp2p.abc import IRawConnection, ISecureConn
from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.crypto.keys import PublicKey
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.io.exceptions import IOException
from libp2p.peer.id import ID
from libp2p.protocol_muxer import generic_selector
from libp2p.protocol_muxer.exceptions import MultiselectClientError, MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise import messages, patterns
from libp2p.security.noise.io import NoiseHandshakeReadWriter, NoisePacketReadWriter
from libp2p.security.noise.transport import Transport
from libp2p.utils import encode_delim, varint

from mycelnode.errors import EncodingError
from mycelnode.p2p._multistream import MAX_TOKEN_BYTES, VERSION
from mycelnode.p2p._sockets import ends

MAX_HANDSHAKE_BYTES = 1024  # of a Noise message before a key is proved; ours have 200
_ED25519 = b"\x08\x01\x12\x20"  # how libp2p's protobuf of a 32-byte Ed25519 key begins

Judge = Callable[[bytes, str], bool]  # (Ed25519 public key, remote IP address) → may it connect?


def key_of(peer: ID) -> bytes:
    """The 32-byte Ed25519 key that a peer id consists of; b"" for other kinds of key."""
    data: bytes = peer.to_bytes()
    return data[6:] if len(data) == 38 and data.startswith(b"\x00\x24" + _ED25519) else b""


def bound_handshakes() -> None:
    """Make libp2p refuse, before it looks into them, handshakes that no device of ours would send; and say at once what it can.

    It believes any length up to 2^64 of anybody while Noise and yamux are negotiated, and takes an RSA key of any size for an
    identity: importing one that fills a Noise message takes ten seconds of computing.
    """
    generic_selector.MultiselectClient = _OneProposal
    varint.read_varint_prefixed_bytes = partial(varint.read_varint_prefixed_bytes_limited, max_length=MAX_TOKEN_BYTES)
    patterns.NoiseHandshakeReadWriter = _Handshake
    messages.deserialize_public_key = _ed25519_key


def _ed25519_key(data: bytes) -> PublicKey:
    if len(data) != len(_ED25519) + 32 or not data.startswith(_ED25519):
        raise HandshakeFailure("the identity is not an Ed25519 key")
    return Ed25519PublicKey.from_bytes(data[len(_ED25519) :])


class _OneProposal(MultiselectClient):  # type: ignore[misc]  # libp2p is not checked
    """Version and proposal go out together, as there is one to make: Noise and yamux are agreed on in a round trip less each."""

    async def handshake(self, communicator: Any) -> None:
        await trio.lowlevel.checkpoint()  # it comes with the proposal

    async def try_select(self, communicator: Any, protocol: str) -> str:
        try:
            await communicator.read_writer.write(encode_delim(VERSION.encode()) + encode_delim(protocol.encode()))
            said = [await communicator.read(), await communicator.read()]
        except (MultiselectCommunicatorError, IOException) as error:
            raise MultiselectClientError("the line broke") from error
        if said != [VERSION, protocol]:
            raise MultiselectClientError(f"the other end does not speak {protocol}")
        return protocol


class _Packets(NoisePacketReadWriter):  # type: ignore[misc]  # libp2p is not checked
    async def next_msg_len(self) -> int:
        length: int = await super().next_msg_len()
        if length > MAX_HANDSHAKE_BYTES:
            raise HandshakeFailure(f"a handshake message of {length} bytes")
        return length


class _Handshake(NoiseHandshakeReadWriter):  # type: ignore[misc]
    def __init__(self, conn: IRawConnection, noise_state: Any) -> None:
        super().__init__(conn, noise_state)
        self.read_writer = _Packets(conn)


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
    """Noise XX that asks ``judge`` about every inbound peer.

    It notes on each secured connection the raw one under it (``mycel_raw``), when its handshake began (``mycel_began``), and the IP
    address at the other end (``mycel_host``), which the system tells only while the line holds.
    """

    def __init__(self, key_pair: Any, judge: Judge) -> None:
        super().__init__(key_pair, noise_privkey=create_new_key_pair().private_key)
        self._judge = judge

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        """Handshake, then judge. Raises `HandshakeFailure` for a peer that may not connect."""
        host, began = _other_end(conn), trio.current_time()
        secured = await super().secure_inbound(conn)
        key = key_of(secured.get_remote_peer())
        if not key or not self._judge(key, host):
            await secured.close()
            raise HandshakeFailure("this peer may not connect now")
        secured.mycel_raw, secured.mycel_host, secured.mycel_began = conn, host, began
        return secured

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        """Handshake; fails unless the other end has the key of ``peer_id``."""
        host, began = _other_end(conn), trio.current_time()
        secured = await super().secure_outbound(conn, peer_id)
        secured.mycel_raw, secured.mycel_host, secured.mycel_began = conn, host, began
        return secured


def _other_end(conn: IRawConnection) -> str:
    both = ends(conn)
    if both is None:
        raise HandshakeFailure("the line broke")
    return both[1].host
