"""How much of what is private is found by its form, beside presidio, and what generalising hides: in one run, on one set.

``python -m benchmarks.ours.detectors [COUNT] [SEED]`` takes the sentences of `benchmarks.ours.generalise`. Something is found if
no word of it is outside of what a tool marks, but for `GENERIC`; marking more than that is not held against any.
``--slowest`` prints what the slowest detector takes for the texts of 100 kB of `tests.privacy.hostile`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks import install
from benchmarks.ours.generalise import COUNT, SEED, invented, left
from benchmarks.ours.world import Numbers, job
from mycelnode.privacy.detectors import DETECTORS, Detector, detect
from mycelnode.privacy.generalise import generalise
from mycelnode.privacy.lists import GENERIC
from tests.privacy.hostile import bombs

TRIES = 5  # of a detector on a text: the quickest counts, as the machine has others to serve

Marks = list[tuple[float, list[tuple[int, int]]]]  # per text: milliseconds, and the spans that are marked
Tool = Callable[[Sequence[str]], Marks]


def presidio(texts: Sequence[str]) -> Marks:
    """By the peer, in its environment. Raises `install.Missing`."""
    done = subprocess.run(
        [install.python(install.PRIVACY), "-m", "benchmarks.peers.presidio"],
        cwd=Path(__file__).parent.parent.parent,
        input="".join(json.dumps(text) + "\n" for text in texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return [(ms, [(start, end) for start, end in spans]) for ms, spans in map(json.loads, done.stdout.splitlines())]


def _timed(find: Callable[[str], list[tuple[int, int]]], texts: Sequence[str]) -> Marks:
    find("the first one reads the lists, and asks +1 212 555 0147")
    marks = []
    for text in texts:
        started = perf_counter()
        spans = find(text)
        marks.append((1000 * (perf_counter() - started), spans))
    return marks


def detectors(texts: Sequence[str]) -> Marks:
    """By our detectors alone."""
    return _timed(lambda text: [(found.start, found.end) for found in detect(text)], texts)


def generaliser(texts: Sequence[str]) -> Marks:
    """By all our rules: what is no public word goes."""
    return _timed(lambda text: [(slot.start, slot.end) for slot in generalise(text).slots], texts)


TOOLS: dict[str, Tool] = {"presidio": presidio, "detectors": detectors, "generalise": generaliser}


def measure(sentences: Sequence[dict[str, Any]], tool: Tool, *, lower: bool) -> tuple[dict[str, float], float]:
    """Per type the share of entities that are found, and milliseconds of a usual sentence. Raises `install.Missing`."""
    texts = [sentence["text"].lower() if lower else sentence["text"] for sentence in sentences]
    kept = [number for number, text in enumerate(texts) if len(text) == len(sentences[number]["text"])]
    marks = tool([texts[number] for number in kept])
    found: dict[str, list[bool]] = defaultdict(list)
    for number, (_, spans) in zip(kept, marks, strict=True):
        one = sentences[number]
        found[one["type"]].append(set(left(texts[number], one["start"], one["end"], spans)) <= GENERIC)
    return {kind: sum(each) / len(each) for kind, each in found.items()}, statistics.median(ms for ms, _ in marks)


def slowest(texts: Mapping[str, str], those: Iterable[Detector] = DETECTORS) -> tuple[float, str, str]:
    """Milliseconds that the slowest detector takes for the text that is worst for it; its name, and that of the text."""
    worst = (0.0, "", "")
    for detector in those:
        list(detector("+49 30 1234567 DE89370400440532013000 4111111111111111"))  # what is imported once
        for name, text in texts.items():
            best = float("inf")
            for _ in range(TRIES):
                started = process_time()
                for _ in detector(text):
                    pass
                best = min(best, 1000 * (process_time() - started))
                if best <= worst[0]:
                    break
            worst = max(worst, (best, str(getattr(detector, "__name__", detector)), name))
    return worst


async def numbers(_: Path) -> Numbers:
    """What the table shows of ours: mean recall, the median of a sentence, and the slowest detector."""
    return {**_row(detectors, ""), **_row(generaliser, "hidden_"), "slowest_ms": slowest(bombs())[0]}


async def peer_s(_: Path) -> Numbers:
    """And of presidio. Raises `install.Missing`."""
    return _row(presidio, "")


def _row(tool: Tool, prefix: str) -> Numbers:
    recall, ms = measure(invented(COUNT, SEED), tool, lower=False)
    return {f"{prefix}recall": statistics.mean(recall.values()), f"{prefix}ms": ms}


def main(arguments: Sequence[str]) -> None:
    """The program."""
    numbers = [int(argument) for argument in arguments]
    sentences = invented(*(*numbers, *(COUNT, SEED)[len(numbers) :]))
    columns: dict[str, tuple[dict[str, float], float]] = {}
    for name, tool in TOOLS.items():
        try:
            columns[name] = measure(sentences, tool, lower=False)
            columns[f"{name}, lower"] = measure(sentences, tool, lower=True)
        except install.Missing as reason:
            print(f"left out: {reason}")
    print(f"{'type':<14}" + "".join(f"{name:>19}" for name in columns))
    for kind in next(iter(columns.values()))[0]:
        print(f"{kind:<14}" + "".join(f"{recall[kind]:>19.1%}" for recall, _ in columns.values()))
    print(f"{'mean':<14}" + "".join(f"{sum(recall.values()) / len(recall):>19.1%}" for recall, _ in columns.values()))
    print(f"{'ms, median':<14}" + "".join(f"{ms:>19.2f}" for _, ms in columns.values()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--job"]:
            del sys.argv[1]
            job(numbers)
        case ["--presidio"]:
            del sys.argv[1]
            job(peer_s)
        case ["--slowest"]:
            ms, name, text = slowest(bombs())
            print(f"{name}: {ms:.1f} ms for 100 kB of {text!r}")
        case arguments:
            main(arguments)
