"""Files whose bytes are known from a seed, and blocks kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from mycelnode.patterns import dagcbor
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import DAG_CBOR, RAW, Cid
from mycelnode.protobuf import read_varint

MIB = 1 << 20
PLENTY = 1 << 30  # a quota


def pieces(size: int, seed: str, most: int = MIB) -> Iterator[bytes]:
    """The ChaCha20 key stream of the seed's sha2-256, as Kubo's own tests of its profiles make their files."""
    stream = Cipher(algorithms.ChaCha20(hashlib.sha256(seed.encode()).digest(), bytes(16)), None).encryptor()
    while size:
        piece = min(size, most)
        yield stream.update(bytes(piece))
        size -= piece


def content(size: int, seed: str = "mycel") -> bytes:
    return b"".join(pieces(size, seed))


class Blocks(dict[Cid, bytes]):
    """A store without a disk."""

    def put(self, cid: Cid, block: bytes) -> None:
        assert cid.names(block)
        self[cid] = block


def kubos(name: str) -> tuple[Cid, Blocks]:
    """The root and the blocks of a CAR that a Kubo 0.40.1 wrote, which puts the root first."""
    data = (Path(__file__).parent / "cars" / f"{name}.car").read_bytes()
    size, place = read_varint(data)
    place += size
    blocks = Blocks()
    while place < len(data):
        size, place = read_varint(data, place)
        section = data[place : place + size]
        length = 34 if section.startswith(b"\x12\x20") else 36
        blocks.put(Cid.from_bytes(section[:length]), section[length:])
        place += size
    return next(iter(blocks)), blocks


def raw(text: str) -> tuple[Cid, bytes]:
    block = text.encode()
    return Cid.of(RAW, block), block


def node(*links: Cid, said: Any = None) -> tuple[Cid, bytes]:
    block = dagcbor.encode({"links": list(links), "said": said})
    return Cid.of(DAG_CBOR, block), block


def files(store: Blockstore) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}
