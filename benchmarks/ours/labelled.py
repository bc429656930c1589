"""What generalising hides of texts in which others marked what is private, and what it takes of the rest.

``python -m benchmarks.ours.labelled [--show]`` reads `benchmarks/labelled`: a text in each line, ``\\n`` for a line break, with
``[[type|what is private]]`` in it, by language models that saw neither rules nor lists. ``--show`` also prints what was missed.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.ours.generalise import left
from benchmarks.ours.ordinary import Lost
from benchmarks.ours.world import Numbers, job
from mycelnode.privacy.generalise import generalise
from mycelnode.privacy.lists import GENERIC

TEXTS: Final = Path(__file__).parent.parent / "labelled"
# Shown, and no part of the mean: an illness is a public word, and says of nobody who it is.
WHAT_NOT_WHO: Final = {"health"}

_MARK = re.compile(r"\[\[([a-z -]+)\|(.*?)\]\]", re.DOTALL)


class Piece(NamedTuple):
    """Something private in a text: half-open, in code points."""

    kind: str
    start: int
    end: int


def parse(line: str) -> tuple[str, list[Piece]]:
    """The text of a line, without the marks, and what was marked in it."""
    line = line.replace("\\n", "\n")
    text, pieces, at = "", [], 0
    for mark in _MARK.finditer(line):
        text += line[at : mark.start()]
        pieces.append(Piece(mark[1], len(text), len(text) + len(mark[2])))
        text += mark[2]
        at = mark.end()
    return text + line[at:], pieces


@dataclass
class Hidden:
    """Of one file: which pieces of each type were hidden, what was missed, and what was lost beside."""

    pieces: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    missed: list[str] = field(default_factory=list)
    lost: Lost = field(default_factory=Lost)

    def add(self, text: str, pieces: list[Piece]) -> None:
        """Count one text. In one that is dropped as a whole everything is hidden."""
        result = generalise(text)
        slots = [(slot.start, slot.end) for slot in result.slots]
        for kind, start, end in pieces:
            words = [] if result.dropped else left(text, start, end, slots)
            self.pieces[kind].append(set(words) <= GENERIC)
            if not self.pieces[kind][-1]:
                self.missed.append(f"{kind}: {text[start:end]!r}, left are {', '.join(words)}")
        self.lost.add(text, [(start, end) for _, start, end in pieces])

    @property
    def mean(self) -> float:
        """Over the types that say who somebody is, the share that was hidden."""
        shares = [sum(found) / len(found) for kind, found in self.pieces.items() if kind not in WHAT_NOT_WHO]
        return sum(shares) / len(shares)


def measured(folder: Path = TEXTS) -> Iterator[tuple[str, Hidden]]:
    """Of each file, by its name."""
    for file in sorted(folder.glob("*.txt")):
        hidden = Hidden()
        for line in file.read_text(encoding="utf-8").splitlines():
            hidden.add(*parse(line))
        yield file.stem, hidden


async def measure(_: Path) -> Numbers:
    """What the table shows: the file of which least is hidden, and that which loses most."""
    files = dict(measured())
    return {"hidden": min(one.mean for one in files.values()), "lost": max(one.lost.share for one in files.values())}


def show(*, whole: bool = False) -> None:
    """Print the shares of all types; ``whole``: and what was missed."""
    for name, one in measured():
        print(f"{name:<16}{'hidden':>8}{'of':>6}")
        for kind, found in sorted(one.pieces.items()):
            print(f"  {kind:<14}{sum(found):>8}{len(found):>6}{'   not in the mean' if kind in WHAT_NOT_WHO else ''}")
        print(f"  {'mean':<14}{one.mean:>8.1%}")
        print(f"  {'words lost':<14}{one.lost.share:>8.1%} of {one.lost.words:,}")
        for line in one.missed if whole else ():
            print(f"  missed {line}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--job"]:
        del sys.argv[1]
        job(measure)
    else:
        show(whole="--show" in sys.argv[1:])
