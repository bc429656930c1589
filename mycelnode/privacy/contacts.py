"""The names in an address book, out of what it exports: vCards, or a CSV as Google and Outlook write it.

A vCard is specified in RFC 6350 (4.0), RFC 2426 (3.0) and, as phones still write it, "vCard, The Electronic Business Card, Version
2.1" of the versit Consortium (1996). Only names are read, and with patience: who exports a book cannot mend it, and a card that is
broken, or cut off, still gives what can be read of it. Phone numbers and addresses are not read: detectors find those.
"""

from __future__ import annotations

import csv
import io
import quopri
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from unicodedata import normalize

from mycelnode.errors import ContactsRefused

# Columns of a CSV by what they hold, of Google (earlier ones: Additional Name, Organization 1 - Name, Name) and of Outlook.
COLUMNS: Final[Mapping[str, str]] = {
    "first name": "given", "given name": "given", "last name": "family", "family name": "family", "middle name": "more",
    "additional name": "more", "nickname": "more", "name": "more", "organization name": "more", "organization 1 - name": "more",
    "company": "more",
}  # fmt: skip
_SEVERAL: Final = " ::: "  # stands between several values in one cell of Google's

_BEGIN: Final = re.compile(r"(?:\A|[\r\n])BEGIN:VCARD", re.IGNORECASE)
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")  # not `splitlines`: U+2028 and others may be in a value
_PROPERTY: Final = re.compile(
    r'(?:[\w-]++\.)?(?P<name>FN|N|NICKNAME|ORG)(?P<parameters>(?:;(?:[^":;]++|"[^"]*+")*+)*+):(?P<value>.*)',
    re.IGNORECASE | re.DOTALL,
)
_QUOTED: Final = "QUOTED-PRINTABLE"  # in 2.1 also without ENCODING= before it
# Character sets that phones wrote. Not all that Python knows: some of those are no character sets.
_CHARSET: Final = re.compile(
    r'CHARSET="?(utf-8|iso-8859-\d+|windows-125\d|koi8-[ru]|shift_jis|euc-(?:jp|kr)|gb(?:2312|k|18030)|big5)\b',
    re.IGNORECASE,
)


def names(text: str) -> list[str] | None:
    """Each name in an address book, once; ``None`` if the text is no address book. Raises `ContactsRefused`."""
    text = text.lstrip("\ufeff\r\n")
    found = _cards(text) if _BEGIN.search(text) else _rows(text)
    if found is None:
        return None
    kept = list(dict.fromkeys(filter(_tells, (" ".join(normalize("NFC", one).split()) for one in found))))
    if not kept:
        raise ContactsRefused("the address book holds no names")
    return kept


def _tells(name: str) -> bool:
    """Whether it is worth an entry: an initial would take each such letter out of all texts, and a number is no name."""
    return sum(map(str.isalnum, name)) > 1 and any(map(str.isalpha, name))


# --- vCards --------------------------------------------------------------------------------------------------------------


def _cards(text: str) -> Iterator[str]:
    for line in _unfolded(text):
        if found := _PROPERTY.match(line):
            yield from _values(found["name"].upper(), found["parameters"], found["value"])


def _values(name: str, parameters: str, value: str) -> Iterator[str]:
    """The names in one property."""
    if name == "FN":
        yield _plain(value, parameters)
    elif name in ("NICKNAME", "ORG"):
        for part in _split(value, "," if name == "NICKNAME" else ";"):
            yield _plain(part, parameters)
    else:  # family; given; additional; prefixes; suffixes: each may be several
        parts = [*_split(value, ";"), "", ""][:3]
        family, given, more = ([_plain(one, parameters) for one in _split(part, ",")] for part in parts)
        yield from (*family, *given, *more, " ".join((*given, *family)))


def _unfolded(text: str) -> Iterator[str]:
    """Lines as they were before they were folded to be short. What is no property, such as a photo's base64, is among them."""
    parts: list[str] = []  # joined once: a photo is folded thousands of times
    old = quoted = soft = False
    for match in _LINE.finditer(text):
        raw = match[0].rstrip("\r\n")
        if soft:
            parts.append(raw)
        elif raw.startswith((" ", "\t")) and parts:
            parts.append(raw if old else raw[1:])  # 2.1 folds at a space, which stays; later ones put one in
        else:
            yield "".join(parts)
            parts = [raw]
            head = raw.strip().upper()
            old = head == "VERSION:2.1" or (old and head != "BEGIN:VCARD")
            quoted = _QUOTED in head.partition(":")[0]
        soft = quoted and raw.endswith("=")
        if soft:
            parts[-1] = parts[-1][:-1]
    yield "".join(parts)


def _split(value: str, separator: str) -> list[str]:
    """The parts between separators, other than those with a backslash before them."""
    cuts = [one.start() for one in re.finditer(rf"\\.|{separator}", value, re.DOTALL) if one[0] == separator]
    return [value[start:end] for start, end in zip((0, *(cut + 1 for cut in cuts)), (*cuts, len(value)), strict=True)]


def _plain(value: str, parameters: str) -> str:
    """A value without its encoding and its backslashes."""
    if _QUOTED in parameters.upper():
        charset = found[1] if (found := _CHARSET.search(parameters)) else "utf-8"
        content = quopri.decodestring(value.encode(errors="replace"))
        try:
            value = content.decode(charset)
        except (LookupError, UnicodeDecodeError):
            value = content.decode("latin-1")  # as phones wrote that said nothing
    return re.sub(r"\\(.)", lambda found: " " if found[1] in "nN" else found[1], value, flags=re.DOTALL)


# --- CSV -----------------------------------------------------------------------------------------------------------------


def _rows(text: str) -> Iterable[str] | None:
    """The names in a CSV; ``None`` if the first line is not the head of one."""
    first = _LINE.match(text)
    head = first[0].rstrip("\r\n") if first else ""
    delimiter = max(",;\t", key=head.count)  # spreadsheets write `;` where a comma is in numbers
    try:
        columns = [one.strip().casefold() for one in next(csv.reader([head], delimiter=delimiter), [])]
        if len(columns) < 2 or not any(one in COLUMNS or one.endswith("name") for one in columns):
            return None
        if COLUMNS.keys().isdisjoint(columns):
            raise ContactsRefused("the file looks like a CSV, and has none of the columns " + ", ".join(COLUMNS))
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:  # not read half: what is after an open quote would be missing, and nobody would know
        raise ContactsRefused(f"the file looks like a CSV, and cannot be read as one: {error}") from None
    return (name for row in rows[1:] for name in _named(columns, row))


def _named(columns: list[str], row: list[str]) -> Iterator[str]:
    found: dict[str, list[str]] = {"given": [], "family": [], "more": []}
    for column, cell in zip(columns, row, strict=False):  # rows may be short
        if column in COLUMNS:
            found[COLUMNS[column]] += cell.split(_SEVERAL)
    yield from (name for some in found.values() for name in some)
    yield " ".join((*found["given"], *found["family"]))
