"""The rows for people: as a table in the terminal, and in Markdown between two marks of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.rows import Row

BEGIN, END = "<!-- benchmarks: begin (written by `make bench`) -->", "<!-- benchmarks: end -->"
HEADINGS = ("what", "ours", "beside", "its", "ratio", "aim", "met")


def amount(value: float | None, unit: str) -> str:
    """A number as people read it."""
    if value is None:
        return "–"
    if unit == "B":
        return f"{value:,.0f} B"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def cells(row: Row) -> tuple[str, ...]:
    """A row's texts, in the order of `HEADINGS`."""
    if row.skipped is not None and row.ours is None:
        return (row.name, "left out", row.against or "", "", "", "", "")
    beside = row.peer if row.peer is not None else row.floor
    aim = ""
    if row.aim is not None:
        bound = f"{row.aim:g} ×" if row.aim_of == "ratio" else amount(row.aim, row.unit)
        aim = f"{'≥' if row.more else '≤'} {bound}"
    its = "left out" if row.skipped is not None else "" if beside is None else amount(beside, row.unit)
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} ×" if row.ratio >= 0.1 else f"{row.ratio:.3f} ×"
    met = {None: "", True: "yes", False: "no"}[row.met]
    return (row.name, amount(row.ours, row.unit), row.against or "", its, ratio, aim, met)


def table(rows: Sequence[Row]) -> str:
    """For a terminal."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = (0, 2)  # columns of words
    text = [
        "  ".join(
            cell.ljust(w) if at in left else cell.rjust(w)
            for at, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([text[0].rstrip(), "-" * len(text[0]), *(line.rstrip() for line in text[1:]), *reasons(rows)])


def reasons(rows: Sequence[Row]) -> list[str]:
    """Why some were left out, each reason once."""
    return [f"left out: {reason}" for reason in sorted({row.skipped for row in rows if row.skipped is not None})]


def markdown(rows: Sequence[Row], machine: Mapping[str, object], plots: Sequence[str]) -> str:
    """For the page: what ran where, the table, the plots."""
    said = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines = [
        f"Measured on: {said}.",
        "",
        f"| {' | '.join(HEADINGS)} |",
        "| --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    lines += ["", *reasons(rows), *(f"![{Path(plot).stem}]({plot})" for plot in plots)]
    return "\n".join(lines).rstrip()


def rewrite(page: Path, text: str) -> None:
    """Replace what stands between the marks of ``page``. Raises `ValueError` if it has none."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no part between {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
