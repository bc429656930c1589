"""A file cut into its JSON objects, one at a time, in bounded memory: JSON Lines, one large array, or a zip of such arrays.

What is damaged is told as a `Flaw`, and the reading goes on behind it.
"""

from __future__ import annotations

import json
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from mycelnode.errors import ImportRefused, shown

CHUNK_BYTES: Final = 256 << 10
MAX_LINE_BYTES: Final = 8 << 20  # a turn of a MiB, most of it as the six characters that JSON may take for one
MAX_OBJECT_BYTES: Final = 32 << 20  # a conversation in an export; parsed, it may take twenty times that
MAX_DEPTH: Final = 100  # of brackets: exports have about ten
MAX_OPEN: Final = 1 << 12  # brackets that are remembered while the end of what is too deep is looked for
MAX_MEMBERS: Final = 1_000  # files of a zip that are looked at
MAX_RATIO: Final = 100  # what text is packed to at best; a bomb is packed to a thousandth
RATIO_FROM_BYTES: Final = 64 << 20  # less than that harms nobody

ZIP_MAGIC: Final = b"PK"
BOM: Final = b"\xef\xbb\xbf"
WHITE: Final = b" \t\r\n"
_MEMBER = re.compile(r"(?:.*/)?conversations[^/]*\.json", re.IGNORECASE)
_NEXT = re.compile(  # past whole strings and whatever is not in one, to a bracket, or to a string that this chunk does not end
    rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+(["\[\]{}])?', re.DOTALL
)
_QUOTE = ord('"')
_CLOSING: Final = {ord("["): ord("]"), ord("{"): ord("}")}
_INSIDE: Final = 2  # the depth of an element
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)  # what is left of one


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is no object: ``reason`` is a word to count by, ``said`` what is wrong, for people, ``where`` in the file."""

    reason: str
    said: str
    where: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A JSON object, and where in the file it is."""

    value: dict[str, Any]
    where: str


Event = Piece | Flaw | None  # None: a while has passed, and nothing was found


class Pieces:
    """The objects in a file; iterating reads it. ``done`` of ``total`` bytes were read so far."""

    def __init__(self, path: Path) -> None:
        """Raises `ImportRefused` if the file cannot be opened."""
        self.path = path
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
                raise ImportRefused(f"{path} is no file that can be read from its beginning to its end")
            self._file = open(path, "rb")  # noqa: SIM115 -- closed by `close`
            self.total = path.stat().st_size
        except OSError as error:
            raise ImportRefused(f"{path} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def done(self) -> int:
        """Bytes of the file that were read."""
        return 0 if self._file.closed else self._file.tell()

    def __iter__(self) -> Iterator[Event]:
        """Raises `ImportRefused` where no more can be read."""
        try:
            head = self._file.read(4)
            self._file.seek(0)
            if head.startswith(ZIP_MAGIC):
                yield from self._unzipped()
            else:
                yield from _objects(self._file.read, str(self.path), "")
        except OSError as error:
            raise ImportRefused(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _unzipped(self) -> Iterator[Event]:
        damaged = f"{self.path} is a damaged or truncated zip file"
        try:
            with zipfile.ZipFile(self._file) as archive:
                members = [item for item in archive.infolist() if _MEMBER.fullmatch(item.filename)]
                if not members:
                    raise ImportRefused(
                        f"{self.path} is a zip file without a conversations.json, so no export known here"
                    )
                if len(members) > MAX_MEMBERS:
                    raise ImportRefused(
                        f"{self.path} is a zip file with more than {MAX_MEMBERS} files of conversations"
                    )
                for member in sorted(members, key=lambda item: item.filename):
                    if member.flag_bits & 1:
                        raise ImportRefused(f"{self.path} is locked by a password; unpack it first")
                    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise NotImplementedError  # these give out as much at once as they like
                    with archive.open(member) as unpacked:
                        yield from _objects(
                            self._metered(unpacked, member), str(self.path), f"{shown(member.filename)}, "
                        )
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ImportRefused(damaged) from error
        except (NotImplementedError, ValueError, OverflowError, RuntimeError) as error:
            raise ImportRefused(
                f"{self.path} is a zip file of a kind that is not read here; unpack it first"
            ) from error

    def _metered(self, unpacked: IO[bytes], member: zipfile.ZipInfo) -> Callable[[int], bytes]:
        size = 0

        def read(wanted: int) -> bytes:
            nonlocal size
            data = unpacked.read(wanted)
            size += len(data)
            if size > max(RATIO_FROM_BYTES, MAX_RATIO * member.compress_size):
                raise ImportRefused(
                    f"{self.path} unpacks to more than {MAX_RATIO} times its size, as only files made to do harm do"
                )
            return data

        return read


# --- one stream of bytes -----------------------------------------------------------------------------------------------------


def _objects(read: Callable[[int], bytes], name: str, prefix: str) -> Iterator[Event]:
    """The objects of an array, or of lines, whichever the first byte says."""
    first = read(CHUNK_BYTES)
    start = first.removeprefix(BOM).lstrip(WHITE)
    while not start and (more := read(CHUNK_BYTES)):
        yield None
        start = more.lstrip(WHITE)
    if not start:
        raise ImportRefused(f"{name} is empty")

    def chunks() -> Iterator[bytes]:
        nonlocal start
        yield start
        start = b""
        while data := read(CHUNK_BYTES):
            yield data

    if start.startswith(b"["):
        yield from _elements(chunks(), name, prefix)
    elif start.startswith(b"{"):
        yield from _lines(chunks(), prefix)
    else:
        raise ImportRefused(f"{name} holds no turns: it is neither JSON Lines nor an export that is known here")


def _lines(chunks: Iterator[bytes], prefix: str) -> Iterator[Event]:
    """JSON Lines. One that is too long is read past, and not kept."""
    held, number, dropping = bytearray(), 1, False
    for data in chunks:
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            held += data[start:end]
            where = f"{prefix}line {number}"
            if dropping or len(held) > MAX_LINE_BYTES:
                yield Flaw("long", f"a line of more than {MAX_LINE_BYTES >> 20} MiB", where)
            elif held.strip(WHITE):
                yield parsed(bytes(held), where)
            held.clear()
            number, dropping, start = number + 1, False, end + 1
        if not dropping:
            held += data[start:]
        if len(held) > MAX_LINE_BYTES:
            held.clear()
            dropping = True
        yield None
    if dropping:
        yield Flaw("long", f"a line of more than {MAX_LINE_BYTES >> 20} MiB", f"{prefix}line {number}")
    elif held.strip(WHITE):
        yield parsed(bytes(held), f"{prefix}line {number}")


def _elements(chunks: Iterator[bytes], name: str, prefix: str) -> Iterator[Event]:
    """The elements of an array."""
    cutter = _Cutter(prefix)
    for data in chunks:
        yield from cutter.feed(data)
        yield None
    if not cutter.ended:
        raise ImportRefused(f"{name} is cut off: it ends in the middle of its list")


class _Cutter:
    """Finds the elements of an array in what comes in chunks: only brackets and strings are looked at for that."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._held = bytearray()  # of the element that is not complete yet
        self._rest = b""  # half of an escape, at the end of a chunk
        self._open = bytearray()  # what closes the brackets that are open
        self._number = 0
        self._in_string = self._long = self._deep = False
        self.ended = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """The elements that end in the next chunk."""
        data, self._rest = self._rest + data, b""
        place = start = 0  # where the element that is not complete yet begins in this chunk, or what lies between two
        while place < len(data) and not self.ended:
            if self._in_string:
                place = self._end_of_string(data, place)
                continue
            found = _NEXT.match(data, place)
            if found is None or found.lastindex is None:
                break
            place, before = found.end(), found.start(1)
            first = data[before]
            if first == _QUOTE:
                self._in_string = True
            elif first in _CLOSING:
                self._deep |= len(self._open) >= MAX_DEPTH
                if len(self._open) >= MAX_OPEN:
                    raise ImportRefused(f"{self._where(1)} opens more than {MAX_OPEN:,} brackets, as no export does")
                self._open.append(_CLOSING[first])
                if len(self._open) == _INSIDE:
                    yield from self._between(data[start:before])
                    start = before
                elif len(self._open) < _INSIDE:
                    start = place
            elif self._closes(first):
                if len(self._open) == _INSIDE - 1:
                    yield self._element(data[start:place])
                    start = place
                elif not self._open:
                    yield from self._between(data[start:before])
                    self.ended, start = True, place
        end = len(data) - len(self._rest)
        if len(self._open) >= _INSIDE:
            self._hold(data[start:end])
        else:
            yield from self._between(data[start:end])

    def _closes(self, bracket: int) -> bool:
        """Close what ``bracket`` belongs to, and what was left open inside. In an element it never closes the list itself: so one
        that is damaged takes as few of the others with it as can be.
        """
        place = self._open.rfind(bracket)
        if place < 0 or (place == 0 and len(self._open) >= _INSIDE):
            return False
        del self._open[place:]
        return True

    def _end_of_string(self, data: bytes, place: int) -> int:
        """Where the string ends in this chunk, or the chunk does."""
        found = _STRING.match(data, place)
        assert found is not None  # it matches nothing, too
        end = found.end()
        if end < len(data) and data[end] == _QUOTE:
            self._in_string = False
            return end + 1
        self._rest = data[end:]
        return len(data)

    def _hold(self, data: bytes) -> None:
        if not self._long and len(self._held) + len(data) <= MAX_OBJECT_BYTES:
            self._held += data
        else:
            self._held.clear()
            self._long = True

    def _between(self, data: bytes) -> Iterator[Flaw]:
        """What lies around the elements is white space and commas."""
        if data.strip(WHITE + b","):
            yield Flaw("malformed", "something between the brackets is no JSON object", self._where(1))

    def _element(self, data: bytes) -> Event:
        self._hold(data)
        whole, long, deep = bytes(self._held), self._long, self._deep
        self._held.clear()
        self._long = self._deep = False
        self._number += 1
        if long:
            return Flaw("long", f"a conversation of more than {MAX_OBJECT_BYTES >> 20} MiB", self._where())
        if deep:
            return Flaw("malformed", "it is nested too deeply", self._where())
        return parsed(whole, self._where())

    def _where(self, ahead: int = 0) -> str:
        return f"{self._prefix}item {self._number + ahead}"


def parsed(data: bytes, where: str) -> Piece | Flaw:
    """One object from its bytes; ``where`` they are."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError:
        return Flaw("malformed", "it is not UTF-8 text", where)
    except RecursionError:
        return Flaw("malformed", "it is nested too deeply", where)
    except _Twice as error:
        return Flaw("malformed", f"it names {str(error)[:40]!r} twice", where)
    except ValueError:
        return Flaw("malformed", "it is not JSON", where)
    if not isinstance(value, dict):
        return Flaw("malformed", "it is no JSON object", where)
    return Piece(value, where)


class _Twice(Exception):
    """A key comes twice: readers differ on which of the two counts."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Twice(key)
            seen.add(key)
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
