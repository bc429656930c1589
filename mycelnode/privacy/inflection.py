"""Of which words a word may be a form: tests, testing, tested → test. A rule and its exceptions, so no list of forms ships."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

IRREGULAR: Final = {
    "wrote": "write", "written": "write", "made": "make", "gave": "give", "given": "give", "taught": "teach", "drew": "draw",
    "drawn": "draw", "built": "build", "got": "get", "broke": "broken", "cvs": "cv", "prs": "pr", "children": "child",
    "analyses": "analysis", "indices": "index", "quizzes": "quiz", "quizzing": "quiz", "movies": "movie",
    "mice": "mouse", "knives": "knife", "shelves": "shelf", "halves": "half", "criteria": "criterion", "men": "man",
    "women": "woman", "feet": "foot", "teeth": "tooth", "colour": "color", "centre": "center",
    "cheque": "check", "catalogue": "catalog", "dialogue": "dialog", "organise": "organize", "practise": "practice",
    "plz": "please", "pls": "please",
}  # fmt: skip
KEPT: Final = 4_096  # words that are remembered: it makes no difference but to the time
_BRITISH: Final = (
    ("isation", "ization"),
    ("ising", "izing"),
    ("ised", "ized"),
    ("ise", "ize"),
    ("yse", "yze"),
    ("our", "or"),
)


@lru_cache(KEPT)
def forms(word: str) -> tuple[str, ...]:
    """The word, and what it may be a form of, in an order that never changes."""
    found = [word]
    for british, american in _BRITISH:
        if word.endswith((british, british + "s", british + "d", british + "r")) and len(word) > len(british) + 2:
            found.append(word.replace(british, american))
    for one in tuple(found):
        if one in IRREGULAR:
            found.append(IRREGULAR[one])
        if one.endswith("s") and len(one) > 3 and not one.endswith("ss"):
            found.append(one[:-1])
            if one.endswith("es"):
                found.append(one[:-2])
            if one.endswith("ies"):
                found.append(one[:-3] + "y")
        for ending in ("ing", "ed"):
            if one.endswith(ending) and len(one) > len(ending) + 2:
                found += _stems(one[: -len(ending)], ending)
        if one.endswith("ation") and len(one) > 8:  # a summarization
            found += [one[:-5] + "e", one[:-5]]
        if one.endswith("ion") and len(one) > 6:  # a correction
            found += [one[:-3], one[:-3] + "e"]
    return tuple(dict.fromkeys(found))


def _stems(stem: str, ending: str) -> list[str]:
    found = [stem, stem + "e"]
    if stem[-1] == stem[-2]:
        found.append(stem[:-1])
    if ending == "ed" and stem.endswith("i"):
        found.append(stem[:-1] + "y")
    return found
