"""What anybody can send before its key is proved: the agreement on Noise, the Noise handshake, and the identity inside of it.

Our ephemeral keys are always the same here, so that a handshake that was taken down can be said again, and is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing
from cryptography.exceptions import InvalidTag
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import X25519PrivateKey
from libp2p.io.exceptions import IOException
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectError
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise import messages, patterns
from libp2p.security.security_multistream import SecurityMultistream
from noise.backends.default.keypairs import KeyPair25519
from noise.exceptions import NoiseValueError

from mycelnode.p2p import _gate
from mycelnode.p2p._quiet import quieten
from tests.fuzz.guard import Broken, Target, same

OURS, THEIRS = (create_new_key_pair(bytes((number,)) * 32) for number in (1, 2))
STATIC = X25519PrivateKey.from_bytes(b"\x03" * 32)
EPHEMERAL = KeyPair25519.from_private_bytes(b"\x04" * 32)
SAID_BYTES = 1024  # of a handshake by us; and for each byte that was heard `SAID_PER_BYTE`
SAID_PER_BYTE = 4  # `ls` is answered with the name of Noise

# what the door and the dialler take for a line that came to nothing; ValueError: no protobuf, no UTF-8, no point of the curve
_NOTHING = (HandshakeFailure, MultiselectError, IOException, InvalidTag, NoiseValueError, ValueError)


class _Pattern(patterns.PatternXX):  # type: ignore[misc]  # libp2p is not checked
    def create_noise_state(self, prologue: bytes | None = None) -> Any:
        state = super().create_noise_state(prologue)
        state.noise_protocol.dh_fn.generate_keypair = lambda: EPHEMERAL
        return state


class _Noise(_gate.GatedNoise):
    """`GatedNoise` with known keys."""

    def __init__(self, pair: Any, judge: _gate.Judge) -> None:
        super().__init__(pair, judge)
        self.noise_privkey = STATIC

    def get_pattern(self) -> Any:
        return _Pattern(self.local_peer, self.libp2p_privkey, self.noise_privkey, self.early_data)


class _Raw:
    """A TCP connection: it says what it was given, or what the other end of ``pipe`` says, and takes that down."""

    def __init__(self, data: bytes = b"", pipe: Any = None) -> None:
        self.data, self.pipe, self.heard, self.written = data, pipe, b"", 0
        name = ("192.0.2.1", 4101)
        socket = SimpleNamespace(getsockname=lambda: name, getpeername=lambda: name)
        self.stream = SimpleNamespace(stream=SimpleNamespace(socket=socket))

    async def read(self, size: int | None = None) -> bytes:
        if self.pipe is not None:
            taken = bytes(await self.pipe.receive_some(size))
            self.heard += taken
        else:
            taken, self.data = self.data[:size], self.data[len(self.data) if size is None else size :]
        return taken

    async def write(self, data: bytes) -> None:
        self.written += len(data)
        if self.pipe is not None:
            await self.pipe.send_all(data)

    async def close(self) -> None:
        return None


@cache
def _ready() -> None:
    """libp2p as `mycelnode.p2p.host` makes it."""
    quieten()
    _gate.bound_handshakes()


@cache
def _transport(ours: bool) -> SecurityMultistream:
    _ready()
    return SecurityMultistream({"/noise": _Noise(OURS if ours else THEIRS, lambda key, host: True)})


def _meet(data: bytes, how: Callable[[_Raw], Coroutine[Any, Any, Any]]) -> None:
    raw = _Raw(data)
    try:
        secured = trio.run(how, raw)
    finally:
        if raw.written > SAID_BYTES + SAID_PER_BYTE * len(data):
            raise Broken(f"handshake: {raw.written} bytes said to {len(data)}")
    _proved(secured.get_remote_peer())


def _proved(peer: ID) -> None:
    if _gate.key_of(peer) != THEIRS.public_key.to_bytes():
        raise Broken(f"handshake: {peer} is believed without proof")


async def _inbound(raw: _Raw) -> Any:
    return await _transport(True).secure_inbound(raw)


async def _outbound(raw: _Raw) -> Any:
    return await _transport(True).secure_outbound(raw, ID.from_pubkey(THEIRS.public_key))


@cache
def heard(inbound: bool) -> bytes:
    """What we hear in a handshake with them that succeeds."""

    async def both() -> bytes:
        ends = trio.testing.memory_stream_pair()
        ours, theirs = (_Raw(pipe=pipe) for pipe in ends)
        our_id, their_id = (ID.from_pubkey(pair.public_key) for pair in (OURS, THEIRS))
        us, them = _transport(True), _transport(False)
        async with trio.open_nursery() as nursery:
            if inbound:
                nursery.start_soon(us.secure_inbound, ours)
                nursery.start_soon(them.secure_outbound, theirs, our_id)
            else:
                nursery.start_soon(us.secure_outbound, ours, their_id)
                nursery.start_soon(them.secure_inbound, theirs)
        return ours.heard

    return trio.run(both)


def _identity(data: bytes) -> None:
    same("identity-key", _gate._ed25519_key(data).serialize(), data)


def _payload(data: bytes) -> None:
    """What a peer says in the last message of a handshake that is in order."""
    _ready()
    payload = messages.NoiseHandshakePayload.deserialize(data)
    if not messages.verify_handshake_payload_sig(payload, STATIC.get_public_key()):
        raise HandshakeFailure
    _proved(ID.from_pubkey(payload.id_pubkey))


def _payloads() -> Sequence[bytes]:
    signature = messages.make_handshake_payload_sig(THEIRS.private_key, STATIC.get_public_key())
    more = messages.NoiseExtensions([b"hash"], ["/yamux/1.0.0"], b"early")
    return [
        messages.NoiseHandshakePayload(THEIRS.public_key, signature, extensions).serialize()
        for extensions in (None, more)
    ]


IDENTITIES: Sequence[Target] = (
    Target(
        "identity-key",
        _identity,
        (HandshakeFailure,),
        lambda: [THEIRS.public_key.serialize()],
        largest=_gate.MAX_HANDSHAKE_BYTES,
    ),
    Target("noise-payload", _payload, (HandshakeFailure, ValueError), _payloads, largest=_gate.MAX_HANDSHAKE_BYTES),
)
HANDSHAKES: Sequence[Target] = (
    Target("handshake-inbound", lambda data: _meet(data, _inbound), _NOTHING, lambda: [heard(True)], slow=True),
    Target("handshake-outbound", lambda data: _meet(data, _outbound), _NOTHING, lambda: [heard(False)], slow=True),
)
