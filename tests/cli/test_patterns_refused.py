"""What is no pattern, or none that can be taken: one sentence each, and the store and the index as they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import DAG_CBOR, RAW, Cid
from mycelnode.patterns.manifest import Manifest
from mycelnode.protobuf import varint
from tests.cli import learned
from tests.cli.conftest import Program
from tests.patterns.hostile import Blocks, a_bomb, manifest


def car(roots: list[Cid], blocks: Blocks) -> bytes:
    header = dagcbor.encode({"roots": roots, "version": 1})
    sections = (cid.binary + block for cid, block in blocks)
    return b"".join(varint(len(part)) + part for part in (header, *sections))


def of(block: bytes) -> bytes:
    """A CAR whose only block, and root, is this one, by its right name."""
    cid = Cid.of(DAG_CBOR, block)
    return car([cid], [(cid, block)])


def named(made: Manifest) -> tuple[Cid, bytes]:
    return made.cid, made.block


def unsigned() -> bytes:
    said = dagcbor.decode(manifest().block)
    return of(dagcbor.encode({**said, "signature": bytes(64)}))


def changed() -> bytes:
    said = dagcbor.decode(manifest().block)
    said["content"]["pattern"]["title"] = "What its creator did not say"
    return of(dagcbor.encode(said))


def not_canonical() -> bytes:
    """The map of a manifest with its two fields in the other order."""
    block = manifest().block
    said = dagcbor.decode(block)
    parts = [dagcbor.encode(name) + dagcbor.encode(said[name]) for name in ("signature", "content")]
    assert sorted(map(len, parts)) == sorted(len(part) for part in reversed(parts))
    return of(b"\xa2" + b"".join(parts))


def lying() -> bytes:
    made, other = manifest(), manifest(title="Another")
    return car([made.cid], [(made.cid, other.block)])


def bombed() -> bytes:
    blocks = a_bomb()
    made = manifest(blocks[-1][0])
    return car([made.cid], [named(made), *reversed(blocks)])


def no_folder() -> bytes:
    made = manifest(Cid.of(RAW, b"a file"))
    return car([made.cid], [named(made), (Cid.of(RAW, b"a file"), b"a file")])


def without_files() -> bytes:
    made = manifest(a_bomb()[-1][0])
    return car([made.cid], [named(made)])


CARS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "no car": (lambda: b"hello, this is a text", "CarRefused", "no CAR"),
    "empty": (lambda: b"", "CarRefused", "the file is empty, and no CAR"),
    "cut off": (lambda: of(manifest().block)[:-10], "CarRefused", "cut off"),
    "no roots": (lambda: car([], [named(manifest())]), "CarRefused", "names no root"),
    "a missing root": (
        lambda: car([manifest().cid], [named(manifest(title="Another"))]), "CarRefused", "and does not have it",
    ),
    "a lying block": (lying, "CarRefused", "the CAR lies"),
    "a root of another codec": (
        lambda: car([Cid.of(RAW, b"x")], [(Cid.of(RAW, b"x"), b"x")]), "PatternRefused", "begins with bafyrei",
    ),
    "a root that is no pattern": (lambda: of(dagcbor.encode({"hello": 1})), "PatternRefused", "manifest"),
    "a bad signature": (unsigned, "PatternRefused", "signature of a manifest is not its creator's"),
    "changed": (changed, "PatternRefused", "signature of a manifest is not its creator's"),
    "not canonical": (not_canonical, "PatternRefused", "canonical"),
    "deeply nested": (lambda: of(b"\x81" * 5000 + b"\xf6"), "PatternRefused", "nested too deeply"),
    "too many values": (lambda: of(b"\x99\x4e\x20" + b"\xf6" * 20_000), "PatternRefused", "more than"),
    "too large for a pattern": (
        lambda: of(b"\x5a" + (1_500_000).to_bytes(4, "big") + bytes(1_500_000)), "PatternRefused", "1048576 of a block",
    ),
    "too large for a block": (
        lambda: of(b"\x5a" + (3_000_000).to_bytes(4, "big") + bytes(3_000_000)), "CarRefused", "more than the",
    ),
    "a length without end": (lambda: b"\xff" * 20, "CarRefused", "a length has no end"),
    "files that unpack to 4.9 GB": (bombed, "CarRefused", "has 4,913,000,000 bytes, more than the 33,554,432 that are taken"),
    "files that are no folder": (no_folder, "CarRefused", "no folder"),
    "files that are not there": (without_files, "CarRefused", "has not all files"),
}  # fmt: skip


@pytest.fixture(scope="module")
def fox(first_device: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A device whose node runs, and which keeps a pattern: all tests share it, as none changes anything."""
    folder = tmp_path_factory.mktemp("refused")
    made = Program(folder / "fox")
    shutil.copytree(first_device[0], made.folder)
    made.run_node()
    path = learned.write(folder, "mail.md", learned.MAIL)
    assert made("pattern", "publish", path, "--consent").code == 0
    yield made
    made.close()


@pytest.fixture
def untouched(fox: Program) -> Iterator[None]:
    """Store and index are afterwards as they were before."""
    before = learned.held(fox)
    yield
    assert learned.held(fox) == before


def test_the_same_car_with_nothing_wrong_is_taken(program: Callable[[str], Program], tmp_path: Path) -> None:
    """Or the tests below would show nothing."""
    owl = program("owl")
    owl("init", "--name", "owl")
    path = tmp_path / "good.car"
    path.write_bytes(of(manifest().block))
    assert owl("pattern", "import", str(path), "--json").json["title"] == "A stranger's"


@pytest.mark.parametrize("what", CARS)
@pytest.mark.usefixtures("untouched")
def test_a_car_that_is_refused_leaves_nothing(what: str, fox: Program, tmp_path: Path) -> None:
    make, error, sentence = CARS[what]
    path = tmp_path / "given.car"
    path.write_bytes(make())
    assert sentence in fox("pattern", "import", str(path), "--json").failed(error)


FILES: dict[str, tuple[str, bytes, str]] = {
    "no text": ("a.md", b"---\ntitle: \xff\n---\nx", "UTF-8"),
    "no domain": ("a.md", b"---\ntitle: A\n---\nHello.", "domain"),
    "a typing error": ("a.md", b"---\ntitle: A\ndomain: mail\ntriger: x\n---\nHello.", "'trigger'"),
    "nested JSON": ("a.json", b"[" * 100_000, "nested"),
    "a price in fractions": ("a.json", b'{"title": "A", "domain": "b", "template": "x", "price": 0.1}', "price"),
    "a step that names no CID": (
        "self.md", b"---\ntitle: A\ndomain: mail\nkind: workflow\n---\n1. Again.\n   pattern: self.md\n", "no CID",
    ),
    "too large": ("a.md", b"---\ntitle: A\ndomain: mail\n---\n" + b"x" * (5 << 20), "more than"),
    "not of a kind that there is": ("a.md", b"---\ntitle: A\ndomain: mail\nkind: spell\n---\nx", "kind"),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
@pytest.mark.usefixtures("untouched")
def test_a_file_that_is_no_pattern_is_neither_published_nor_kept(what: str, fox: Program, tmp_path: Path) -> None:
    name, data, sentence = FILES[what]
    path = tmp_path / name
    path.write_bytes(data)
    said = fox("pattern", "publish", str(path), "--consent").sentence
    assert sentence in said
    assert str(path) in said
    assert fox("pattern", "import", str(path)).sentence == said


@pytest.mark.usefixtures("untouched")
def test_a_cid_that_is_none_or_of_no_pattern_is_refused(fox: Program, tmp_path: Path) -> None:
    (kept,) = fox("pattern", "list", "--json").json["patterns"]
    raw, far = str(Cid.of(RAW, b"x")), str(Cid.of(DAG_CBOR, b"that nobody has"))
    for command in (["show"], ["use"], ["import"], ["rate", "--success", "yes"], ["forget"]):
        name, *more = command
        said = fox("pattern", name, "bafy", *more, "--json").failed("CidRefused")
        assert "'bafy' is no CID: one begins with b and has 59 characters" in said
        assert "bafyrei" in fox("pattern", name, raw, *more, "--json").failed("PatternRefused")
    wrong = kept["cid"][:-1] + "b"  # bits that have no meaning
    assert "is no CID" in fox("pattern", "show", wrong, "--json").failed("CidRefused")
    missing = fox("pattern", "import", "no-such-file.md").sentence
    assert missing.startswith("there is no such file, and 'no-such-file.md' is no CID")
    assert "there is no such file, and 'bbb" in fox("pattern", "import", "b" * 5000).sentence
    said = fox("pattern", "show", far, "--json").failed("BlockUnavailable")
    assert said == (
        f"{far} was not found; asked: your devices (0 connected), and no stranger, as the door to them is shut:"
        " `mycelnode config set swarm.enabled true`, and start the node again"
    )


def test_no_workflow_can_come_back_to_itself(fox: Program, program: Callable[[str], Program], tmp_path: Path) -> None:
    """A CID is made of what it names: the file that names its own pattern's CID is another pattern, with another CID."""
    owl = program("owl")
    owl("init", "--name", "owl")
    owl.run_node()
    seen: list[str] = [str(Cid.of(DAG_CBOR, b"the beginning"))]
    for _ in range(3):
        path = learned.write(tmp_path, "report.md", learned.REPORT.format(cid=seen[-1]))
        seen.append(owl("pattern", "import", path, "--json").json["cid"])
    assert len(set(seen)) == len(seen)
    car_path = tmp_path / "last.car"
    owl("pattern", "export", seen[-1], "--format", "car", "--output", str(car_path))
    said = json.dumps(owl("pattern", "show", seen[-1], "--json").json["manifest"])
    assert seen[-2] in said
    assert seen[-1] not in said
