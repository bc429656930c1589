"""Keys of NEAR accounts in files, as NEAR's own tools keep them: ``~/.near-credentials/<network>/<account>.json``.

Also ``<network>/<account>/ed25519_<public key>.json``, as near-cli-rs writes them, which does not say in the file whose key it is.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mycelnode.chain.amounts import account_id
from mycelnode.encoding import base58, from_base58
from mycelnode.errors import AccountRefused, EncodingError, KeyFileError
from mycelnode.identity import KeyPair
from mycelnode.paths import make_private_folder, unusable, write_new

FOLDER: Final = ".near-credentials"
MAX_FILE_BYTES: Final = 64 << 10
MAX_FILES: Final = 10_000  # that are looked at for the same key
CURVE: Final = "ed25519:"
_FILE_OF_KEY: Final = re.compile(r"ed25519_([1-9A-HJ-NP-Za-km-z]{32,44})\.json")


@dataclass(frozen=True, slots=True)
class NearKey:
    """An Ed25519 key. ``name`` is its public half as NEAR writes it."""

    seed: bytes = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, seed: bytes) -> NearKey:
        """The key of a seed of 32 bytes."""
        return cls(seed, KeyPair(seed).public)

    @classmethod
    def new(cls) -> NearKey:
        """A key that nobody else has."""
        return cls.of(secrets.token_bytes(32))

    @property
    def name(self) -> str:
        """``ed25519:…``."""
        return CURVE + base58(self.public)

    @property
    def secret(self) -> bytes:
        """The 64 bytes that NEAR calls the private key."""
        return self.seed + self.public

    def as_json(self, account: str) -> bytes:
        """The content of a key file; all tools find in it what they look for."""
        private = CURVE + base58(self.secret)
        names = {"account_id": account, "public_key": self.name, "private_key": private, "secret_key": private}
        return json.dumps(names, indent=2).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key, whose it is, and where it lies."""

    account: str
    key: NearKey
    path: Path


def parse_public(text: str) -> bytes:
    """The 32 bytes of ``ed25519:…``. Raises `KeyFileError`."""
    try:
        data = from_base58(text.removeprefix(CURVE)) if text.startswith(CURVE) else b""
    except EncodingError:
        data = b""
    if len(data) != 32:
        raise KeyFileError(
            "a public key of NEAR is like ed25519:… and 32 bytes in base58; other kinds are not used here"
        )
    return data


def parse_secret(text: str) -> NearKey:
    """The key of ``ed25519:…``, 64 or 32 bytes in base58. What is wrong is said without the secret. Raises `KeyFileError`."""
    try:
        data = from_base58(text.strip().removeprefix(CURVE))
    except EncodingError:
        data = b""
    if len(data) not in (32, 64) or ":" in text.strip().removeprefix(CURVE):
        raise KeyFileError(
            "a private key of NEAR is like ed25519:… and 64 bytes in base58; other kinds are not used here"
        )
    key = NearKey.of(data[:32])
    if len(data) == 64 and data[32:] != key.public:
        raise KeyFileError("the two halves of that private key do not belong together: it is damaged")
    return key


class Credentials:
    """The key files of this user; ``home`` is the folder in which ``.near-credentials`` lies."""

    def __init__(self, home: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> None:
        self.folder = (home or Path(environ.get("HOME") or Path.home())) / FOLDER

    def find(self, network: str, account: str, key: str | None = None) -> KeyFile:
        """The key of an account, or that with this public half. Raises `KeyFileError`, `AccountRefused`."""
        account_id(account)
        paths = [path for path in self._places(network, account) if path.exists()]
        found = [self.read(path, account) for path in paths]
        wanted = [one for one in found if key in (None, one.key.name)]
        if not wanted:
            which = "" if key is None else f" with the public half {key}"
            raise KeyFileError(
                f"there is no key of {account}{which} in {self.folder / network}; `mycelnode chain account import` puts one there"
            )
        if len({one.key.name for one in wanted}) > 1:
            raise KeyFileError(
                f"there are several keys of {account} in {self.folder / network}; move away those that are not to be used"
            )
        self.refuse_elsewhere(network, wanted[0])
        return wanted[0]

    def read(self, path: Path, account: str | None = None) -> KeyFile:
        """A key file. ``account``: whose key it must be; without it, the file or its folder says. Raises `KeyFileError`."""
        told = _json(path, _read_private(path))
        secret = told.get("private_key", told.get("secret_key"))
        if not isinstance(secret, str):
            raise KeyFileError(f"{path} is no key file of NEAR: it has no private_key")
        try:
            key = parse_secret(secret)
        except KeyFileError as error:
            raise KeyFileError(f"{path}: {error}") from None
        public, named = told.get("public_key"), _FILE_OF_KEY.fullmatch(path.name)
        if public not in (None, key.name) or (named is not None and CURVE + named[1] != key.name):
            raise KeyFileError(
                f"{path} names another public key than its private key has: it is damaged, or was renamed"
            )
        says = told.get("account_id")
        whose = says if says is not None else path.parent.name if named else path.stem
        try:
            account_id(whose)
        except AccountRefused as error:
            raise KeyFileError(f"{path} does not say whose key it is: {error}") from None
        if account not in (None, whose):
            raise KeyFileError(f"{path} holds a key of {whose}, not of {account}")
        return KeyFile(whose, key, path)

    def write(self, network: str, account: str, key: NearKey) -> Path:
        """Keep a key, readable for this user alone; durable on return. Raises `KeyFileError` if the account has another one."""
        path = self.folder / network / f"{account_id(account)}.json"
        make_private_folder(path.parent)
        if path.exists():
            if self.read(path, account).key == key:
                return path
            raise KeyFileError(
                f"{path} has another key of {account}, perhaps of a chain that is gone, and is not overwritten: move it away if so"
            )
        write_new(path, key.as_json(account))
        return path

    def refuse_elsewhere(self, network: str, found: KeyFile) -> None:
        """Raise `KeyFileError` if the key lies under another network, too: what it signs there could be sent here."""
        for other in self._networks():
            if other != network:
                for path in self._all(other):
                    if found.key.name.replace(":", "_") in path.name or _holds(path, found.key):
                        raise KeyFileError(
                            f"the key of {found.account} is under two networks, {network} and {other} ({path}): what is signed"
                            " for one could be sent to the other; use a key for each"
                        )

    def _networks(self) -> Iterator[str]:
        try:
            yield from sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        except FileNotFoundError:
            return
        except OSError as error:
            raise unusable(self.folder, "read", error) from error

    def _all(self, network: str) -> Iterator[Path]:
        for count, path in enumerate(sorted((self.folder / network).glob("**/*.json"))):
            if count == MAX_FILES:
                raise KeyFileError(
                    f"{self.folder / network} has more than {MAX_FILES:,} files; there should be a few keys"
                )
            yield path

    def _places(self, network: str, account: str) -> Iterator[Path]:
        yield self.folder / network / f"{account}.json"
        yield from sorted((self.folder / network / account).glob("ed25519_*.json"))


def _read_private(path: Path) -> bytes:
    """The content of a file that nobody else can read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise KeyFileError(f"{path} is no file")
            if info.st_uid != os.geteuid():
                raise KeyFileError(f"{path} belongs to another user")
            if info.st_mode & 0o077:
                raise KeyFileError(f"{path} can be read by other users; run: chmod 600 {path}")
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise KeyFileError(f"there is no {path}") from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise KeyFileError(f"{path} is too long to be a key file")
    return data


def _json(path: Path, data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise KeyFileError(f"{path} is no key file of NEAR: it is no JSON object")
    return told


def _holds(path: Path, key: NearKey) -> bool:
    """Does a file, whatever it is, hold this key, by its public name or its private half?"""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except OSError:
        return False
    return any(CURVE.encode() + base58(half).encode() in content for half in (key.public, key.secret, key.seed))
