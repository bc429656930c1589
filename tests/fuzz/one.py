"""`python -m tests.fuzz.one TARGET --inputs N`: one decoder under coverage-guided fuzzing (atheris), until N inputs are through.

Most inputs are libFuzzer's own, bytes changed where that led to new code before; others are values changed inside a CBOR encoding.
Ends with 0 and one JSON line, or with the input that broke a promise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mycelnode", "mycel_simnet"], enable_loader_override=False):
    from tests.fuzz.guard import Target
    from tests.fuzz.mutations import mutate
    from tests.fuzz.targets import TARGETS

MAX_BYTES = 8192  # of one input
HANG_SECONDS = 20  # then libFuzzer ends the process
MEMORY_MB = 1536  # of the process, likewise
OWN = 4  # one input of so many is made by `mutate`, which takes longer than most decoders
TRACED = 64  # one input of so many is watched by tracemalloc, which makes it slow


def main() -> None:
    """Run one target."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    target, seeds = TARGETS[options.target], list(TARGETS[options.target].seeds())
    corpus = Path(tempfile.mkdtemp(prefix="mycel-corpus-"))
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    run = _Run(target, options.inputs, corpus)

    def changed(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % OWN:
            return bytes(atheris.Mutate(data, max_size))
        return mutate(bytes(data), random.Random(seed), seeds)[:max_size]

    flags = [f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={MAX_BYTES}", f"-seed={options.seed}"]
    flags += ["-verbosity=0", "-print_final_stats=0", f"-artifact_prefix={corpus}/", str(corpus)]
    atheris.Setup([sys.argv[0], *flags], run.one_input, custom_mutator=changed)
    atheris.Fuzz()


class _Run:
    def __init__(self, target: Target, inputs: int, corpus: Path) -> None:
        self.target, self.inputs, self.corpus = target, inputs, corpus
        self.unhurried = target.unhurried()  # for those whose memory is traced
        self.done = self.accepted = 0
        self.started, self.cpu = time.monotonic(), time.process_time()

    def one_input(self, data: bytes) -> None:
        if self.done % TRACED:
            self.accepted += self.target.feed(data)
        else:
            tracemalloc.start()
            self.accepted += self.unhurried.feed_within_memory(data)
            tracemalloc.stop()
        self.done += 1
        if self.done >= self.inputs:
            self.end()

    def end(self) -> None:
        """Say what was done, and leave libFuzzer, which would go on."""
        grown = sum(1 for _ in self.corpus.iterdir())
        shutil.rmtree(self.corpus, ignore_errors=True)
        took = {"seconds": round(time.monotonic() - self.started, 1), "cpu": round(time.process_time() - self.cpu, 1)}
        found = {"target": self.target.name, "inputs": self.done, "accepted": self.accepted, "corpus": grown, **took}
        print(json.dumps(found), flush=True)
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
