from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mycelnode.errors import ImportRefused
from mycelnode.privacy import pieces
from mycelnode.privacy.pieces import Flaw, Piece, Pieces
from tests.privacy.talk import zip_bytes

JSON = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=6) | st.sampled_from(['"', "\\", '\\"', "[{", "}]", "\u2028"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=6)


def read(path: Path) -> tuple[list[dict[str, object]], list[Flaw]]:
    with closing(Pieces(path)) as found:
        events = list(found)
    return [e.value for e in events if isinstance(e, Piece)], [e for e in events if isinstance(e, Flaw)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(OBJECTS, st.sampled_from([None, 2]), st.booleans(), st.integers(1, 9))
def test_an_array_is_read_however_it_is_cut_into_chunks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    objects: list[dict[str, object]],
    indent: int | None,
    ascii_: bool,
    chunk: int,
) -> None:
    monkeypatch.setattr(pieces, "CHUNK_BYTES", chunk)
    (tmp_path / "x").write_text(json.dumps(objects, indent=indent, ensure_ascii=ascii_), "utf-8")
    assert read(tmp_path / "x") == (objects, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(OBJECTS.filter(bool), st.sampled_from(["\n", "\r\n", "\n\n"]), st.integers(1, 9))
def test_lines_are_read_however_they_are_cut_into_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objects: list[dict[str, object]], end: str, chunk: int
) -> None:
    monkeypatch.setattr(pieces, "CHUNK_BYTES", chunk)
    (tmp_path / "x").write_bytes(
        b"\xef\xbb\xbf"[: 3 * (chunk % 2)] * (chunk >= 3) + end.join(map(json.dumps, objects)).encode()
    )
    assert read(tmp_path / "x") == (objects, [])


def test_what_is_damaged_is_named_and_what_is_around_it_is_read(tmp_path: Path) -> None:
    lines = [
        b'{"a": 1}',
        b'{"a": 1',
        b"\xff\xfe{}",
        b'{"a": 1, "a": 2}',
        b"[1]",
        b'{"a": NaN}',
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"b": 2}',
    ]
    (tmp_path / "x").write_bytes(b"\n".join(lines))
    good, flaws = read(tmp_path / "x")
    assert good == [{"a": 1}, {"b": 2}]
    assert [(flaw.where, flaw.reason) for flaw in flaws] == [(f"line {n}", "malformed") for n in range(2, 9)]
    assert [flaw.said for flaw in flaws][1:3] == ["it is not UTF-8 text", "it names 'a' twice"]
    (tmp_path / "y").write_bytes(
        b'[{"a": 1}, 5, {"a": {"b": 1, "b": 2}}, {"a": ]}, {"a": [}, "x", {"a": '
        + b"[" * 200
        + b"]" * 200
        + b'}, {"b": "]["} ] tail'
    )
    good, flaws = read(tmp_path / "y")
    assert good == [{"a": 1}, {"b": "]["}]
    assert len(flaws) == 7


def test_what_is_too_long_is_read_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(pieces, "MAX_OBJECT_BYTES", 1000)
    monkeypatch.setattr(pieces, "CHUNK_BYTES", 100)
    objects = [{"a": 1}, {"long": "x" * 5000}, {"just": "x" * 980}, {"b": 2}, {"last": "x" * 5000}]
    (tmp_path / "x").write_text("\n".join(map(json.dumps, objects)))
    (tmp_path / "y").write_text(json.dumps(objects))
    for name in "xy":
        good, flaws = read(tmp_path / name)
        assert good == [objects[0], objects[2], objects[3]]
        assert [flaw.reason for flaw in flaws] == ["long", "long"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n" * 300_000, "is empty"),
        (b"\x7fELF\x00\x01" * 50, "neither JSON Lines nor an export"),
        ("\ufeff[]".encode("utf-16"), "neither JSON Lines nor an export"),
        (b'[{"a": 1}, {"a"', "cut off"),
        (b'[{"a": "' + b"x" * 100, "cut off"),
        (b"[" * 3_000_000, "more than 4,096 brackets"),
        (b"PK\x03\x04 and then nothing of it", "damaged or truncated zip"),
        (zip_bytes({"photos.json": b"[]"}), "without a conversations.json"),
    ],
)
def test_what_is_no_export_is_refused_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ImportRefused, match=said) as refused:
        read(tmp_path / "x")
    assert "\n" not in str(refused.value)


def test_a_zip_that_is_packed_in_an_odd_way_is_to_be_unpacked_first(tmp_path: Path) -> None:
    """What bzip2 and LZMA give out at once has no bound."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("conversations.json", "[{}]")
    with pytest.raises(ImportRefused, match="unpack it first"):
        read(tmp_path / "x.zip")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(ImportRefused, match="no file that can be read"):
        read(tmp_path / "x")


def test_names_in_a_zip_are_fit_to_be_printed(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zip_bytes({"\x1b[2J/conversations.json": b"[5]"}))
    _, (flaw,) = read(tmp_path / "x.zip")
    assert flaw.where == "[2J/conversations.json, item 1"


def test_files_in_a_zip_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    files = {
        "a/conversations-001.json": b'[{"n": 2}]',
        "a/conversations-000.json": b'[{"n": 1}]',
        "a/user.json": b"[{}]",
    }
    (tmp_path / "x.zip").write_bytes(zip_bytes(files))
    assert read(tmp_path / "x.zip") == ([{"n": 1}, {"n": 2}], [])


def test_a_zip_that_is_cut_or_damaged_is_told_and_what_was_read_before_counts(tmp_path: Path) -> None:
    whole = zip_bytes(
        {"conversations.json": json.dumps([{"n": n, "x": "y" * (n % 97)} for n in range(50_000)]).encode()}
    )
    for name, content in {"cut": whole[:-40], "bent": whole[:60_000] + b"?" * 400 + whole[60_400:]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImportRefused, match="damaged or truncated"):
            read(tmp_path / name)
    with closing(Pieces(tmp_path / "bent")) as found:
        assert isinstance(next(iter(found)), Piece)


def test_a_zip_bomb_is_left_before_it_harms(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("conversations.json", "w", force_zip64=True) as file,
    ):
        for _ in range(100):
            file.write(b"[" + b" " * (1 << 20))
    with pytest.raises(ImportRefused, match="unpacks to more than 100 times its size"):
        read(tmp_path / "x.zip")


BOUNDED = """
import resource, sys
from pathlib import Path
from mycelnode.privacy.pieces import Pieces
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in Pieces(Path(sys.argv[1])):
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * RSS)
"""


@pytest.mark.parametrize("shape", ["array", "one line"])
def test_a_large_file_is_read_in_little_memory(tmp_path: Path, shape: str) -> None:
    with open(tmp_path / "x", "wb") as file:
        file.write(b"[" if shape == "array" else b'{"request": "')
        part = (b'{"x": "' + b"y" * 1000 + b'"},') * 1000 if shape == "array" else b"y" * 1_000_000
        file.writelines(part for _ in range(150))
        file.write(b"{}]" if shape == "array" else b'"}\n')
    unit = "1024" if sys.platform == "linux" else "1"
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED.replace("RSS", unit), str(tmp_path / "x")],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert int(done.stdout) < 40 << 20, "of 150 MB"
