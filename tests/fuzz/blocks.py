"""The decoders of blocks of others: the wire format of Protocol Buffers, nodes, files and folders made of them, and CARs."""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from mycelnode import protobuf
from mycelnode.errors import BlockMissing, BlockRefused, CarRefused, EncodingError
from mycelnode.patterns import car, dagcbor, dagpb
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.car import export_car, import_car
from mycelnode.patterns.cid import DAG_PB, Cid
from mycelnode.patterns.dag import MAX_BLOCK
from mycelnode.patterns.folders import read_folder
from mycelnode.patterns.unixfs import FOLDER, parse, read_file
from tests.fuzz.guard import Broken, Target, same

CARS = Path(__file__).parent.parent / "patterns" / "cars"
SECONDS_PER_BYTE_OF_CAR = (
    5e-5  # a block may have 40 bytes and becomes a file, half a millisecond; each is taken four times
)


@cache
def _store() -> Blockstore:
    memory = Path("/dev/shm")  # where there is one, a disk need not be worn out
    folder = Path(tempfile.mkdtemp(prefix="mycel-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Blockstore(folder, 64 << 20)


def _protobuf(data: bytes) -> None:
    for _, kind, value in protobuf.fields(data):
        if (type(value) is bytes) != (kind == protobuf.BYTES):
            raise Broken(f"protobuf: {data.hex()} has a value of another kind than it says")


def _dag_pb(data: bytes) -> None:
    block = dagpb.encode(dagpb.decode(data))
    same("dag-pb", dagpb.encode(dagpb.decode(block)), block)


def _unixfs(data: bytes) -> None:
    """A block as the top of a file, or of a folder, of which there is nothing else."""
    cid = Cid.of(DAG_PB, data)
    part = parse(cid, data)
    if part.kind == FOLDER:
        read_folder(cid, {cid: data}.get)
    elif len(b"".join(read_file(cid, {cid: data}.get, MAX_BLOCK))) > len(data):
        raise Broken(f"unixfs: {data.hex()} gives more than it is")


def _car(data: bytes) -> None:
    """As it came, and with each block under its own name, as a hostile maker can do it."""
    with suppress(CarRefused):
        _take(data)
    file = io.BytesIO(data)
    car._read_header(file)
    blocks = [(Cid.of(cid.codec, block), block) for cid, block in car._sections(file)]
    header = dagcbor.encode({"roots": [cid for cid, _ in blocks[: car.MAX_ROOTS]], "version": 1})
    parts = [cid.binary + block for cid, block in blocks]
    _take(b"".join(protobuf.varint(len(part)) + part for part in (header, *parts)))


def _take(data: bytes) -> None:
    """What is taken can be written again, and what is not leaves nothing behind."""
    store = _store()
    try:
        roots = import_car(io.BytesIO(data), store)
        whole = io.BytesIO()
        export_car(store, roots, whole, partial=True)
        if import_car(io.BytesIO(whole.getvalue()), store) != roots:
            raise Broken(f"car: the roots of {data.hex()} are not taken again")
        _let_go(store, roots)
    finally:
        if store.usage or store.pins():
            raise Broken(f"car: {data.hex()} leaves something behind")


def _let_go(store: Blockstore, roots: Sequence[Cid]) -> None:
    """Of the blocks, and of their folders, into each of which the store would look for every later input."""
    for root in roots:
        store.unpin(root)
    quota, store.quota = store.quota, 0
    store.collect()
    store.quota = quota
    for folder in (store.folder / "blocks").iterdir():
        folder.rmdir()


def _nodes() -> Sequence[bytes]:
    return [block for data in _cars() for block in _blocks(data)]


def _blocks(data: bytes) -> list[bytes]:
    store = _store()
    roots = import_car(io.BytesIO(data), store)
    found = [store.get(cid) or b"" for cid in store.reachable(roots) if cid.codec == DAG_PB]
    _let_go(store, roots)
    return found


def _tops() -> Sequence[bytes]:
    """Nodes that need no others: a file with its content inside, and a folder without anything."""
    nodes = [dagpb.decode(block) for block in _nodes()]
    return [dagpb.encode(node) for node in nodes if not node.links] + [block for block in _nodes() if b"SKILL" in block]


def _cars() -> Sequence[bytes]:
    return [path.read_bytes() for path in sorted(CARS.glob("*.car"))]


BLOCKS = (
    Target("protobuf", _protobuf, (EncodingError,), _nodes, largest=4 * MAX_BLOCK),
    Target("dag-pb", _dag_pb, (EncodingError,), _nodes, largest=MAX_BLOCK),
    Target(
        "unixfs",
        _unixfs,
        (BlockRefused, BlockMissing),
        _tops,
        largest=MAX_BLOCK,
        refused=("sharded folder", "is not here"),
    ),
    Target("car", _car, (CarRefused,), _cars, seconds_per_byte=SECONDS_PER_BYTE_OF_CAR, slow=True),
)
