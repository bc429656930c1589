"""Public keys, signatures and key pairs as NEAR writes them: ``ed25519:<base58>``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import base58
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from mycel_simnet.near.borsh import Fixed, Variants

MAX_TEXT = 128  # characters of a key or a hash as text
REMEMBERED = 4096  # hashes whose text is


class BadKey(ValueError):
    """The text is no key of NEAR."""


def sha256(*parts: bytes) -> bytes:
    """SHA2-256 of the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


@lru_cache(maxsize=REMEMBERED)
def to_base58(data: bytes) -> str:
    """Base58, as hashes are written."""
    return base58.b58encode(data).decode()


def from_base58(text: str, size: int) -> bytes:
    """The ``size`` bytes that ``text`` writes; raises `BadKey`."""
    if len(text) > MAX_TEXT:
        raise BadKey("too long")
    try:
        data = base58.b58decode(text)
    except ValueError as error:
        raise BadKey(str(error)) from error
    if len(data) != size:
        raise BadKey(f"invalid length: expected the input of {size} bytes, but got {len(data)}")
    return data


@dataclass(frozen=True, slots=True)
class Ed25519:
    """An Ed25519 public key."""

    data: Annotated[bytes, Fixed(32)]
    name = "ed25519"


@dataclass(frozen=True, slots=True)
class Secp256k1:
    """A secp256k1 public key, uncompressed, without its leading 4."""

    data: Annotated[bytes, Fixed(64)]
    name = "secp256k1"


PublicKey = Annotated[Ed25519 | Secp256k1, Variants({0: Ed25519, 1: Secp256k1})]


@dataclass(frozen=True, slots=True)
class Ed25519Signature:
    """An Ed25519 signature."""

    data: Annotated[bytes, Fixed(64)]
    name = "ed25519"


@dataclass(frozen=True, slots=True)
class Secp256k1Signature:
    """A secp256k1 signature with its recovery id at the end."""

    data: Annotated[bytes, Fixed(65)]
    name = "secp256k1"


Signature = Annotated[Ed25519Signature | Secp256k1Signature, Variants({0: Ed25519Signature, 1: Secp256k1Signature})]

NO_KEY = Ed25519(bytes(32))  # who signs the refunds of the network


def to_text(key: Ed25519 | Secp256k1 | Ed25519Signature | Secp256k1Signature) -> str:
    """As NEAR writes it."""
    return f"{key.name}:{to_base58(key.data)}"


def parse_key(text: str) -> Ed25519 | Secp256k1:
    """A public key; without a curve before the colon it is an Ed25519 one. Raises `BadKey`."""
    curve, colon, data = text.partition(":")
    if not colon:
        curve, data = "ed25519", text
    if curve == "ed25519":
        return Ed25519(from_base58(data, 32))
    if curve == "secp256k1":
        return Secp256k1(from_base58(data, 64))
    raise BadKey(f"unknown key type '{curve}'")


def verifies(key: Ed25519 | Secp256k1, signature: Ed25519Signature | Secp256k1Signature, message_hash: bytes) -> bool:
    """Has the owner of ``key`` signed these 32 bytes?"""
    if isinstance(key, Ed25519) and isinstance(signature, Ed25519Signature):
        try:
            VerifyKey(key.data).verify(message_hash, signature.data)
        except (BadSignatureError, ValueError):
            return False
        return True
    if isinstance(key, Secp256k1) and isinstance(signature, Secp256k1Signature):
        from mycel_simnet.near.host_crypto import recover

        return recover(message_hash, signature.data[:64], signature.data[64]) == key.data
    return False


@dataclass(frozen=True)
class KeyPair:
    """A secret Ed25519 key and what goes with it."""

    seed: bytes

    @property
    def public(self) -> Ed25519:
        """The public key."""
        return Ed25519(bytes(SigningKey(self.seed).verify_key))

    @property
    def public_text(self) -> str:
        """The public key as text."""
        return to_text(self.public)

    @property
    def secret_text(self) -> str:
        """The secret key as NEAR's tools write it: seed and public key together."""
        return f"ed25519:{to_base58(self.seed + self.public.data)}"

    def sign(self, message_hash: bytes) -> Ed25519Signature:
        """Sign 32 bytes."""
        return Ed25519Signature(SigningKey(self.seed).sign(message_hash).signature)


def parse_secret(text: str) -> KeyPair:
    """A secret key as NEAR's tools write it; raises `BadKey`."""
    curve, _, data = text.partition(":")
    if curve != "ed25519":
        raise BadKey(f"unknown key type '{curve[:MAX_TEXT]}'")
    both = from_base58(data, 64)
    pair = KeyPair(both[:32])
    if pair.public.data != both[32:]:
        raise BadKey("the public half is not that of the secret half")
    return pair
