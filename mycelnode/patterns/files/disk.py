"""Pattern files on a disk: which of the formats one has, read within bounds and without following links, and never written over.

Blocking: whoever serves others meanwhile calls it in a thread.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from mycelnode.errors import PatternFileRefused, PatternRefused
from mycelnode.patterns.files.draft import Draft
from mycelnode.patterns.files.folder import MAX_FILES, MAX_PARTS, MAX_TOTAL_BYTES, check_files, check_path
from mycelnode.patterns.files.skill import MAIN, read_skill, write_skill
from mycelnode.patterns.files.texts import read_json_file, read_markdown, write_json_file, write_markdown
from mycelnode.patterns.pattern import Pattern

MAX_FILE_BYTES: Final = 4 << 20  # of a text that holds a pattern, which has a quarter of that as a block
MAX_ENTRIES: Final = 4 * MAX_FILES  # of a folder, with what is left out
Format = Literal["json", "markdown", "skill"]

_SUFFIXES: Final[Mapping[str, Format]] = {".json": "json", ".md": "markdown", ".markdown": "markdown"}
_LEFT_OUT: Final = frozenset(
    ("__pycache__", "node_modules")
)  # what a tool made, beside all whose names begin with a dot


def read_file(path: Path) -> Draft:
    """The draft in a JSON or Markdown file, or in the folder of a skill (or its `SKILL.md`).

    Raises `PatternFileRefused`: a sentence that names the file, and the line and field where it can.
    """
    with _naming(path):
        if path.is_dir():
            return _read_folder(path)
        if path.name == MAIN:
            return _read_folder(path.parent)
        data = read_bounded(path, MAX_FILE_BYTES, follow=True)  # the person named it
    with _naming(path):
        text = decode_text(data)
        if (_SUFFIXES.get(path.suffix.lower()) or _guess(text)) == "json":
            return read_json_file(text)
        return read_markdown(text)


def write_file(what: Draft | Pattern, form: Format, path: Path) -> None:
    """Write a new file, or for a skill a new folder, which nothing may be yet.

    The files of a draft are written beside `SKILL.md`; the other formats have only the link to them, which `Draft.of` a
    pattern has. Raises `PatternFileRefused`.
    """
    draft = Draft.of(what) if isinstance(what, Pattern) else what
    with _naming(path):
        if form == "skill":
            _write_folder(draft, path)
            return
        if draft.files:
            raise PatternFileRefused(f"files travel with this pattern, which {form} cannot hold: write it as a skill")
        _write_new(path, (write_json_file(draft) if form == "json" else write_markdown(draft)).encode())


def decode_text(data: bytes) -> str:
    """The text of a file: UTF-8, with or without a byte order mark, without NUL. Raises `PatternFileRefused`."""
    if len(data) > MAX_FILE_BYTES:
        raise PatternFileRefused(f"it has more than {MAX_FILE_BYTES >> 20} MiB, and no pattern is as long")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PatternFileRefused(f"line {line}: this is no text in UTF-8: save it as that") from error
    if (at := text.find("\0")) >= 0:
        raise PatternFileRefused(f"line {text.count(chr(10), 0, at) + 1}: it holds a NUL, so it is no text")
    return text


def read_bounded(path: Path, most: int, *, follow: bool = False) -> bytes:
    """A regular file of at most ``most`` bytes, itself no link unless ``follow``; nothing that waits is opened.

    Raises `PatternFileRefused` or `OSError`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PatternFileRefused("it is no regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise PatternFileRefused(f"it has more than {most >> 20} MiB, and no pattern is as long")
    return data


def _guess(text: str) -> Format:
    """The format of a file whose name does not tell."""
    if re.match(r"\s*\{", text):
        return "json"
    if text.startswith("---"):
        return "markdown"
    raise PatternFileRefused(
        "this is no pattern: give a .json file, a .md file that begins with a line ---, or the folder of a skill"
    )


def _read_folder(root: Path) -> Draft:
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    room = MAX_TOTAL_BYTES
    for entry, path in _walk(root, left_out):
        if path == MAIN:
            continue
        check_path(path)
        if len(files) == MAX_FILES:
            raise PatternFileRefused(
                f"the folder has more than {MAX_FILES} files: leave out what the skill does not need"
            )
        with _naming_inside(path):
            files[path] = read_bounded(entry, room)
        room -= len(files[path])
    check_files(files, MAIN)
    main = root / MAIN
    if not main.is_file():
        raise PatternFileRefused(f"it is a folder without {MAIN}, and so no skill")
    with _naming_inside(MAIN):
        draft = read_skill(decode_text(read_bounded(main, MAX_FILE_BYTES)), files)
    return Draft(draft.said, draft.files, tuple(left_out))


def _walk(root: Path, left_out: list[str]) -> Iterator[tuple[Path, str]]:
    """The files below ``root`` and their paths, in order; links and what is neither file nor folder are refused."""
    waiting, seen = [(root, "")], 0
    while waiting:
        folder, before = waiting.pop()
        with os.scandir(folder) as entries:
            found = []
            for entry in entries:
                seen += 1
                if seen > MAX_ENTRIES:
                    raise PatternFileRefused(f"the folder has more than {MAX_ENTRIES:,} files and folders")
                found.append(entry)
        for entry in sorted(found, key=lambda entry: entry.name):
            path = before + entry.name
            if entry.name.startswith(".") or entry.name in _LEFT_OUT:
                left_out.append(path)
            elif entry.is_symlink():
                raise PatternFileRefused(f"{path[:80]!r} is a link, which is not followed: put the file itself there")
            elif entry.is_dir(follow_symlinks=False):
                if path.count("/") + 2 > MAX_PARTS:
                    raise PatternFileRefused(
                        f"{path[:80]!r} is a folder too deep inside: at most {MAX_PARTS} names make a path"
                    )
                waiting.append((Path(entry.path), path + "/"))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path), path
            else:
                raise PatternFileRefused(f"{path[:80]!r} is neither a file nor a folder")


def _write_folder(draft: Draft, root: Path) -> None:
    name = root.resolve().name
    text = write_skill(draft, name)
    if "files" in draft.said and not draft.files:
        raise PatternFileRefused("files travel with this pattern: fetch them, and give them together with it")
    check_files(draft.files, MAIN)
    root.mkdir(parents=True)
    try:
        for path, data in [*draft.files.items(), (MAIN, text.encode())]:
            place = root.joinpath(*path.split("/"))
            place.parent.mkdir(parents=True, exist_ok=True)
            _write_new(place, data)
    except OSError:
        shutil.rmtree(root, ignore_errors=True)  # nothing was in it: it is new
        raise


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is said of it."""
    try:
        yield
    except FileExistsError as error:
        raise PatternFileRefused(f"{path}: something of this name is there already: choose another") from error
    except OSError as error:
        raise PatternFileRefused(f"{path}: {error.strerror or error}") from error
    except PatternRefused as error:
        said = str(error)
        raise PatternFileRefused(f"{path}{', ' if said.startswith(('line ', 'in ')) else ': '}{said}") from error


@contextmanager
def _naming_inside(path: str) -> Iterator[None]:
    try:
        yield
    except PatternRefused as error:
        said = str(error)
        raise PatternFileRefused(f"in {path}{', ' if said.startswith('line ') else ': '}{said}") from error
