"""Keys: the device key in its file, and the mesh root key from a recovery phrase.

A key file is one line, ``mycel-key-1 <base32 of the 32-byte seed and an 8-byte checksum>``, readable by its owner alone.
"""

from __future__ import annotations

import difflib
import hmac
import os
import secrets
import stat
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nacl.exceptions import CryptoError
from nacl.public import SealedBox
from nacl.signing import SigningKey, VerifyKey

from mycelnode.encoding import base32, blake2b, from_base32, peer_id
from mycelnode.errors import EncodingError, KeyFileError, PhraseError
from mycelnode.paths import DataDir, unusable, write_new

if TYPE_CHECKING:
    from mnemonic import Mnemonic

KEY_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64
PHRASE_WORDS = 24
PHRASE_ENTROPY_BYTES = 32  # 24 words: 256 bits and a checksum of 8
MAX_PHRASE_CHARS = 1024  # 24 words of at most 8 letters, and generous white space
MAX_KEY_FILE_BYTES = 256
KEY_TAG = "mycel-key-1"
CHECKSUM_BYTES = 8
SLIP10_ED25519 = b"ed25519 seed"


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the Ed25519 signature (RFC 8032) of ``message`` by ``key``; False also for malformed arguments."""
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(key).verify(message, signature)
    except (CryptoError, ValueError):
        return False
    return True


def seal(key: bytes, message: bytes) -> bytes:
    """``message``, for whoever has the secret of the Ed25519 key ``key`` alone; 48 bytes more.

    libsodium's sealed box, to the X25519 key that belongs to it. Raises `EncodingError` if ``key`` is none.
    """
    try:
        return SealedBox(VerifyKey(key).to_curve25519_public_key()).encrypt(message)
    except (CryptoError, ValueError, TypeError, RuntimeError) as error:
        raise EncodingError("nothing can be sealed to what is no Ed25519 key") from error


class KeyPair:
    """An Ed25519 key pair made from its 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public = bytes(self._key.verify_key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {peer_id(self.public)}>"

    def sign(self, message: bytes) -> bytes:
        """The signature of ``message``, 64 bytes."""
        return self._key.sign(message).signature

    def unseal(self, sealed: bytes) -> bytes | None:
        """What was sealed to this key; None if ``sealed`` was not."""
        try:
            return SealedBox(self._key.to_curve25519_private_key()).decrypt(sealed)
        except (CryptoError, ValueError, TypeError):
            return None


class RootKey(KeyPair):
    """The mesh root key, which exists only on paper and, during `init` and `recover`, in memory."""


class Identity(KeyPair):
    """A device key pair. ``device`` is its public key, and the device's id everywhere."""

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self.device = self.public
        self.peer_id = peer_id(self.device)

    @property
    def seed(self) -> bytes:
        """The secret itself, for the Noise handshake of the mesh host."""
        return bytes(self._key)


# --- key files -------------------------------------------------------------------------------------------------------------


def _checksum(seed: bytes) -> bytes:
    return blake2b(KEY_TAG.encode() + seed, CHECKSUM_BYTES)


def write_key(path: Path, seed: bytes) -> None:
    """Write a new key file (0600), durably. Raises `KeyFileError` if there is a file already, `DiskFull`, `DataDirUnusable`."""
    write_new(path, f"{KEY_TAG} {base32(seed + _checksum(seed))}\n".encode())


def read_key(path: Path) -> bytes:
    """The seed in a key file. Raises `KeyFileError` if it is missing, damaged, or open to other users."""
    try:
        with open(path, "rb") as file:
            info = os.fstat(file.fileno())
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except FileNotFoundError:
        raise KeyFileError(
            f"the key file {path} is missing; put it back, or, after `mycelnode leave`, join anew"
        ) from None
    except OSError as error:
        raise unusable(path, "read", error) from error
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise KeyFileError(f"other users may read the key file {path}; run: chmod 600 {path}")
    if info.st_uid != os.geteuid():
        raise KeyFileError(f"the key file {path} belongs to another user; run mycelnode as that user")
    try:
        tag, text = data.decode("ascii").split()
        content = from_base32(text, max_chars=MAX_KEY_FILE_BYTES)
    except (ValueError, EncodingError):
        tag, content = "", b""
    seed = content[:SEED_BYTES]
    if tag != KEY_TAG or len(content) != SEED_BYTES + CHECKSUM_BYTES or content[SEED_BYTES:] != _checksum(seed):
        raise KeyFileError(
            f"the key file {path} is damaged; put the original back, or, after `mycelnode leave`, join anew"
        )
    return seed


def create_identity(data: DataDir) -> Identity:
    """Make this device's key and store it, durably. Raises as `write_key` does."""
    seed = secrets.token_bytes(SEED_BYTES)
    write_key(data.device_key, seed)
    return Identity(seed)


def load_identity(data: DataDir) -> Identity:
    """This device's key. Raises as `read_key` does."""
    return Identity(read_key(data.device_key))


def swarm_seed(data: DataDir) -> bytes:
    """The seed of this device's key to the collective, made when it is first asked for. Raises as `write_key` and `read_key` do.

    It is no derivation of the device key, so that nothing links the two.
    """
    if not data.swarm_key.exists():
        write_key(data.swarm_key, secrets.token_bytes(SEED_BYTES))
    return read_key(data.swarm_key)


# --- recovery phrase ---------------------------------------------------------------------------------------------------------


@cache
def _words() -> Mnemonic:
    from mnemonic import Mnemonic

    return Mnemonic("english")


def new_phrase(entropy: bytes | None = None) -> str:
    """24 words (BIP-39, English) for ``entropy``, 32 bytes; by default fresh randomness."""
    entropy = secrets.token_bytes(PHRASE_ENTROPY_BYTES) if entropy is None else entropy
    if len(entropy) != PHRASE_ENTROPY_BYTES:
        raise PhraseError(f"a recovery phrase is made from {PHRASE_ENTROPY_BYTES} random bytes")
    return str(_words().to_mnemonic(entropy))


def root_from_phrase(words: str) -> RootKey:
    """The mesh root key of a recovery phrase; case, white space and line breaks do not matter.

    Derivation: BIP-39 seed with an empty passphrase, then the SLIP-0010 master key of the curve ed25519. Raises `PhraseError`.
    """
    if len(words) > MAX_PHRASE_CHARS:
        raise PhraseError("the recovery phrase is far too long: it has 24 words")
    given = words.lower().split()
    known = _words().wordlist
    for place, word in enumerate(given, 1):
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PhraseError(f"word {place} of the recovery phrase, {word!r}, is not in the list of words{hint}")
    if len(given) != PHRASE_WORDS:
        raise PhraseError(f"the recovery phrase has {PHRASE_WORDS} words, and these are {len(given)}")
    phrase = " ".join(given)
    if not _words().check(phrase):
        raise PhraseError("the recovery phrase does not check: a word is wrong, or two are swapped")
    return RootKey(slip10_master(_words().to_seed(phrase)))


def slip10_master(seed: bytes) -> bytes:
    """The ed25519 master private key of a seed (SLIP-0010, "Master key generation": the left half of one HMAC-SHA512)."""
    return hmac.digest(SLIP10_ED25519, seed, "sha512")[:SEED_BYTES]


def mesh_id(root: bytes) -> str:
    """The name of a mesh, from its root public key: base32 of 128 bits of BLAKE2b."""
    return base32(blake2b(b"mycel-mesh" + root, 16))
