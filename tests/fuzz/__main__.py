"""`python -m tests.fuzz --inputs N [TARGET …]`: every decoder and machine, each in a process of its own, and a table of what was
done.

Ends with 1 if one of them broke a promise; then its input is shown. `make soak` runs this.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.fuzz.targets import DECODERS, TARGETS

SECONDS_PER_INPUT = 0.1  # far above any; for a process that libFuzzer itself could not end
CHATTER = ("INFO: Instrumenting", "WARNING: Failed to find")  # of atheris: it would push out what a target says
LAST_LINES = 60
SLOWER = 10  # of a machine, which needs a millisecond or more, that part of the inputs is taken


def run(name: str, inputs: int, seed: int) -> dict[str, Any]:
    """One target; what it says of itself, with ``error`` if it broke a promise."""
    command = [sys.executable, "-m", "tests.fuzz.one", name, "--inputs", str(inputs), "--seed", str(seed)]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=600 + inputs * SECONDS_PER_INPUT, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"target"')]
    if done.returncode == 0 and lines:
        return dict(json.loads(lines[-1]))
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(CHATTER)]
    return {"target": name, "inputs": 0, "error": "\n".join(said[-LAST_LINES:])}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    names = options.targets or list(TARGETS)
    decoders = {target.name for target in DECODERS}
    wrong = 0
    print(
        "| target | inputs | accepted | kept as new | CPU seconds |", "|---|---:|---:|---:|---:|", sep="\n", flush=True
    )
    with ThreadPoolExecutor(options.jobs) as pool:
        counts = [options.inputs if name in decoders else -(-options.inputs // SLOWER) for name in names]
        for found in pool.map(run, names, counts, [options.seed] * len(names)):
            if "error" in found:
                wrong += 1
                print(f"| {found['target']} | **broken** | | | |\n\n{found['error']}\n", flush=True)
                continue
            row = (
                found["target"],
                f"{found['inputs']:,}",
                f"{found['accepted'] / found['inputs']:.0%}",
                found["corpus"],
            )
            print("|", " | ".join(map(str, (*row, found["cpu"]))), "|", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
