"""What share of the ordinary words of other people's requests generalising takes out, names and addresses among them.

``python -m benchmarks.ours.ordinary [--show]`` reads those habits of `benchmarks.ours.keys` whose authors did not know the rules.
Words are those made of letters alone, outside of code in fences. ``--show`` also prints which rules took most, and which words.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ours.keys import HABITS
from benchmarks.ours.world import Numbers, job
from mycelnode.privacy.generalise import generalise

OTHERS = ("fresh", "varied", "unseen")  # splits: nobody made the rules with them
SHOWN = 10

_WORD = re.compile(r"\w+")
_FENCED = re.compile(r"^(`{3,}|~{3,}).*?(?:^\1|\Z)", re.MULTILINE | re.DOTALL)


@dataclass
class Lost:
    """Of some texts: how many words they have, and how often each was lost, by the reason for it."""

    words: int = 0
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Of the words."""
        return self.taken.total() / self.words if self.words else 0.0

    def add(self, text: str, private: Iterable[tuple[int, int]] = ()) -> None:
        """Count one text, but for what is ``private`` in it (half-open spans)."""
        apart = [*private, *(match.span() for match in _FENCED.finditer(text))]
        slots = generalise(text).slots
        for match in _WORD.finditer(text):
            at = match.start()
            if match[0].isalpha() and not any(start <= at < end for start, end in apart):
                self.words += 1
                reason = next((slot.reason for slot in slots if slot.start <= at < slot.end), None)
                if reason is not None:
                    self.taken[reason, match[0].lower()] += 1

    def most(self) -> Iterable[tuple[str, int, str]]:
        """The reasons that took most: how many words, and the most frequent of them."""
        reasons: Counter[str] = Counter()
        for (reason, _), many in self.taken.items():
            reasons[reason] += many
        for reason, many in reasons.most_common(SHOWN):
            words = [word for (why, word), _ in self.taken.most_common() if why == reason]
            yield reason, many, ", ".join(words[:SHOWN])


def lost(path: Path = HABITS) -> Mapping[str, Lost]:
    """Of each split of others."""
    found: dict[str, Lost] = defaultdict(Lost)
    with path.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["split"] in OTHERS:
                found[row["split"]].add(row["request"])
    return found


async def measure(_: Path) -> Numbers:
    """What the table shows: the share of the split that loses most."""
    return {"lost": max(one.share for one in lost().values())}


def show(*, whole: bool = False) -> None:
    """Print the share of each split; ``whole``: and what was taken."""
    for split, one in lost().items():
        print(f"words lost, requests of others, {split:<8}{one.share:>6.1%} of {one.words:,}")
        for reason, many, words in one.most() if whole else ():
            print(f"  {many:>5} {reason}: {words}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--job"]:
        del sys.argv[1]
        job(measure)
    else:
        show(whole="--show" in sys.argv[1:])
