"""The curves of scale.

``scale_plots.py RESULTS FOLDER``, run by the peers' interpreter, which alone has matplotlib; nothing else is imported. RESULTS has
one JSON object a line, as `benchmarks.scale` prints them.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = ("#2a6f4e", "#c0763a", "#4a6fa5", "#8a8378")
DASHES = ("-", "--", "-.", ":")  # so that both of two lines are seen where they run together
Curves = dict[str, list[tuple[int, float]]]


class Panel(NamedTuple):
    """One pair of axes: curves by their names in the results, and what they are called here; a * stands for any part of either."""

    title: str
    x: str
    y: str
    curves: dict[str, str]
    log: bool = False


ENTRIES, MISSED, CHANGES = "entries of history", "entries missed", "changes at one end"
DEVICES, MEGABYTES = "devices in the mesh", "MB of values"


def _meetings(what: str, unit: str) -> tuple[Panel, ...]:
    """What it costs two devices to meet, over all that could matter to it."""
    return (
        Panel(
            "Two devices meet: history",
            ENTRIES,
            unit,
            {f"history: in step, {what}": "in step", f"history: 100 changes, {what}": "100 changes"},
            log=True,
        ),
        Panel("Two devices meet: changes", CHANGES, unit, {f"changes: *, {what}": "*"}),
        Panel(
            "Two devices meet: devices",
            DEVICES,
            unit,
            {f"devices: in step, {what}": "in step", f"devices: 100 changes, {what}": "100 changes"},
        ),
    )


def _catch_up(what: str, unit: str) -> tuple[Panel, ...]:
    """What it costs to come to everything; the axes are even, as it is in proportion."""
    return (
        Panel(
            "Back after a time away",
            MISSED,
            unit,
            {f"away: no snapshot, {what}": "no snapshot", f"away: a snapshot, {what}": "a snapshot"},
        ),
        Panel("A newcomer: history", ENTRIES, unit, {f"history: newcomer, {what}": "in step"}),
        Panel("A newcomer: values", MEGABYTES, unit, {f"values: newcomer, {what}": "in step"}),
    )


def _taker(panel: Panel) -> Panel:
    """The same curves, of each the processor time of the device that catches up beside the time on the clock."""
    cpu = {name.replace(", time", ", CPU of the taker"): f"{label}, CPU" for name, label in panel.curves.items()}
    return panel._replace(curves={**panel.curves, **cpu})


PICTURES: dict[str, tuple[Panel, ...]] = {
    "scale-sync": _meetings("bytes", "bytes, both ways"),
    "scale-cpu": _meetings("CPU of both", "ms of CPU, both ends"),
    "scale-catch-up-time": tuple(map(_taker, _catch_up("time", "s"))),
    "scale-catch-up-bytes": _catch_up("bytes", "MB, both ways"),
    "scale-memory": (
        Panel(
            "Memory: history",
            ENTRIES,
            "MB",
            {
                "history: idle node, memory": "idle",
                "history: start after kill -9, most memory": "most, starting",
                "history: newcomer, most memory of the taker": "most, a newcomer",
                "history: newcomer, most memory of the giver": "most, its giver",
            },
            log=True,
        ),
        Panel(
            "Memory: values",
            MEGABYTES,
            "MB",
            {
                "values: idle node, memory": "idle",
                "values: start after kill -9, most memory": "most, starting",
                "values: newcomer, most memory of the taker": "most, a newcomer",
                "values: newcomer, most memory of the giver": "most, its giver",
            },
        ),
        Panel("Memory: devices", DEVICES, "MB", {"devices: idle node, memory": "idle"}),
    ),
    "scale-start": (
        Panel(
            "Start of a node: history",
            ENTRIES,
            "s of CPU",
            {
                "history: start after kill -9, CPU": "after kill -9",
                "history: start after a clean end, CPU": "after a clean end",
            },
            log=True,
        ),
        Panel(
            "Start of a node: values",
            MEGABYTES,
            "s of CPU",
            {
                "values: start after kill -9, CPU": "after kill -9",
                "values: start after a clean end, CPU": "after a clean end",
                "values: clean end, CPU": "the clean end",
            },
        ),
        Panel(
            "Start of a node: devices",
            DEVICES,
            "s of CPU",
            {"devices: start after a clean end, CPU": "after a clean end"},
        ),
    ),
    "scale-change": (
        Panel(
            "A durable write: history",
            ENTRIES,
            "ms of CPU",
            {"history: durable write, CPU": "one after the other"},
            log=True,
        ),
        Panel(
            "One change, all connected with all",
            DEVICES,
            "bytes that each device sends",
            {"crowd: a change, bytes that each device sends": "a change"},
        ),
        Panel(
            "One change, all connected with all",
            DEVICES,
            "ms of CPU of each device",
            {"crowd: a change, CPU of each device": "a change"},
        ),
    ),
}


def curves_of(results: Path) -> Curves:
    """The points by curve, in order."""
    found: Curves = defaultdict(list)
    for line in results.read_text().splitlines():
        row: dict[str, Any] = json.loads(line)
        found[row["curve"]].append((row["at"], row["ours"]))
    return {name: sorted(points) for name, points in found.items()}


def lines_of(panel: Panel, curves: Curves) -> list[tuple[list[tuple[int, float]], str]]:
    """The points of each line in the panel, and its label."""
    found = []
    for name, label in panel.curves.items():
        before, star, after = name.partition("*")
        for curve, points in curves.items():
            if curve == name or (star and curve.startswith(before) and curve.endswith(after)):
                found.append((points, label.replace("*", curve[len(before) : len(curve) - len(after)])))
    return found


def draw(axes: Any, panel: Panel, curves: Curves) -> bool:
    """One panel; is there anything in it?"""
    drawn = lines_of(panel, curves)
    for (points, label), colour, dash in zip(drawn, COLOURS, DASHES, strict=False):
        axes.plot(*zip(*points, strict=True), dash, marker="o", markersize=4, color=colour, label=label)
    if panel.log:
        axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,g}"))
    axes.set_ylim(0, 1.05 * max((y for points, _ in drawn for _, y in points), default=1.0))
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.set_xlabel(panel.x, fontsize=8)
    axes.set_ylabel(panel.y, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,g}"))
    axes.spines[["top", "right"]].set_visible(False)
    if len(drawn) > 1:
        axes.legend(frameon=False, fontsize=8)
    return bool(drawn)


def main(results: Path, folder: Path) -> None:
    """Draw all pictures for which there are curves, and print their paths in the order of this module."""
    curves = curves_of(results)
    folder.mkdir(parents=True, exist_ok=True)
    for name, panels in PICTURES.items():
        figure, places = plt.subplots(1, len(panels), figsize=(11, 3.2), layout="constrained")
        drawn = [draw(axes, panel, curves) for axes, panel in zip(places, panels, strict=True)]
        if any(drawn):
            picture = folder / f"{name}.png"
            figure.savefig(picture, dpi=110, metadata={"Software": None})
            print(picture)
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
