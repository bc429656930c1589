"""The victims, which live through all attacks of a run, and the table at its end."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.attacks.doors import Door, MeshDoor, mesh_door, open_door
from tests.attacks.processes import STOCK, Victim, line_of, process
from tests.needs import missing

Table = dict[str, dict[str, str]]
_TABLE = pytest.StashKey[Table]()
COLUMNS = ("stock", "mesh", "open")
NEWCOMERS = 50
LASTING_MIB = 80.0  # that all attacks on a door together may leave behind; measured: up to 14
LASTING_FILES = 3
AnyDoor = TypeVar("AnyDoor", bound=Door)


@pytest.fixture(scope="session", autouse=True)
def _linux() -> None:
    if sys.platform != "linux":
        missing("needs Linux, where all of 127.0.0.0/8 is this machine, and one process may limit another")


class StockYard:
    """Stock hosts, one after another: the next one starts while ours are attacked."""

    def __init__(self, folder: Path, stack: ExitStack, command: Sequence[str] = STOCK) -> None:
        self._folder, self._stack, self._made, self._command = folder, stack, 0, command
        self._warm()

    def _warm(self) -> None:
        self._made += 1
        self._ready: Victim | None = None
        self._errors = self._folder / f"stock{self._made}.stderr"
        self._own = ExitStack()
        self._stack.push(self._own)
        self._next = self._own.enter_context(process(self._command, self._errors))

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


class House:
    """Both doors of ours. A device lets in a hundred others at most, so the node is another one after fifty."""

    def __init__(self, factory: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._factory = factory
        self._node = ExitStack()
        stack.push(self._node)
        self._open = calm(stack.enter_context(open_door(factory.mktemp("open"))))
        self._mesh = self._new_node()

    def _new_node(self) -> MeshDoor:
        return calm(self._node.enter_context(mesh_door(self._factory.mktemp("mesh"))))

    def doors(self) -> dict[str, Door]:
        """By their names, ready to be attacked."""
        if self._mesh.joined >= NEWCOMERS:
            check_little_is_left(self._mesh)
            self._node.close()
            self._mesh = self._new_node()
        return {"mesh": self._mesh, "open": self._open}


def calm(door: AnyDoor) -> AnyDoor:
    for _ in range(2):  # what is loaded at first use is no cost of an attack
        door.newcomer()
        door.known()
    door.calm_memory, door.calm_files = door.memory, door.files
    return door


def check_little_is_left(door: Door) -> None:
    """Of all attacks together."""
    print(f"{door.name}: {door.memory - door.calm_memory:.0f} MiB of all attacks together")
    assert door.memory < door.calm_memory + LASTING_MIB
    assert door.files <= door.calm_files + LASTING_FILES


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path_factory, stack)


@pytest.fixture
def doors(house: House) -> dict[str, Door]:
    """Both doors of ours."""
    return house.doors()


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
