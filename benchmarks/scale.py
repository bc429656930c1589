"""How memory, start-up and catch-up grow with history, devices and values; docs/scale.md says how to read it."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from os.path import relpath
from pathlib import Path

from benchmarks import _scenes, install
from benchmarks._points import Point

ENTRIES, DEVICES, MEGABYTES = 20_000, 8, 20
FULL = {"entries": 1_000_000, "devices": 50, "megabytes": 200}
DEVICE_STEPS = (2, 5, 10, 20, 50, 100)
OF_DEVICES_ENTRIES = 5_000  # in the meshes of more and more devices
VALUES_DEVICES = 5
BAR = 30
PARTS = {
    "history": "history grows, the document does not; by entries",
    "changes": "two devices meet after changes at one of them; by changes",
    "loopback": "two nodes over Noise and yamux on loopback, beside that; by entries",
    "away": "a device that was away, for the whole year at the last point; by the entries that it missed",
    "devices": "devices in the mesh",
    "crowd": "all connected with all; by devices",
    "values": "the document grows; by MB of values of 1 KiB",
}
BEGIN, END = "<!-- scale: begin (written by `python -m benchmarks.scale --docs`) -->", "<!-- scale: end -->"


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
    """A figure as every benchmark prints it, and its place on its curve."""
    ratio = point.value / point.floor if point.floor else None
    return {
        "name": f"scale: {point.curve} @ {point.x}",
        "unit": point.unit,
        "ours": point.value,
        "peer": None,
        "floor": point.floor,
        "ratio": ratio,
        "curve": point.curve,
        "at": point.x,
    }


def _read(file: Path) -> list[Point]:
    rows = map(json.loads, file.read_text().splitlines())
    return [Point(row["curve"], row["at"], row["ours"], row["unit"], row["floor"]) for row in rows]


def _curves(points: Iterable[Point]) -> dict[str, list[Point]]:
    curves: dict[str, list[Point]] = {}
    for point in points:
        curves.setdefault(point.curve, []).append(point)
    return curves


def show(points: Iterable[Point]) -> None:
    """Each curve on a line."""
    curves = _curves(points)
    width = max(map(len, curves))
    for curve, found in curves.items():
        cells = "  ".join(f"{point.x:>9,}: {_figure(point.value):>8}" for point in found)
        print(f"{curve:<{width}}  {found[0].unit:<10} {cells}")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(points: Iterable[Point], plots: Sequence[str]) -> str:
    """A table for each part, with a column for each place on its curves."""
    curves = _curves(points)
    lines = [f"![{Path(plot).stem}]({plot})" for plot in plots]
    for part, title in PARTS.items():
        mine = {name: found for name, found in curves.items() if name.startswith((f"{part}:", f"{part},"))}
        places = sorted({point.x for found in mine.values() for point in found})
        if not mine:
            continue
        lines += [
            "",
            f"| {part}: {title} | {' | '.join(f'{x:,}' for x in places)} | |",
            f"| --- |{' ---: |' * len(places)} --- |",
        ]
        for name, found in mine.items():
            at = {point.x: _figure(point.value) for point in found}
            label = name.removeprefix(part).lstrip(":, ")
            lines.append(f"| {label} | {' | '.join(at.get(x, '') for x in places)} | {found[0].unit} |")
    return "\n".join(lines)


def rewrite(page: Path, text: str) -> None:
    """Replace what stands between the marks of ``page``. Raises `ValueError` if it has none."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no part between {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _draw(points: Iterable[Point], folder: Path) -> list[Path]:
    """The pictures, in the order in which they are to be looked at. Raises `install.Missing`."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(row(point)) + "\n" for point in points)
        file.flush()
        command = [install.python(), str(Path(__file__).parent / "scale_plots.py"), file.name, str(folder)]
        drawn = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return list(map(Path, drawn.splitlines()))


def main(arguments: Sequence[str] | None = None) -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES, help="of history (%(default)s)")
    parser.add_argument("--devices", type=int, default=DEVICES, help="in one mesh (%(default)s)")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="of values (%(default)s)")
    parser.add_argument("--full", action="store_true", help=f"as in docs/scale.md: {FULL}")
    parser.add_argument("--only", choices=["history", "devices", "values"], help="one of the three parts")
    parser.add_argument("--json", action="store_true", help="print one object for each figure, as it comes")
    parser.add_argument("--output", type=Path, metavar="FILE", help="keep the objects in FILE")
    parser.add_argument("--plots", "--plot", type=Path, metavar="FOLDER", help="draw the curves into FOLDER")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="rewrite the generated part of a Markdown page")
    parser.add_argument(
        "--from", type=Path, dest="earlier", metavar="FILE", help="measure nothing: take the objects in FILE"
    )
    chosen = parser.parse_args(arguments)
    sizes = {name: FULL[name] if chosen.full else getattr(chosen, name) for name in FULL}
    if chosen.plots:
        try:
            install.python()
        except install.Missing as error:
            sys.exit(f"no plots: {error}")
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="mycel-scale-") as base:
        found = _read(chosen.earlier) if chosen.earlier else measure(Path(base), chosen.only, **sizes)
        for point in found:
            points.append(point)
            if chosen.json:
                print(json.dumps(row(point)), flush=True)
    if not chosen.json:
        show(points)
    if chosen.output:
        chosen.output.write_text("".join(json.dumps(row(point)) + "\n" for point in points))
    drawn = _draw(points, chosen.plots) if chosen.plots else []
    if chosen.docs:
        rewrite(chosen.docs, markdown(points, [relpath(plot, chosen.docs.parent) for plot in drawn]))


if __name__ == "__main__":
    main()
