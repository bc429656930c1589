"""Two pictures of the results: bytes beside the floor, and times beside the peers.

``plots.py RESULTS FOLDER``, run by the peers' interpreter, which alone has matplotlib; nothing else is imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

OURS, PEER, FLOOR = "#2a6f4e", "#b9b3a6", "#888888"


def _bars(rows: list[tuple[str, dict[str, float]]], title: str, label: str, path: Path, *, line: bool) -> None:
    """Groups of horizontal bars: one group per row, one bar per contender."""
    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.34 * sum(len(bars) for _, bars in rows)), layout="constrained")
    place, ticks, names = 0.0, [], []
    for name, bars in rows:
        middle = place + (len(bars) - 1) / 2
        for who, value in bars.items():
            axes.barh(place, value, color=OURS if who == "mycelnode" else PEER, height=0.85)
            axes.text(value, place, f" {who} {_short(value)}", va="center", fontsize=8)
            place += 1
        ticks.append(middle)
        names.append(name)
        place += 0.6
    if line:
        axes.axvline(1, color=FLOOR, linewidth=1, linestyle="--")
    else:
        axes.set_xscale("log")
    axes.set_yticks(ticks, names)
    axes.invert_yaxis()
    axes.margins(x=0.22)
    axes.set_title(title, loc="left")
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _grouped(rows: list[dict[str, Any]], unit: str, *, by_floor: bool) -> list[tuple[str, dict[str, float]]]:
    groups: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["unit"] != unit or row["ours"] is None or (by_floor and not row["floor"]):
            continue
        divisor = row["floor"] if by_floor else 1
        group = groups.setdefault(row["name"], {"mycelnode": row["ours"] / divisor})
        if row["peer"] is not None:
            group[row["against"]] = row["peer"] / divisor
    return list(groups.items())


def main(results: Path, folder: Path) -> None:
    """Draw both."""
    rows = json.loads(results.read_text())["rows"]
    folder.mkdir(parents=True, exist_ok=True)
    sizes = _grouped([row for row in rows if "disk" not in row["name"]], "B", by_floor=True)
    if sizes:
        _bars(
            sizes,
            "Bytes sent, as a multiple of the data alone",
            "× floor (less is better)",
            folder / "bench-bytes.png",
            line=True,
        )
    times = _grouped(rows, "ms", by_floor=False)
    if times:
        _bars(times, "Times", "ms, logarithmic (less is better)", folder / "bench-times.png", line=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
