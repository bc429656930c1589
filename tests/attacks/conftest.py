"""The victims, which live through all attacks of a run, and the table at its end."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.doors import Door, mesh_door, open_door
from tests.attacks.processes import STOCK, Victim, line_of, process
from tests.needs import missing

Table = dict[str, dict[str, str]]
_TABLE = pytest.StashKey[Table]()
COLUMNS = ("stock", "mesh", "open")


@pytest.fixture(scope="session", autouse=True)
def _linux() -> None:
    if sys.platform != "linux":
        missing("needs Linux, where all of 127.0.0.0/8 is this machine, and one process may limit another")


class StockYard:
    """Stock hosts, one after another: the next one starts while ours are attacked."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack, self._made = folder, stack, 0
        self._warm()

    def _warm(self) -> None:
        self._made += 1
        self._ready: Victim | None = None
        self._errors = self._folder / f"stock{self._made}.stderr"
        self._own = ExitStack()
        self._stack.push(self._own)
        self._next = self._own.enter_context(process(STOCK, self._errors))

    @contextmanager
    def one(self) -> Iterator[Victim]:
        """A fresh one, or one that was found unhurt, until the block is left."""
        if self._ready is None:
            self._ready = Victim(self._next, line_of(self._next, self._errors), self._errors)
        victim, victim.unhurt = self._ready, False
        try:
            yield victim
        finally:
            if not victim.unhurt:
                self._own.close()
                self._warm()


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StockYard]:
    with ExitStack() as stack:
        yield StockYard(tmp_path_factory.mktemp("stock"), stack)


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Door]]:
    """Both doors of ours."""
    folder = tmp_path_factory.mktemp("ours")
    with mesh_door(folder) as mesh, open_door(folder) as open_:
        found: list[Door] = [mesh, open_]
        for door in found:
            for _ in range(2):  # what is loaded at first use is no cost of an attack
                door.newcomer()
                door.known()
            door.calm_memory, door.calm_files = door.memory, door.files
        yield {door.name: door for door in found}


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Table:
    """What was measured, by attack and victim; printed at the end."""
    return request.config.stash.setdefault(_TABLE, defaultdict(dict))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash.get(_TABLE, {})
    if not rows:
        return
    terminalreporter.section(
        "attacks: the harm to a stock host; at our doors: seconds until a newcomer / a known device is in"
    )
    terminalreporter.write_line("| attack | stock host | our mesh door | our open door |\n| --- | --- | --- | --- |")
    for title, row in rows.items():
        cells = " | ".join(row.get(column, "") for column in COLUMNS)
        terminalreporter.write_line(f"| {title} | {cells} |")
