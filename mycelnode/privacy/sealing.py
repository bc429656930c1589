"""Sealing the text of turns: each under a key of its own, which the key of the store wraps. Whoever has lost that one key has lost
that one text, and no other.

XChaCha20-Poly1305 (libsodium) with random nonces; what a turn is known by is authenticated with both, so that none is taken for
another.
"""

from __future__ import annotations

import secrets
from typing import Final

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from mycelnode.encoding import as_list, decode, encode
from mycelnode.errors import DatabaseDamaged, EncodingError

KEY_BYTES: Final = sodium.crypto_aead_xchacha20poly1305_ietf_KEYBYTES
NONCE_BYTES: Final = sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
WRAPPED_BYTES: Final = NONCE_BYTES + KEY_BYTES + sodium.crypto_aead_xchacha20poly1305_ietf_ABYTES
MAX_TEXT_BYTES: Final = 2 << 20  # more than a turn and its encoding
_DAMAGED = "a private turn on this device is damaged, or sealed under another key"


def _push(key: bytes, plain: bytes, about: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, about, nonce, key)


def _pull(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """Raises `CryptoError`."""
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(rest, about, nonce, key)
    except (ValueError, TypeError) as error:
        raise CryptoError("too short") from error


def seal_turn(store_key: bytes, mark: bytes, request: str, answer: str) -> tuple[bytes, bytes]:
    """The turn's new key, wrapped (`WRAPPED_BYTES`), and its sealed text."""
    key = secrets.token_bytes(KEY_BYTES)
    return _push(store_key, key, b"key" + mark), _push(key, encode([request, answer]), b"text" + mark)


def open_turn(store_key: bytes, mark: bytes, wrapped: bytes, sealed: bytes) -> tuple[str, str]:
    """Request and answer. Raises `DatabaseDamaged`."""
    try:
        key = _pull(store_key, wrapped, b"key" + mark)
        request, answer = as_list(decode(_pull(key, sealed, b"text" + mark), max_bytes=MAX_TEXT_BYTES), 2)
    except (CryptoError, EncodingError) as error:
        raise DatabaseDamaged(_DAMAGED) from error
    return str(request), str(answer)


def new_key(store_key: bytes, about: bytes) -> tuple[bytes, bytes]:
    """A new key for something else that is kept, and the same wrapped (`WRAPPED_BYTES`)."""
    key = secrets.token_bytes(KEY_BYTES)
    return key, _push(store_key, key, about)


def open_key(store_key: bytes, wrapped: bytes, about: bytes) -> bytes:
    """The inverse. Raises `DatabaseDamaged`."""
    try:
        return _pull(store_key, wrapped, about)
    except CryptoError as error:
        raise DatabaseDamaged(_DAMAGED) from error


def seal_part(key: bytes, plain: bytes) -> bytes:
    """What was taken from a turn to be counted, under the key of its window."""
    return _push(key, plain, b"part")


def open_part(key: bytes, sealed: bytes) -> bytes:
    """The inverse. Raises `DatabaseDamaged`."""
    try:
        return _pull(key, sealed, b"part")
    except CryptoError as error:
        raise DatabaseDamaged(_DAMAGED) from error


def wrap(key: bytes, secret: bytes) -> bytes:
    """The key of a store, under a key made from a passphrase."""
    return _push(key, secret, b"store")


def unwrap(key: bytes, wrapped: bytes) -> bytes | None:
    """The inverse of `wrap`; None for another key."""
    try:
        return _pull(key, wrapped, b"store")
    except CryptoError:
        return None
