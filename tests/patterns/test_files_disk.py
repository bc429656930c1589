"""Pattern files on a disk: the formats are told apart, nothing is followed or written over, and what is too much is refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import PatternFileRefused
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.files import Draft, Format, disk, folder, name_of, read_file, write_file
from mycelnode.patterns.files.texts import write_json_file
from mycelnode.patterns.pattern import Pattern

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples" / "patterns"
GOLDEN = Path(__file__).parent / "files"
SKILL = "---\nname: a-skill\ndescription: What it does.\n---\nDo it.\n"
LINK = Cid.of(DAG_CBOR, b"a folder")


def pattern_of(draft: Draft) -> Pattern:
    return draft.pattern(bytes(32), 0, LINK if draft.files else None)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*")), ids=lambda path: path.name)
def test_files_say_what_they_said(path: Path) -> None:
    """Golden files: what is read of each, as JSON, and in the block of which pattern."""
    if path.name == "expected.json":
        return
    expected = json.loads((GOLDEN / "expected.json").read_text())[path.name]
    draft = read_file(path)
    assert json.loads(write_json_file(draft)) == expected["says"]
    assert str(Cid.of(DAG_CBOR, dagcbor.encode(pattern_of(draft).write()))) == expected["cid"]
    assert sorted(draft.files) == expected["files"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_the_examples_are_patterns_and_come_back_from_every_format(path: Path, tmp_path: Path) -> None:
    draft = read_file(path)
    forms: dict[Format, str] = {
        "skill": name_of(draft),
        **({} if draft.files else {"json": "a.json", "markdown": "a.md"}),
    }
    for form, name in forms.items():
        write_file(draft, form, tmp_path / name)
        assert read_file(tmp_path / name) == draft


def test_the_examples_are_of_all_kinds() -> None:
    drafts = [read_file(path) for path in EXAMPLES.iterdir()]
    assert {draft.kind for draft in drafts} == {"prompt", "code", "adapter", "workflow"}
    assert any(draft.files for draft in drafts)


def test_the_page_for_people_says_what_is_read(tmp_path: Path) -> None:
    """Every whole example on the page is read, and the table names every field."""
    page = (ROOT / "docs" / "pattern-files.md").read_text()
    found = re.findall(r"^(`{3,})(json|markdown)\n(.*?)^\1$", page, re.DOTALL | re.MULTILINE)
    assert {kind for _, kind, _ in found} == {"json", "markdown"}
    for number, (_, kind, text) in enumerate(found):
        place = tmp_path / str(number)
        place.mkdir()
        name = "SKILL.md" if "\nname: " in text else {"json": "a.json", "markdown": "a.md"}[kind]
        (place / name).write_text(text)
        assert read_file(place / name)
    from mycelnode.patterns.files.draft import KEYS

    assert [key for key in KEYS if f"`{key}`" not in page] == []


def test_the_format_is_told_by_the_name_or_by_how_it_begins(tmp_path: Path) -> None:
    text = '{"title": "x", "domain": "x", "template": "x"}'
    for name in ("a.json", "a.JSON", "a", "a.txt"):
        (tmp_path / name).write_text("\ufeff" + text)
        assert read_file(tmp_path / name).title == "x"
    (tmp_path / "b").write_text("---\ntitle: y\ndomain: y\n---\ny")
    assert read_file(tmp_path / "b").title == "y"
    (tmp_path / "c").write_text("hello")
    with pytest.raises(PatternFileRefused, match=r"c: this is no pattern: give a \.json file"):
        read_file(tmp_path / "c")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"---\ntitle: \xff\n---\n", "a.md, line 2: this is no text in UTF-8"),
        (b"---\ntitle: x\n---\n\0", "a.md, line 4: it holds a NUL"),
        (b"x" * (disk.MAX_FILE_BYTES + 1), "a.md: it has more than 4 MiB"),
        (b"---\ntitle: x\ndomain: X\n---\nx", "a.md, line 3: a pattern: 'domain' must be"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(data: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(data)
    with pytest.raises(PatternFileRefused) as found:
        read_file(tmp_path / "a.md")
    assert sentence in str(found.value)


def skill(root: Path) -> Path:
    (root / "a-skill" / "scripts").mkdir(parents=True)
    (root / "a-skill" / "SKILL.md").write_text(SKILL)
    (root / "a-skill" / "scripts" / "run.sh").write_bytes(b"#!/bin/sh\r\n\0")
    return root / "a-skill"


def test_a_skill_comes_back_with_its_files(tmp_path: Path) -> None:
    place = skill(tmp_path)
    (place / ".env").write_text("a secret")
    (place / "scripts" / "__pycache__").mkdir()
    draft = read_file(place)
    assert draft.files == {"scripts/run.sh": b"#!/bin/sh\r\n\0"}
    assert draft.left_out == (".env", "scripts/__pycache__")
    assert read_file(place / "SKILL.md") == draft
    write_file(draft, "skill", tmp_path / "out" / "a-skill")
    assert read_file(tmp_path / "out" / "a-skill") == draft
    assert (tmp_path / "out" / "a-skill" / "SKILL.md").read_text() == SKILL
    pattern = pattern_of(draft)
    assert pattern.files == LINK
    assert Draft.of(pattern, draft.files) == draft


def _link(place: Path) -> None:
    (place / "scripts" / "passwd").symlink_to("/etc/passwd")


def _link_to_folder(place: Path) -> None:
    (place / "etc").symlink_to("/etc")


def _main_is_link(place: Path) -> None:
    (place / "SKILL.md").rename(place.parent / "other.md")
    (place / "SKILL.md").symlink_to(place.parent / "other.md")


def _pipe(place: Path) -> None:
    os.mkfifo(place / "pipe")


def _many(place: Path) -> None:
    for number in range(folder.MAX_FILES + 1):
        (place / f"f{number}").touch()


def _many_hidden(place: Path) -> None:
    for number in range(disk.MAX_ENTRIES):
        (place / f".f{number}").touch()


def _large(place: Path) -> None:
    with (place / "large").open("wb") as file:
        file.truncate(folder.MAX_TOTAL_BYTES + 1)  # sparse


def _deep(place: Path) -> None:
    place.joinpath(*"abcdefgh").mkdir(parents=True)


def _odd_name(place: Path) -> None:
    (place / "a\nb").touch()


def _not_utf8(place: Path) -> None:
    (place / os.fsdecode(b"\xff")).touch()


def _no_main(place: Path) -> None:
    (place / "SKILL.md").unlink()


WRONG: list[tuple[Any, str]] = [
    (_link, "'scripts/passwd' is a link, which is not followed"),
    (_link_to_folder, "'etc' is a link, which is not followed"),
    (_main_is_link, "'SKILL.md' is a link, which is not followed"),
    (_pipe, "'pipe' is neither a file nor a folder"),
    (_many, "more than 500 files"),
    (_many_hidden, "more than 2,000 files and folders"),
    (_large, "in large: it has more than 32 MiB"),
    (_deep, "a folder too deep inside"),
    (_odd_name, "holds a character that not every system can have"),
    (_not_utf8, "holds a character that not every system can have"),
    (_no_main, "a folder without SKILL.md"),
]


@pytest.mark.parametrize(("spoil", "sentence"), WRONG, ids=[spoil.__name__ for spoil, _ in WRONG])
def test_a_folder_that_holds_something_else_is_refused(spoil: Any, sentence: str, tmp_path: Path) -> None:
    place = skill(tmp_path)
    spoil(place)
    with pytest.raises(PatternFileRefused) as found:
        read_file(place)
    assert sentence in str(found.value)


def test_a_pipe_or_nothing_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with pytest.raises(PatternFileRefused, match="no regular file"):
        read_file(tmp_path / "a.md")
    with pytest.raises(PatternFileRefused, match="No such file"):
        read_file(tmp_path / "b.md")


BAD_PATHS = [
    "../x", "/x", "a//b", "a/../b", "./a", "", ".ssh/x", "a/.x", "a\\b", "a\0b", "c:x", "a\u202eb", "a.", "a/b /c", "SKILL.md",
    "skill.MD",    "SKILL.md/x", "x" * 201, "/".join("abcdefghi"),
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS)
def test_files_of_others_lead_nowhere_else(path: str, tmp_path: Path) -> None:
    place = tmp_path / "a-skill"
    draft = Draft(read_file(skill(tmp_path / "in")).said, {"ok": b"", path: b"x"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PatternFileRefused):
        write_file(draft, "skill", place)
    assert sorted(tmp_path.rglob("*")) == before  # nothing was written anywhere


def test_names_that_are_one_on_some_system_are_refused() -> None:
    for files in ({"a": b"", "A": b""}, {"a": b"", "a/b": b""}, {"é": b"", "e\u0301": b""}, {"a/b": b"", "A": b""}):
        with pytest.raises(PatternFileRefused):
            folder.check_files(files, "SKILL.md")


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_a_path_that_is_taken_stays_inside(path: str) -> None:
    try:
        folder.check_path(path)
    except PatternFileRefused:
        return
    inside = Path("/any/folder") / path
    assert os.path.normpath(inside) == str(inside)
    assert inside.is_relative_to("/any/folder")
    assert inside != Path("/any/folder")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    draft = read_file(EXAMPLES / "largest-files.md")
    (tmp_path / "a.json").write_text("mine")
    (tmp_path / "find").mkdir()
    for form, name in (("json", "a.json"), ("skill", "find")):
        with pytest.raises(PatternFileRefused, match="there already"):
            write_file(draft, form, tmp_path / name)  # type: ignore[arg-type]
    assert (tmp_path / "a.json").read_text() == "mine"
    assert list((tmp_path / "find").iterdir()) == []


def test_files_go_only_into_a_skill(tmp_path: Path) -> None:
    draft = read_file(EXAMPLES / "customer-reply")
    with pytest.raises(PatternFileRefused, match="write it as a skill"):
        write_file(draft, "json", tmp_path / "a.json")
    pattern = pattern_of(draft)
    with pytest.raises(PatternFileRefused, match="fetch them"):
        write_file(pattern, "skill", tmp_path / "customer-reply")
    write_file(pattern, "json", tmp_path / "a.json")  # the link to them
    assert pattern_of(read_file(tmp_path / "a.json")) == pattern
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json"]
