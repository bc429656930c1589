"""How much of what is private a generalised text still has, and what of the ordinary words it lost.

``python -m benchmarks.ours.generalise [COUNT] [SEED] [--show TYPE]`` asks the peers' environment for invented sentences
(`benchmarks.peers.invented`), and prints per type how many entities were caught: none of their words is left, but for `GENERIC`.
Below is what is lost of requests that others wrote (`benchmarks.ours.ordinary`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import install
from benchmarks.ours import ordinary
from mycelnode.privacy.generalise import generalise
from mycelnode.privacy.lists import GENERIC

COUNT, SEED = 140, 1  # sentences of each type

_WORD = re.compile(r"\w+")


def invented(count: int, seed: int) -> list[dict[str, Any]]:
    """The sentences. Raises `install.Missing`."""
    command = [install.python(), "-m", "benchmarks.peers.invented", str(count), str(seed)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent.parent, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def left(text: str, start: int, end: int, spans: Iterable[tuple[int, int]]) -> list[str]:
    """The words between two places that no span covers."""
    spans = list(spans)
    return [
        match[0].lower()
        for match in _WORD.finditer(text, start, end)
        if not any(first <= match.start() and match.end() <= last for first, last in spans)
    ]


def _carrier(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    yield 0, start
    yield end, len(text)


def measure(
    sentences: Sequence[dict[str, Any]], *, lower: bool
) -> tuple[dict[str, float], float, float, dict[str, list[str]]]:
    """Per type the share of caught entities; the share of ordinary words lost; milliseconds a sentence; and what was missed."""
    caught: dict[str, list[bool]] = defaultdict(list)
    missed: dict[str, list[str]] = defaultdict(list)
    words = lost = 0
    seconds = 0.0
    generalise("the first one reads the lists")
    for sentence in sentences:
        text = sentence["text"].lower() if lower else sentence["text"]
        if len(text) != len(sentence["text"]):  # a letter that becomes two
            continue
        start, end = sentence["start"], sentence["end"]
        started = perf_counter()
        result = generalise(text)
        seconds += perf_counter() - started
        spans = [(slot.start, slot.end) for slot in result.slots]
        caught[sentence["type"]].append(set(left(text, start, end, spans)) <= GENERIC)
        if not caught[sentence["type"]][-1]:
            missed[sentence["type"]].append(f"{text}  →  {result.output}")
        for one, other in _carrier(text, start, end):
            words += len(_WORD.findall(text[one:other]))
            lost += len(_WORD.findall(text[one:other])) - len(left(text, one, other, spans))
    recall = {kind: sum(found) / len(found) for kind, found in caught.items()}
    return recall, lost / words, 1000 * seconds / len(sentences), missed


def main(arguments: Sequence[str]) -> None:
    """The program."""
    show = arguments[arguments.index("--show") + 1] if "--show" in arguments else ""
    numbers = [int(argument) for argument in arguments if argument.isdigit()]
    sentences = invented(*(*numbers, *(COUNT, SEED)[len(numbers) :]))
    cased, lost, ms, missed = measure(sentences, lower=False)
    lowered, lost_lower, ms_lower, missed_lower = measure(sentences, lower=True)
    print(f"{'type':<14}{'as it is':>10}{'lower case':>12}")
    for kind in cased:
        print(f"{kind:<14}{cased[kind]:>10.1%}{lowered[kind]:>12.1%}")
    print(f"{'mean':<14}{sum(cased.values()) / len(cased):>10.1%}{sum(lowered.values()) / len(lowered):>12.1%}")
    print(f"{'words lost':<14}{lost:>10.1%}{lost_lower:>12.1%}")
    print(f"{'ms a sentence':<14}{ms:>10.2f}{ms_lower:>12.2f}")
    ordinary.show()
    for line in (*missed[show], "— lower case —", *missed_lower[show]) if show else ():
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
