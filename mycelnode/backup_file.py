"""The file of a backup: sealed by a passphrase, read and written record by record.

A file is ``MAGIC``, a header (4 bytes of length, canonical CBOR) and chunks (4 bytes of length, ciphertext). The header says in
the clear what is needed to open the file, when it was made and of which mesh; it is authenticated with every chunk. The key is
Argon2id of the passphrase; the chunks are one XChaCha20-Poly1305 secretstream (libsodium), whose last is marked, so that a file cut
off anywhere is noticed. A chunk is a list of records, which are lists.
"""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from nacl import bindings as sodium
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from mycelnode import audit
from mycelnode.encoding import as_bytes, as_int, as_list, as_text, decode, encode
from mycelnode.errors import BackupError, EncodingError
from mycelnode.paths import PRIVATE_FILE, TEMPORARY, sync_folder, unusable

MAGIC: Final = b"mycel-backup\n"
FORMAT: Final = 2  # 1 held no blocks, and is read as well
MAX_HEADER_BYTES: Final = 1024
CHUNK_BYTES: Final = 256 << 10  # of records gathered in one chunk
MAX_CHUNK_BYTES: Final = 1 << 20  # read into memory at once; one record is at most an entry of 256 KiB
STRENGTH: Final = (argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)  # about a second and 256 MiB
MAX_OPS, MAX_MEMORY = 16, 1 << 30  # what opening a file may cost us, whatever it says


def _key(passphrase: str, salt: bytes, ops: int, memory: int) -> bytes:
    text = unicodedata.normalize("NFC", passphrase).encode()
    size = sodium.crypto_secretstream_xchacha20poly1305_KEYBYTES
    try:
        return argon2id.kdf(size, text, salt, opslimit=ops, memlimit=memory)
    except (CryptoError, ValueError) as error:
        raise BackupError(f"the backup's key could not be made; it needs {memory >> 20} MiB of memory") from error


class Sealer:
    """Writes records as an encrypted file."""

    def __init__(self, file: BinaryIO, passphrase: str, strength: tuple[int, int], mesh: str, created: int) -> None:
        salt = secrets.token_bytes(argon2id.SALTBYTES)
        self._file = file
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        start = sodium.crypto_secretstream_xchacha20poly1305_init_push(self._state, _key(passphrase, salt, *strength))
        self._header = encode([FORMAT, salt, *strength, start, mesh, created])

    def write(self, records: Iterator[list[Any]]) -> None:
        """Write the whole file."""
        self._file.write(MAGIC + len(self._header).to_bytes(4, "big") + self._header)
        gathered: list[list[Any]] = []
        size = 0
        for record in records:
            length = len(encode(record))
            if gathered and size + length > CHUNK_BYTES:
                self._push(gathered, sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE)
                gathered, size = [], 0
            gathered.append(record)
            size += length
        self._push(gathered, sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL)

    def _push(self, records: list[list[Any]], tag: int) -> None:
        sealed = sodium.crypto_secretstream_xchacha20poly1305_push(self._state, encode(records), self._header, tag)
        self._file.write(len(sealed).to_bytes(4, "big") + sealed)


class Opener:
    """Reads an encrypted file. Raises `BackupError`, `DataDirUnusable`."""

    def __init__(self, path: Path, passphrase: str) -> None:
        self.path = path
        with opened(path) as file:
            self._header = read_header(path, file)
            self.size = os.fstat(file.fileno()).st_size
        _, salt, ops, memory, self._start, self.mesh, self.created = self._header[1]
        self._key = _key(passphrase, salt, ops, memory)

    def records(self) -> Iterator[list[Any]]:
        """All records, each chunk verified before any of it is given out, and the end too."""
        state = sodium.crypto_secretstream_xchacha20poly1305_state()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, self._start, self._key)
        with opened(self.path) as file:
            if read_header(self.path, file) != self._header:
                raise BackupError(f"{self.path} changed while it was read")
            reason, tag = "wrong passphrase, or a damaged file", -1
            while tag != sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL:
                length = int.from_bytes(file.read(4), "big")
                sealed = file.read(length) if length <= MAX_CHUNK_BYTES else b""
                try:
                    if len(sealed) != length:
                        raise ValueError("the length of a chunk is wrong")
                    chunk, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed, self._header[0])
                    records = [as_list(record) for record in as_list(decode(chunk, max_bytes=MAX_CHUNK_BYTES))]
                except (CryptoError, ValueError, EncodingError) as error:
                    raise BackupError(f"{self.path} cannot be read: {reason}") from error
                reason = "it is damaged or cut off"
                yield from (list(record) for record in records)
            if file.read(1):
                raise BackupError(f"{self.path} cannot be read: something was added to it")


def read_header(path: Path, file: BinaryIO) -> tuple[bytes, list[Any]]:
    """Of the file at ``path``: the header's bytes, and its fields, checked. Raises `BackupError`."""
    magic, length = file.read(len(MAGIC)), int.from_bytes(file.read(4), "big")
    if magic != MAGIC:
        raise BackupError(f"{path} is not a backup of mycelnode")
    packed = file.read(length) if length <= MAX_HEADER_BYTES else b""
    try:
        header = as_list(decode(packed, max_bytes=MAX_HEADER_BYTES))
        if header and as_int(header[0]) > FORMAT:
            raise BackupError(f"{path} was made by a newer mycelnode; update this one")
        form, salt, ops, memory, start, mesh, created = as_list(header, 7)
        checked = [
            as_int(form, 1, FORMAT),
            as_bytes(salt, argon2id.SALTBYTES),
            as_int(ops, argon2id.OPSLIMIT_MIN, MAX_OPS),
            as_int(memory, argon2id.MEMLIMIT_MIN, MAX_MEMORY),
            as_bytes(start, sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES),
            as_text(mesh, 64),
            as_int(created, 0, audit.MAX_TIME_MS),
        ]
    except EncodingError as error:
        raise BackupError(f"{path} cannot be read: its header is damaged") from error
    return packed, checked


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file at ``path``, to read. Raises `BackupError` if it cannot be opened."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}") from error
        yield file


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A new private file that appears under its name only once it is complete and on disk."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
        try:
            with open(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(handle)
            new.rename(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise unusable(path, "written", error) from error
