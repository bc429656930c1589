"""Noise_XX_25519_ChaChaPoly_SHA256 with libp2p's payload: https://noiseprotocol.org/noise.html §§5, 7 and libp2p's specs/noise.

    → e                       → 32 bytes
    ← e, ee, s, es, payload   ← 32 + (32 + 16) + (payload + 16) bytes
    → s, se, payload          → (32 + 16) + (payload + 16) bytes

each after two bytes of its length. The payload is a protobuf: 1 the identity key, 2 its signature under the static Noise key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .bits import ED25519, fields, message, peer_id
from .line import Broken, Line

NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
PREFIX = b"noise-libp2p-static-key:"
MAX_PLAIN = 65535 - 16  # of one message


def _raw(public: X25519PublicKey | Ed25519PublicKey) -> bytes:
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


class Identity:
    """An Ed25519 key, from 32 bytes of seed or fresh."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(seed or os.urandom(32))
        self.key = _raw(self.private.public_key())
        self.peer_id = peer_id(self.key)

    def payload(self, static: bytes) -> bytes:
        """What proves this identity to be that of the static Noise key."""
        return message((1, ED25519 + self.key), (2, self.private.sign(PREFIX + static)))


class _Cipher:
    """CipherState."""

    def __init__(self, key: bytes) -> None:
        self._aead, self._nonce = ChaCha20Poly1305(key), 0

    def _next(self) -> bytes:
        self._nonce += 1
        return struct.pack("<IQ", 0, self._nonce - 1)

    def encrypt(self, plain: bytes, associated: bytes = b"") -> bytes:
        return self._aead.encrypt(self._next(), plain, associated)

    def decrypt(self, data: bytes, associated: bytes = b"") -> bytes:
        return self._aead.decrypt(self._next(), data, associated)


class _Symmetric:
    """SymmetricState: the chaining key, the transcript hash, the current cipher."""

    def __init__(self, prologue: bytes) -> None:
        self.hash = self.chain = NAME  # 32 bytes exactly
        self.cipher: _Cipher | None = None
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def _derive(self, secret: bytes) -> tuple[bytes, bytes]:
        root = hmac.digest(self.chain, secret, "sha256")
        first = hmac.digest(root, b"\x01", "sha256")
        return first, hmac.digest(root, first + b"\x02", "sha256")

    def mix_key(self, secret: bytes) -> None:
        self.chain, key = self._derive(secret)
        self.cipher = _Cipher(key)

    def seal(self, plain: bytes) -> bytes:
        out = self.cipher.encrypt(plain, self.hash) if self.cipher else plain
        self.mix_hash(out)
        return out

    def open(self, data: bytes) -> bytes:
        plain = self.cipher.decrypt(data, self.hash) if self.cipher else data
        self.mix_hash(data)
        return plain

    def split(self) -> tuple[_Cipher, _Cipher]:
        first, second = self._derive(b"")
        return _Cipher(first), _Cipher(second)


class Handshake:
    """One handshake on a line, step by step. Who dials calls `first`, `second`, `third`; `run` does all three.

    ``identity`` is only asked for its ``payload(static key)``, so an attacker can put anything there.
    """

    def __init__(self, line: Line, identity: Identity, *, prologue: bytes = b"") -> None:
        self.line, self.identity = line, identity
        self._state = _Symmetric(prologue)
        self._static, self._ephemeral = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        self.static = _raw(self._static.public_key())
        self.their_payload = b""
        self.their_key = b""  # if Ed25519

    # --- frames ------------------------------------------------------------------------------------------------------------

    def send(self, body: bytes) -> None:
        """A handshake message, whatever is in it."""
        self.line.write(struct.pack(">H", len(body)) + body)

    def receive(self) -> bytes:
        """The other end's next one."""
        return self.line.read(struct.unpack(">H", self.line.read(2))[0])

    # --- what the messages carry -------------------------------------------------------------------------------------------

    def _own_ephemeral(self) -> bytes:
        public = _raw(self._ephemeral.public_key())
        self._state.mix_hash(public)
        return public

    def _their_ephemeral(self, body: bytes) -> bytes:
        self._remote_ephemeral = X25519PublicKey.from_public_bytes(body[:32])
        self._state.mix_hash(body[:32])
        return body[32:]

    def _own_static(self) -> bytes:
        return self._state.seal(self.static)

    def _their_static(self, body: bytes) -> bytes:
        self._remote_static = X25519PublicKey.from_public_bytes(self._state.open(body[:48]))
        return body[48:]

    def _own_payload(self) -> bytes:
        return self._state.seal(self.identity.payload(self.static))

    def _read_payload(self, body: bytes) -> None:
        self.their_payload = self._state.open(body)
        found = fields(self.their_payload)
        identity, signature = found.get(1), found.get(2)
        if not (isinstance(identity, bytes) and isinstance(signature, bytes)):
            raise Broken("it shows no identity")
        if identity.startswith(ED25519):  # the stock host may have another kind, which we need not understand
            self.their_key = identity[len(ED25519) :]
            Ed25519PublicKey.from_public_bytes(self.their_key).verify(signature, PREFIX + _raw(self._remote_static))

    # --- who dials ---------------------------------------------------------------------------------------------------------

    def first(self) -> None:
        """→ e, and an empty payload."""
        self.send(self._own_ephemeral() + self._state.seal(b""))

    def second(self) -> None:
        """← e, ee, s, es, payload; checks it."""
        rest = self._their_ephemeral(self.receive())
        self._state.mix_key(self._ephemeral.exchange(self._remote_ephemeral))
        rest = self._their_static(rest)
        self._state.mix_key(self._ephemeral.exchange(self._remote_static))
        self._read_payload(rest)

    def third_message(self) -> bytes:
        """The body of → s, se, payload."""
        sealed = self._own_static()
        self._state.mix_key(self._static.exchange(self._remote_ephemeral))
        return sealed + self._own_payload()

    def third(self) -> Secured:
        """→ s, se, payload; the handshake is over."""
        self.send(self.third_message())
        sending, receiving = self._state.split()
        return Secured(self.line, sending, receiving, self.their_key)

    def run(self) -> Secured:
        """All of it, for who has dialled."""
        self.first()
        self.second()
        return self.third()

    # --- who was dialled ---------------------------------------------------------------------------------------------------

    def answer(self) -> Secured:
        """All of it, for who was dialled."""
        self._state.open(self._their_ephemeral(self.receive()))
        out = self._own_ephemeral()
        self._state.mix_key(self._ephemeral.exchange(self._remote_ephemeral))
        out += self._own_static()
        self._state.mix_key(self._static.exchange(self._remote_ephemeral))
        self.send(out + self._own_payload())
        rest = self._their_static(self.receive())
        self._state.mix_key(self._ephemeral.exchange(self._remote_static))
        self._read_payload(rest)
        receiving, sending = self._state.split()
        return Secured(self.line, sending, receiving, self.their_key)


class Secured:
    """An encrypted line to the holder of the Ed25519 key ``their_key``."""

    def __init__(self, line: Line, sending: _Cipher, receiving: _Cipher, their_key: bytes) -> None:
        self.line, self.their_key = line, their_key
        self._sending, self._receiving = sending, receiving
        self._unread = bytearray()

    def sealed(self, data: bytes) -> bytes:
        """What `write` would put on the line, for an attacker that sends a part of it."""
        out = bytearray()
        for start in range(0, len(data), MAX_PLAIN):
            body = self._sending.encrypt(data[start : start + MAX_PLAIN])
            out += struct.pack(">H", len(body)) + body
        return bytes(out)

    def write(self, data: bytes) -> None:
        self.line.write(self.sealed(data))

    def read_some(self) -> bytes:
        """At least a byte. Raises `Broken` at the end."""
        if not self._unread:
            body = self.line.read(struct.unpack(">H", self.line.read(2))[0])
            try:
                self._unread += self._receiving.decrypt(body)
            except InvalidTag as error:
                raise Broken("it does not encrypt rightly") from error
        data = bytes(self._unread)
        self._unread.clear()
        return data

    def read(self, size: int) -> bytes:
        """Exactly this many bytes."""
        data = bytearray()
        while len(data) < size:
            data += self.read_some()
        self._unread[:0] = data[size:]
        return bytes(data[:size])

    def close(self) -> None:
        self.line.close()
