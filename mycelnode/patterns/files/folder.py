"""Which files may travel with a pattern: their paths and sizes, whoever says them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from mycelnode.errors import PatternFileRefused

MAX_FILES: Final = 500
MAX_TOTAL_BYTES: Final = 32 << 20  # they are held in memory at once
MAX_PATH_CHARS: Final = 500
MAX_PART_BYTES: Final = 200  # file systems end at 255
MAX_PARTS: Final = 8

_BAD_CATEGORIES: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
_BAD_CHARS: Final = frozenset('\\:*?"<>|')  # with which some file system does something of its own


def check_files(files: Mapping[str, bytes], main: str) -> None:
    """Refuse what cannot be written to a new folder, beside a file ``main``, on every system. Raises `PatternFileRefused`."""
    if len(files) > MAX_FILES:
        raise PatternFileRefused(
            f"more than {MAX_FILES} files cannot travel with a pattern: leave out what it does not need"
        )
    if sum(map(len, files.values())) > MAX_TOTAL_BYTES:
        raise PatternFileRefused(
            f"the files that travel with a pattern have more than {MAX_TOTAL_BYTES >> 20} MiB: leave out what it does not need"
        )
    folded = {_folded(main): False}  # a path, and whether it is a folder
    for path in sorted(files):
        check_path(path)
        parts = _folded(path).split("/")
        for end in range(1, len(parts)):
            if not folded.setdefault("/".join(parts[:end]), True):
                raise PatternFileRefused(f"{path!r} would be inside of a file")
        if "/".join(parts) in folded:
            raise PatternFileRefused(f"{path!r} is the name of another file or folder, on some systems: rename it")
        folded["/".join(parts)] = False


def check_path(path: str) -> None:
    """Refuse a path that leads out of its folder, is hidden, or that some system cannot have. Raises `PatternFileRefused`."""
    shown = repr(path[:80])
    if len(path) > MAX_PATH_CHARS or path.count("/") >= MAX_PARTS:
        raise PatternFileRefused(f"the path {shown} is longer than {MAX_PATH_CHARS} characters or {MAX_PARTS} names")
    if any(char in _BAD_CHARS or unicodedata.category(char) in _BAD_CATEGORIES for char in path):
        raise PatternFileRefused(
            f"the path {shown} holds a character that not every system can have in a name: rename it"
        )
    for part in path.split("/"):
        if not part or part.startswith(".") or part[-1] in ". " or len(part.encode()) > MAX_PART_BYTES:
            raise PatternFileRefused(
                f"{shown} is no path of a file inside the folder: names are not empty, and begin with no dot"
            )


def _folded(path: str) -> str:
    """As file systems compare names that do not look at case or at how a letter is composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
