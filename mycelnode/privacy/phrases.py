"""Recovery phrases in a text: whoever has one has the money, so the whole turn is dropped, not only the words.

A phrase is 12 words or more of BIP-39's English list in a row, with whatever numbers and punctuation between them; or so many of
their first four letters, by which each is known, that their checksum is right.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from mycelnode.privacy.detectors import Found

LEAST: Final = 12  # words of the shortest phrase
LENGTHS: Final = (12, 15, 18, 21, 24)
SURELY: Final = 48  # so many words or beginnings of words are one without a look at the checksum
PREFIX: Final = 4  # letters by which a word of the list is known

_WORD = re.compile(r"[^\W\d_]+")


@cache
def _list() -> tuple[dict[str, int], frozenset[str]]:
    """What stands for which number, and the words written out."""
    from mnemonic import Mnemonic

    words = Mnemonic("english").wordlist
    numbers = {word[:PREFIX]: number for number, word in enumerate(words)}
    return numbers | {word: number for number, word in enumerate(words)}, frozenset(words)


def listed() -> frozenset[str]:
    """The words of the list."""
    return _list()[1]


def recovery_phrases(text: str) -> Iterator[Found]:
    """Each stretch that is, or has in it, a recovery phrase."""
    numbers, whole = _list()
    row: list[tuple[int, int, int, bool]] = []
    for match in _WORD.finditer(text):
        word = match[0].lower()
        number = numbers.get(word)
        if number is None:
            if row:
                yield from _phrase(row)
                row = []
        else:
            row.append((*match.span(), number, word in whole))
    yield from _phrase(row)


def _phrase(row: Sequence[tuple[int, int, int, bool]]) -> Iterator[Found]:
    if len(row) < LEAST:
        return
    run = longest = 0
    for *_, whole in row:
        run = run + 1 if whole else 0
        longest = max(longest, run)
    numbers = [number for _, _, number, _ in row]
    if (
        longest >= LEAST
        or len(row) >= SURELY
        or any(checksum_holds(numbers[at : at + length]) for length in LENGTHS for at in range(len(row) - length + 1))
    ):
        yield Found(row[0][0], row[-1][1], "PHRASE", "a recovery phrase")


def checksum_holds(numbers: Sequence[int]) -> bool:
    """Is that a phrase? BIP-39: 11 bits a word; for each 32 bits of entropy one bit of its SHA-256 at the end."""
    bits = 0
    for number in numbers:
        bits = bits << 11 | number
    check = len(numbers) * 11 // 33
    size = len(numbers) * 11 - check
    digest = hashlib.sha256((bits >> check).to_bytes(size // 8, "big")).digest()
    return bits & ((1 << check) - 1) == digest[0] >> (8 - check)
