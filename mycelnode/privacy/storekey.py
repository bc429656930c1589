"""Where the key of the private turns is kept: the system's keyring, under a passphrase, or a file. Never with a backup of the data.

`Place` says which, and is stored beside the turns; alone it opens nothing. All blocking: a keyring may ask the person, and Argon2id
takes a second. The library `keyring` is imported here and nowhere else.
"""

from __future__ import annotations

import hmac
import os
import secrets
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from mycelnode.encoding import as_bytes, as_int, as_list, as_text, base32, blake2b, decode, encode, from_base32
from mycelnode.errors import (
    DatabaseDamaged,
    EncodingError,
    KeyFileError,
    PassphraseNeeded,
    PassphraseWanted,
    TurnsLocked,
)
from mycelnode.identity import read_key, write_key
from mycelnode.paths import DataDir, sync_folder, unusable
from mycelnode.privacy.sealing import KEY_BYTES, unwrap, wrap

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

AUTO: Final = "auto"  # the keyring if there is a usable one, else the file
KEYRING: Final = "keyring"
PASSPHRASE: Final = "passphrase"
FILE: Final = "file"
PLACES: Final = (AUTO, KEYRING, PASSPHRASE, FILE)
SERVICE: Final = "mycelnode"  # what the entry in the keyring is called
MIN_PASSPHRASE_CHARS: Final = 8
STRENGTH: Final = (argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)  # about a second and 256 MiB
MAX_OPS, MAX_MEMORY = 16, 1 << 30  # what opening may cost, whatever is stored
NAME_BYTES: Final = 10
CHECK_BYTES: Final = 16

PROTECTS: Final = {
    KEYRING: "The key of your turns is in the keyring of this system: it is as safe as your login, and not in the data folder.",
    PASSPHRASE: "The key of your turns is locked by your passphrase: without it nobody can read them, you neither.",
    FILE: (
        "The key of your turns is a file in the data folder that only you may read (0600): it keeps other users of this machine"
        " out, not whoever has this disk, a copy of the folder, or a program that runs as you."
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the key is: ``kind``; ``name`` of its entry in a keyring; ``check``, by which a wrong key is told from the right one;
    ``locked``: with a passphrase, the salt, Argon2id's opslimit and memlimit, and the wrapped key."""

    kind: str
    name: str
    check: bytes
    locked: tuple[bytes, int, int, bytes] | None = None

    def encoded(self) -> bytes:
        """To be stored."""
        return encode([self.kind, self.name, self.check, None if self.locked is None else list(self.locked)])

    @classmethod
    def decoded(cls, data: bytes) -> Place:
        """The inverse. Raises `DatabaseDamaged`."""
        try:
            kind, name, check, locked = as_list(decode(data), 4)
            if locked is not None:
                salt, ops, memory, wrapped = as_list(locked, 4)
                locked = (
                    as_bytes(salt, argon2id.SALTBYTES),
                    as_int(ops, argon2id.OPSLIMIT_MIN, MAX_OPS),
                    as_int(memory, argon2id.MEMLIMIT_MIN, MAX_MEMORY),
                    as_bytes(wrapped),
                )
            return cls(as_text(kind, 16), as_text(name, 32), as_bytes(check, CHECK_BYTES), locked)
        except EncodingError as error:
            raise DatabaseDamaged(
                "where the key of the private turns is cannot be read: the database is damaged"
            ) from error


class Vault(Protocol):
    """What keeps secrets for a person, as a keyring does; raises anything when it cannot."""

    def get_password(self, service: str, username: str) -> str | None:
        """The secret of that name."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a secret."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Keep it no more."""
        ...


def system_keyring() -> Vault | None:
    """The keyring of this system, if there is one that protects what it keeps."""
    import keyring
    from keyring.core import recommended

    try:
        ring: KeyringBackend = keyring.get_keyring()
        return ring if recommended(ring) else None
    except Exception:  # whatever a backend raises while it is looked for: then there is none
        return None


def make(
    data: DataDir, wanted: str, passphrase: str | None, *, strength: tuple[int, int] = STRENGTH
) -> tuple[bytes, Place]:
    """A new key, kept where ``wanted`` says. Raises as `keep` does."""
    key = secrets.token_bytes(KEY_BYTES)
    return key, keep(data, key, wanted, passphrase, strength=strength)


def keep(
    data: DataDir, key: bytes, wanted: str, passphrase: str | None, *, strength: tuple[int, int] = STRENGTH
) -> Place:
    """Keep ``key`` where ``wanted`` says, durably. Raises `PassphraseWanted`, `TurnsLocked`, `DiskFull`, `DataDirUnusable`."""
    name, check = base32(secrets.token_bytes(NAME_BYTES)), _check(key)
    if wanted == PASSPHRASE:
        if not passphrase:
            raise PassphraseWanted
        if len(passphrase) < MIN_PASSPHRASE_CHARS:
            raise PassphraseWanted(f"the passphrase of your turns has at least {MIN_PASSPHRASE_CHARS} characters")
        salt = secrets.token_bytes(argon2id.SALTBYTES)
        return Place(PASSPHRASE, name, check, (salt, *strength, wrap(_derived(passphrase, salt, *strength), key)))
    if wanted in (AUTO, KEYRING):
        if _in_keyring(name, key):
            return Place(KEYRING, name, check)
        if wanted == KEYRING:
            raise TurnsLocked(
                "no keyring of this system can be used; start it, or set privacy.turns_key to passphrase or file"
            )
    _remove_file(data)  # of a key that no turn needs
    write_key(data.turns_key, key)
    return Place(FILE, name, check)


def fetch(data: DataDir, place: Place, passphrase: str | None) -> bytes:
    """The key. Raises `PassphraseNeeded`, `TurnsLocked`."""
    if place.kind == PASSPHRASE and place.locked is not None:
        if not passphrase:
            raise PassphraseNeeded
        salt, ops, memory, wrapped = place.locked
        key = unwrap(_derived(passphrase, salt, ops, memory), wrapped)
        if key is None:
            raise PassphraseNeeded("that is not the passphrase of your turns")
    elif place.kind == KEYRING:
        key = _from_keyring(place.name)
    else:
        try:
            key = read_key(data.turns_key)
        except KeyFileError as error:
            raise TurnsLocked(
                f"the key of your turns cannot be had: {data.turns_key} is missing, damaged, or open to other users; put it back"
                " (chmod 600), or let go of the turns: mycelnode interactions forget --all"
            ) from error
    if not hmac.compare_digest(_check(key), place.check):
        raise TurnsLocked("the key that is kept for your turns is another one than they were sealed with; put it back")
    return key


def destroy(data: DataDir, place: Place) -> None:
    """Keep the key no more. What cannot be reached, such as a keyring that is locked, keeps a key that opens nothing any more."""
    if place.kind == KEYRING:
        ring = system_keyring()
        if ring is not None:
            with suppress(Exception):
                ring.delete_password(SERVICE, place.name)
    elif place.kind == FILE:
        _remove_file(data)


def _check(key: bytes) -> bytes:
    return blake2b(b"mycel-turns-check" + key, CHECK_BYTES)


def _derived(passphrase: str, salt: bytes, ops: int, memory: int) -> bytes:
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "replace")
    try:
        return argon2id.kdf(KEY_BYTES, text, salt, opslimit=ops, memlimit=memory)
    except (CryptoError, ValueError) as error:
        raise TurnsLocked(f"the passphrase could not be tried; that needs {memory >> 20} MiB of memory") from error


def _in_keyring(name: str, key: bytes) -> bool:
    """Kept, and read again."""
    ring = system_keyring()
    if ring is None:
        return False
    try:
        ring.set_password(SERVICE, name, base32(key))
        return ring.get_password(SERVICE, name) == base32(key)
    except Exception:  # locked, gone, refused by the person: the next place is as good as none was asked for
        return False


def _from_keyring(name: str) -> bytes:
    ring = system_keyring()
    try:
        found = None if ring is None else ring.get_password(SERVICE, name)
        key = None if found is None else from_base32(found)
    except Exception as error:  # of any backend
        raise TurnsLocked(
            f"the keyring of this system does not answer ({type(error).__name__}); unlock it first"
        ) from error
    if key is None:
        raise TurnsLocked(
            "the key of your turns is in a keyring that cannot be reached from here, such as that of your desktop: unlock it, or"
            " run this where you are logged in"
        )
    return key


def _remove_file(data: DataDir) -> None:
    """Overwritten first, for what disks that write in place are worth."""
    try:
        with open(data.turns_key, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
        data.turns_key.unlink()
        sync_folder(data.path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable(data.turns_key, "erased", error) from error
