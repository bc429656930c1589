"""How memory, start-up and catch-up grow with history, devices and values; docs/scale.md has the full run.

``python -m benchmarks.scale [--entries N] [--devices N] [--megabytes N] [--json] [--plot DIR]``
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import _scenes
from benchmarks._scenes import Point

ENTRIES = 20_000
DEVICES = 8
MEGABYTES = 20
FULL = {"entries": 1_000_000, "devices": 50, "megabytes": 200}
DEVICE_STEPS = (2, 5, 10, 20, 50, 100)
OF_DEVICES_ENTRIES = 5_000  # in the meshes of more and more devices
VALUES_DEVICES = 5
BAR = 30


def steps(last: int, first: int, factor: int = 10) -> list[int]:
    """From ``first``, each ten times the one before, to ``last``."""
    found = [last]
    while found[0] >= 2 * first:
        found.insert(0, max(first, found[0] // factor))
    return found


def measure(base: Path, only: str | None, entries: int, devices: int, megabytes: int) -> Iterator[Point]:
    """All points."""
    if only in (None, "history"):
        yield from _scenes.history(base / "history", devices, steps(entries, 1000), progress)
        shutil.rmtree(base / "history")
    if only in (None, "devices"):
        counts = [*(step for step in DEVICE_STEPS if step < devices), devices]
        yield from _scenes.devices(base / "devices", counts, OF_DEVICES_ENTRIES, progress)
    if only in (None, "values"):
        yield from _scenes.values(base / "values", min(VALUES_DEVICES, devices), steps(megabytes, 2), progress)


def progress(what: str, part: float) -> None:
    """A bar on a terminal."""
    if sys.stderr.isatty():
        done = round(BAR * min(1.0, part))
        sys.stderr.write(f"\r[{'#' * done}{' ' * (BAR - done)}] {what:<50}\r")
        sys.stderr.flush()


def row(point: Point) -> dict[str, object]:
    """A figure as every benchmark prints it."""
    ratio = point.value / point.floor if point.floor else None
    return {
        "name": f"scale: {point.curve} @ {point.x}",
        "unit": point.unit,
        "ours": point.value,
        "peer": None,
        "floor": point.floor,
        "ratio": ratio,
    }


def show(points: Iterable[Point]) -> None:
    """Each curve on a line."""
    curves: dict[str, list[Point]] = {}
    for point in points:
        curves.setdefault(point.curve, []).append(point)
    width = max(map(len, curves))
    for curve, found in curves.items():
        cells = "  ".join(f"{point.x:>9,}: {_figure(point.value):>8}" for point in found)
        print(f"{curve:<{width}}  {found[0].unit:<10} {cells}")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES, help="of history (%(default)s)")
    parser.add_argument("--devices", type=int, default=DEVICES, help="in one mesh (%(default)s)")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="of values (%(default)s)")
    parser.add_argument("--full", action="store_true", help=f"as in docs/scale.md: {FULL}")
    parser.add_argument("--only", choices=["history", "devices", "values"], help="one of the three parts")
    parser.add_argument("--json", action="store_true", help="one object for each figure")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the curves there (needs matplotlib)")
    chosen = parser.parse_args()
    sizes = (
        FULL if chosen.full else {"entries": chosen.entries, "devices": chosen.devices, "megabytes": chosen.megabytes}
    )
    points = []
    with tempfile.TemporaryDirectory(prefix="mycel-scale-") as base:
        for point in measure(Path(base), chosen.only, **sizes):
            points.append(point)
            if chosen.json:
                print(json.dumps(row(point)), flush=True)
    if not chosen.json:
        show(points)
    if chosen.plot is not None:
        from benchmarks._scale_plots import draw

        draw(points, chosen.plot)


if __name__ == "__main__":
    main()
