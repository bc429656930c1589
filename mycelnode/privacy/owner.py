"""The owner's dictionary: what a person, and nobody else, knows to be private: names of friends, clients, projects, pets.

It is entered by hand or comes from the address book, and is the same on all devices; it is never fed from turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from mycelnode.privacy.detectors import Found

MAX_ENTRY_WORDS: Final = 16

_WORD = re.compile(r"\w+")


class Dictionary:
    """Entries of one word or several, found whatever their case and the punctuation between their words."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._entries: dict[str, set[tuple[str, ...]]] = {}  # by their first word
        for entry in entries:
            words = tuple(_WORD.findall(entry.casefold()))[:MAX_ENTRY_WORDS]
            if words:
                self._entries.setdefault(words[0], set()).add(words)

    def find(self, text: str) -> Iterator[Found]:
        """Where an entry stands in a text; the longest one at each place. They say nothing about what they are."""
        if not self._entries:
            return
        matches = list(_WORD.finditer(text))
        words = [match[0].casefold() for match in matches]
        for place, word in enumerate(words):
            fitting = [
                entry for entry in self._entries.get(word, ()) if tuple(words[place : place + len(entry)]) == entry
            ]
            if fitting:
                last = matches[place + max(map(len, fitting)) - 1]
                yield Found(matches[place].start(), last.end(), "TEXT", "in your dictionary")
