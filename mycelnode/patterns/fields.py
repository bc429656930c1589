"""Reads a map from outside, field by field: each with its bound, and what nobody asked for is kept as it is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from mycelnode.errors import PatternRefused
from mycelnode.patterns.cid import Cid

MAX_NAME_CHARS: Final = 64  # of a field
# categories of characters: control, format (what turns a line around is among them), half ones, private, ends of lines
_HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
_JOINERS: Final = "\u200c\u200d"  # format characters that names and emoji need
T = TypeVar("T")
Extra = Mapping[str, Any]  # fields that nobody here knows, kept as they are


class Fields:
    """The fields of ``value``; ``where`` says in errors what it is. Raises `PatternRefused`, a sentence each."""

    def __init__(self, value: Any, where: str) -> None:
        if type(value) is not dict:
            raise PatternRefused(f"{where} is no map of fields")
        for name in value:
            if type(name) is not str or not 0 < len(name) <= MAX_NAME_CHARS:
                raise PatternRefused(f"{where} has a field whose name is not text of 1 to {MAX_NAME_CHARS} characters")
        self.where = where
        self._left: dict[str, Any] = dict(value)

    def text(self, name: str, most: int, default: str | None = None) -> str:
        """Text of at most ``most`` characters, which may have lines; without a ``default`` it must be there, and say something."""
        value = self._left.pop(name, default)
        if type(value) is not str or len(value) > most or (default is None and not value.strip()):
            raise self.refused(name, f"text of {'at most' if default is not None else '1 to'} {most:,} characters")
        _check_shown(value, self, name)
        return value

    def line(self, name: str, most: int, default: str | None = None) -> str:
        """The same, of one line."""
        value = self.text(name, most, default)
        if any(unicodedata.category(char) == "Cc" for char in value):
            raise self.refused(name, "one line")
        return value

    def word(self, name: str, pattern: re.Pattern[str], what: str, default: str | None = None) -> str:
        """Text that ``pattern`` matches as a whole; ``what`` describes that."""
        value = self._left.pop(name, default)
        if type(value) is not str or not pattern.fullmatch(value):
            raise self.refused(name, what)
        return value

    def number(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """An integer within bounds."""
        value = self._left.pop(name, default)
        if type(value) is not int or not low <= value <= high:
            raise self.refused(name, f"a whole number from {low:,} to {high:,}")
        return value

    def binary(self, name: str, size: int) -> bytes:
        """So many bytes."""
        value = self._left.pop(name, None)
        if type(value) is not bytes or len(value) != size:
            raise self.refused(name, f"{size} bytes")
        return value

    def link(self, name: str) -> Cid | None:
        """A CID, or None if the field is not there."""
        if name not in self._left:
            return None
        value = self._left.pop(name)
        if type(value) is not Cid:
            raise self.refused(name, "a CID")
        return value

    def each(self, name: str, most: int, read: Callable[[Any], T]) -> tuple[T, ...]:
        """A list of at most ``most``, which may be missing, each read by ``read``."""
        value = self._left.pop(name, [])
        if type(value) is not list or len(value) > most:
            raise self.refused(name, f"a list of at most {most} items")
        return tuple(read(item) for item in value)

    def lines(self, name: str, most: int, chars: int) -> tuple[str, ...]:
        """A list of lines, each of at most so many characters."""
        return self.each(name, most, lambda item: Fields({name: item}, f"{self.where}, in {name!r},").line(name, chars))

    def any(self, name: str, default: Any = None) -> Any:
        """Whatever it is."""
        return self._left.pop(name, default)

    def rest(self) -> Extra:
        """What nobody asked for: fields of a newer writer, to be kept."""
        return self._left

    def refused(self, name: str, wanted: str) -> PatternRefused:
        """Raise this."""
        return PatternRefused(f"{self.where}: {name!r} must be {wanted}")


def _check_shown(value: str, fields: Fields, name: str) -> None:
    """What a person is shown must be all there is: nothing hidden, nothing that turns the line around."""
    for char in value:
        if unicodedata.category(char) in _HIDDEN and char not in "\n\t\r" and char not in _JOINERS:
            raise fields.refused(name, f"text that can be shown, without U+{ord(char):04X}")


def present(**fields: Any) -> dict[str, Any]:
    """Of these, the fields that say something: neither None nor empty."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], ())}
