"""What other packages add to the node and the command line, found through entry points; docs/architecture.md says how."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

COMMANDS = "mycelnode.commands"  # name, dotted to lie under a group → a `click.Command`
SERVICES = (
    "mycelnode.services"  # name → a function of the `Node` that returns an async context manager of a `ports.Service`
)


def found(kind: str) -> dict[str, EntryPoint]:
    """Name → entry point, in the order of their names; nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=kind), key=lambda point: point.name)}


def found_below(path: str) -> dict[str, EntryPoint | None]:
    """The commands right below the group ``path`` ("" is the top): name → entry point, or None for a group that only dots name."""
    below: dict[str, EntryPoint | None] = {}
    prefix = f"{path}." if path else ""
    for name, point in found(COMMANDS).items():
        if name.startswith(prefix):
            first, dot, _ = name.removeprefix(prefix).partition(".")
            below[first] = below.get(first) if dot else point
    return below
