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
Curves = dict[str, list[tuple[int, float]]]


class Panel(NamedTuple):
    """One pair of axes: curves by their names in the results, and what they are called here."""

    title: str
    x: str
    y: str
    curves: dict[str, str]
    log: bool = False


ENTRIES, DEVICES, MEGABYTES = "entries of history", "devices in the mesh", "MB of values"
PICTURES: dict[str, tuple[Panel, ...]] = {
    "scale-sync": (
        Panel(
            "Two devices meet: history",
            ENTRIES,
            "bytes, both ways",
            {"history: in step, bytes": "in step", "history: 100 changes, bytes": "100 changes"},
            log=True,
        ),
        Panel(
            "Two devices meet: devices",
            DEVICES,
            "bytes, both ways",
            {"devices: in step, bytes": "in step", "devices: 100 changes, bytes": "100 changes"},
        ),
        Panel(
            "One change, all connected with all",
            DEVICES,
            "bytes that each device sends",
            {"crowd: a change, bytes that each device sends": "a change"},
        ),
    ),
    "scale-cpu": (
        Panel(
            "Two devices meet: history",
            ENTRIES,
            "ms of CPU, both ends",
            {"history: in step, CPU of both": "in step", "history: 100 changes, CPU of both": "100 changes"},
            log=True,
        ),
        Panel(
            "Two devices meet: devices",
            DEVICES,
            "ms of CPU, both ends",
            {"devices: in step, CPU of both": "in step", "devices: 100 changes, CPU of both": "100 changes"},
        ),
        Panel(
            "A durable write",
            ENTRIES,
            "ms of CPU",
            {"history: durable write, CPU": "one after the other"},
            log=True,
        ),
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
            "Memory",
            MEGABYTES,
            "MB",
            {
                "values: idle node, memory": "idle",
                "values: start after a clean end, most memory": "most, starting",
                "values: clean end, most memory": "most, ending",
            },
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


def draw(axes: Any, panel: Panel, curves: Curves) -> bool:
    """One panel; is there anything in it?"""
    drawn = [(curves[name], label) for name, label in panel.curves.items() if name in curves]
    for (points, label), colour in zip(drawn, COLOURS, strict=False):
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=label)
    if panel.log:
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
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
    """Draw all pictures for which there are curves."""
    curves = curves_of(results)
    folder.mkdir(parents=True, exist_ok=True)
    for name, panels in PICTURES.items():
        figure, places = plt.subplots(1, len(panels), figsize=(11, 3.2), layout="constrained")
        drawn = [draw(axes, panel, curves) for axes, panel in zip(places, panels, strict=True)]
        if any(drawn):
            figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
