"""Texts of 100 kB that make a careless pattern slow: what is nearly a match, over and over."""

from __future__ import annotations

import random
from typing import Final

SIZE: Final = 100_000

_REPEATED: Final = (
    "a", "1", "1 ", "a.", "a@", "@", ":", "a:", "1.", "/a", "a/", "ab ", "a at b dot ", "- ", "[", "-----BEGIN ", "DE89 ", "DE89",
    "+49 30 1234567 ", "4111 1111 1111 1111 ", "A1", "A1 ", "may 5 ", "1 of ", "sk-", "eyJ", "a://", "www.", "~", "\\", "(", "+(",
    "ff:", "-a", "a-", "1-", "1()", "\u200b", " ", "a.com ", "_", "a dot ", "x dot ", "dot com ", "password is ", "rue ", "1 rue ",
    "robert mark ", "\u202e", "😀", "é", "abandon ", "aban able ", "```python\n", "```python\nx=1\n```\n", "word and ",
)  # fmt: skip
_NESTED: Final = ("```python\n" + "(" * 40_000, "```json\n" + "[" * 40_000, "```python\n" + "-" * 40_000 + "1")


def bombs() -> dict[str, str]:
    """By what they are made of."""
    noise = "".join(random.Random(1).choices("abAB01 .-@:/+()[]", k=SIZE))
    return {
        **{part: (part * (SIZE // len(part) + 1))[:SIZE] for part in _REPEATED},
        **{text[:12]: text for text in _NESTED},
        "select (": "```sql\nselect " + "(" * 4_000,
        "select () ()": "```sql\nselect " + "(" * 2_000 + "1" + ")" * 2_000,
        "noise": noise,
    }
