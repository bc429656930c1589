"""``python -m benchmarks``: measure, print the table, keep the results. ``--help`` lists the options."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks import install, jobs, report, rows
from benchmarks.data import Sizes


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure mycelnode beside its peers.")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="rows whose name contains NAME; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured; medians count (default 5)")
    parser.add_argument(
        "--size", type=int, default=10_000, metavar="N", help="keys, elements, entries (default 10,000)"
    )
    parser.add_argument("--times", type=int, default=20, help="repetitions of what is short (default 20)")
    parser.add_argument("--idle-seconds", type=int, default=10, help="how long an idle node is watched (default 10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per row instead of the table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="keep rows and all measurements in FILE (JSON)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the plots into FOLDER")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="rewrite the generated part of a Markdown page")
    parser.add_argument(
        "--from", type=Path, dest="earlier", metavar="FILE", help="measure nothing: take the results in FILE"
    )
    return parser.parse_args(arguments)


def _machine(rounds: int, size: int) -> dict[str, object]:
    """The class of the machine, not the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory": f"{memory:.0f} GiB",
        "system": platform.system(),
        "Python": platform.python_version(),
        "rounds": rounds,
        "N": f"{size:,}",
    }


def _tell(started: float, text: str) -> None:
    print(f"[{monotonic() - started:5.0f} s] {text}", file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is wanted, and return what the results file holds."""
    specs = rows.matching(options.only)
    if not specs:
        sys.exit(
            f"no row is called {' or '.join(options.only)}; there are: {', '.join(spec.name for spec in rows.SPECS)}"
        )
    wanted = set().union(*(spec.jobs for spec in specs))
    scale = jobs.Scale(options.size, options.times, options.idle_seconds)
    chosen = [job for job in jobs.jobs(scale) if job.name in wanted]
    started = monotonic()
    runs, skipped = jobs.run_all(chosen, options.rounds, lambda text: _tell(started, text))
    found = rows.rows(runs, skipped, Sizes(options.size), specs)
    return {
        "machine": _machine(options.rounds, options.size),
        "rows": [json.loads(row.to_json()) for row in found],
        "measurements": runs,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The program."""
    options = _arguments(arguments)
    try:
        results: dict[str, Any] = json.loads(options.earlier.read_text()) if options.earlier else measure(options)
    except jobs.Failed as error:
        sys.exit(str(error))
    found = [rows.Row(**{name: value for name, value in row.items() if name != "met"}) for row in results["rows"]]
    for row in found if options.json else ():
        print(row.to_json())
    if not options.json:
        print(report.table(found))
    text = json.dumps(results, indent=1) + "\n"
    if options.output:
        options.output.write_text(text)
    drawn = _draw(text, options.plots) if options.plots else []
    if options.docs:
        shown = [os.path.relpath(plot, options.docs.parent) for plot in drawn]
        report.rewrite(options.docs, report.markdown(found, results["machine"], shown))


def _draw(results: str, folder: Path) -> list[Path]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(results)
        file.flush()
        try:
            command = [install.python(), str(Path(__file__).parent / "plots.py"), file.name, str(folder)]
        except install.Missing as error:
            sys.exit(f"no plots: {error}")
        subprocess.run(command, check=True)
    return sorted(folder.glob("bench-*.png"))


if __name__ == "__main__":
    main()
