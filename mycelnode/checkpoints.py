"""The folded state on disk, so that a start need not fold the logs again: none of them after a clean end, little after a crash.

It lies in pieces, in one of two places in turn; one small fact says which of them counts. So a state of any size is written a piece
in a transaction, while others write too, and one that was not finished is never taken for one that was.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from mycelnode import logstore
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.document import Document
from mycelnode.database import Database
from mycelnode.encoding import as_bytes, as_int, as_list, as_map, blake2b, decode, encode
from mycelnode.errors import EncodingError, MycelError
from mycelnode.logstore import StoredLogs
from mycelnode.protocols.folding import Base
from mycelnode.protocols.replica import Replica

LEAST_BYTES: Final = 4 << 20  # of entries folded since the last time that are worth keeping the state anew …
LEAST_PART: Final = (
    4  # … or this part of the state, if that is more: what is written stays in proportion to what is new
)
PIECE_BYTES: Final = 1 << 20  # of the state in one transaction: a write waits for no more than that
HASH_BYTES: Final = 32

FACT: Final = "document"

Reach = dict[DeviceId, tuple[int, bytes | None]]

_log = logging.getLogger(__name__)


class Checkpoints:
    """Keeps the folded state of one replica. ``replica.folded`` says how far it has come."""

    def __init__(self, database: Database, stored: StoredLogs) -> None:
        self._database, self._stored = database, stored
        self._kept: tuple[Reach, Base | None] | None = None  # what is on disk
        self._tried = 0  # `Replica.folded` at the last attempt
        self._bytes = 0  # of the state on disk
        self._place = 0
        self._lock, self._due = trio.Lock(), trio.Event()

    def load(self) -> tuple[Document | None, Base | None]:
        """The state that was kept; None if there is none, or if it is not what was kept."""
        packed = self._stored.fact(FACT)
        if packed is None:
            return None, None
        try:
            self._place, digest, base = read_header(packed)
            pieces = self._measured(self._stored.pieces(_name(self._place)))
            document = Document.decode_state(
                pieces, ours=digest
            )  # a changed byte in it shows in the digest, and in no log
        except EncodingError:
            path = self._database.path
            _log.warning("the folded state in %s is not as this version writes it; the logs are folded anew", path)
            return None, None
        self._kept = (_reach(document), base)
        return document, base

    def _measured(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._bytes += len(piece)
            yield piece

    def look(self, replica: Replica) -> None:
        """Has so much been folded that the state should be kept anew? Then `run` does it."""
        if replica.folded - self._tried >= max(LEAST_BYTES, self._bytes // LEAST_PART):
            self._due.set()

    async def run(self, replica: Replica) -> None:
        """Keep the state whenever that is due, until cancelled."""
        while True:
            await self._due.wait()
            self._due = trio.Event()
            await self.keep(replica)

    async def keep(self, replica: Replica) -> None:
        """Keep the state as it is now, unless that is on disk already.

        It is encoded in another thread, from a copy, so the node goes on meanwhile. A disk that is full costs the next start some
        time, and nothing else.
        """
        async with self._lock:
            now = (_reach(replica.document), replica.base)
            if now == self._kept:
                return
            self._tried = replica.folded
            place, size, state = 1 - self._place, 0, hashlib.blake2b(digest_size=HASH_BYTES)
            pieces = _in_pieces(replica.document.copy())
            try:
                await self._database.write(partial(logstore.drop_pieces, name=_name(place)))
                while piece := await trio.to_thread.run_sync(next, pieces, b""):
                    state.update(piece)
                    await self._database.write(
                        partial(logstore.save_piece, name=_name(place), number=size // PIECE_BYTES, value=piece)
                    )
                    size += len(piece)
                await self._database.write(partial(_count, place=place, digest=state.digest(), base=now[1]))
            except MycelError as error:
                _log.warning("the next start takes a little longer: %s", error)
            else:
                self._kept, self._place, self._bytes = now, place, size

    @asynccontextmanager
    async def replacing(
        self, state: bytes, document: Document, base: Base
    ) -> AsyncIterator[Callable[[sqlite3.Connection], None]]:
        """Another device's state is to take the place of ours: what stores it, in the transaction in which the replica begins with
        it, within this block."""
        async with self._lock:
            place, digest, kept = 1 - self._place, document.digest(), (_reach(document), base)

            def store(connection: sqlite3.Connection) -> None:
                logstore.drop_pieces(connection, _name(place))
                for start in range(0, len(state), PIECE_BYTES):
                    piece = state[start : start + PIECE_BYTES]
                    logstore.save_piece(connection, _name(place), start // PIECE_BYTES, piece)
                _count(connection, place, digest, base)

            yield store
            self._kept, self._place, self._bytes = kept, place, len(state)


def _reach(document: Document) -> Reach:
    """Up to where the logs are applied; documents with the same reach are the same."""
    return {device: (seq, document.applied_hash(device)) for device, seq in document.applied.items()}


def _name(place: int) -> str:
    return f"{FACT}.{place}"


def _count(connection: sqlite3.Connection, place: int, digest: bytes, base: Base | None) -> None:
    """From now on the state at that place is the one that counts."""
    logstore.save_fact(connection, FACT, header_of(place, digest, base))
    logstore.drop_pieces(connection, _name(1 - place))


def header_of(place: int, digest: bytes, base: Base | None) -> bytes:
    """What says where the state lies, and what it must be; a changed byte in it shows."""
    cut = None if base is None else [{device: list(head) for device, head in base.cut.items()}, base.digest, base.giver]
    header = encode([place, digest, cut])
    return blake2b(header) + header


def read_header(packed: bytes) -> tuple[int, bytes, Base | None]:
    """The inverse of `header_of`; `EncodingError` for anything else."""
    if packed[:HASH_BYTES] != blake2b(packed[HASH_BYTES:]):
        raise EncodingError("not what was stored")
    place, digest, cut = as_list(decode(packed[HASH_BYTES:]), 3)
    if cut is None:
        return as_int(place, 0, 1), as_bytes(digest, 32), None
    heads, of_state, giver = as_list(cut, 3)
    found = {as_bytes(device, 32): as_list(head, 2) for device, head in as_map(heads).items()}
    base = {device: Head(as_int(seq), as_bytes(last, 32)) for device, (seq, last) in found.items()}
    return as_int(place, 0, 1), as_bytes(digest, 32), Base(base, as_bytes(of_state, 32), as_bytes(giver, 32))


def _in_pieces(document: Document) -> Iterator[bytes]:
    """The state of a document that nobody changes, in pieces of at least `PIECE_BYTES`, but for the last."""
    piece = bytearray()
    for block in document.state_blocks():
        piece += block
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
