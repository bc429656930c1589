"""The CID of a large file, beside `ipfs add --only-hash` by the same profile. Arguments: repetitions, bytes.

Each is a process of its own that reads the file and keeps nothing; the two take turns, and must find the same CID. Without Kubo its
numbers are left out. Program: ``python -m benchmarks.ours.cids FILE`` is our half.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import trio

from benchmarks.data import PIECE_BYTES, V1_2025
from benchmarks.ours.world import Numbers, job
from mycelnode.patterns.unixfs import write_file
from tests.peers.install import Missing, kubo_program


def _only_hash(path: Path) -> None:
    with path.open("rb") as file:
        added = write_file(file, lambda cid, block: None)
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    print(json.dumps({"cid": str(added.cid), "peak_mb": None if peak is None else int(peak[1]) / 1000}))


def _run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[float, str]:
    started = perf_counter()
    done = subprocess.run(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True, check=True)
    return perf_counter() - started, done.stdout


def _ours(path: Path) -> tuple[float, dict[str, object]]:
    taken, said = _run([sys.executable, "-m", "benchmarks.ours.cids", str(path)], {})
    found: dict[str, object] = json.loads(said)
    return taken, found


def _write(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for start in range(0, size, PIECE_BYTES):
            file.write(os.urandom(min(PIECE_BYTES, size - start)))


def _kubo(folder: Path) -> tuple[str, dict[str, str]] | None:
    """The program, and the environment with a repository; None, with the reason on standard error, if it is not here."""
    try:
        program = str(kubo_program())
    except Missing as error:
        print(error, file=sys.stderr)
        return None
    environ = {"IPFS_PATH": str(folder / "repo"), "IPFS_TELEMETRY": "off", "HOME": str(folder)}
    _run([program, "init", "--profile=test"], environ)
    return program, environ


def _all(folder: Path, times: int, size: int) -> Numbers:
    small, large = folder / "small", folder / "large"
    _write(small, 1 << 20)
    _write(large, size)
    kubo = _kubo(folder)
    ours, theirs, peaks = list[float](), list[float](), list[float]()
    for _ in range(times):
        taken, found = _ours(large)
        ours.append(size / taken / 1e6)
        if found["peak_mb"] is not None:
            peaks.append(float(str(found["peak_mb"])))
        if kubo is not None:
            program, environ = kubo
            taken, said = _run([program, "add", "-Q", "--only-hash", *V1_2025, str(large)], environ)
            theirs.append(size / taken / 1e6)
            if said.strip() != found["cid"]:
                raise AssertionError(f"Kubo calls it {said.strip()}, and we {found['cid']}")
    numbers = {"ours_mb_s": statistics.median(ours)}
    if peaks:
        numbers["peak_mb"] = statistics.median(peaks)
        numbers["small_peak_mb"] = float(str(_ours(small)[1]["peak_mb"]))
    if theirs:
        numbers["kubo_mb_s"] = statistics.median(theirs)
    return numbers


async def measure(folder: Path, times: int, size: int) -> Numbers:
    """Medians: MB/s from the start of a process to its end, and the most memory that ours took, with a file of 1 MiB beside it."""
    return await trio.to_thread.run_sync(_all, folder, times, size)


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        job(measure)
    else:
        _only_hash(Path(sys.argv[1]))
