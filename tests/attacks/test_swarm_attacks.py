"""Attacks on announcements and providers: each hurts py-libp2p's own, as is shown first, and ours survive it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.attacks.catalogue import SWARM_ATTACKS, Attack
from tests.attacks.conftest import StockYard, Table, calm, check_little_is_left
from tests.attacks.doors import SwarmDoor, swarm_door
from tests.attacks.processes import STOCK_SWARM
from tests.attacks.test_attacks import harm_shown, survives

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stock_swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StockYard]:
    with ExitStack() as stack:
        yield StockYard(tmp_path_factory.mktemp("stock-swarm"), stack, STOCK_SWARM)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwarmDoor]:
    with swarm_door(tmp_path_factory.mktemp("swarm")) as opened:
        yield calm(opened)


@pytest.mark.parametrize("one", SWARM_ATTACKS, ids=lambda one: one.name)
def test_it_hurts_a_stock_swarm_and_not_ours(
    one: Attack, stock_swarm: StockYard, door: SwarmDoor, table: Table, tmp_path: Path
) -> None:
    row = table[one.name.replace(".", ": ").replace("_", " ")]
    with stock_swarm.one() as victim:
        row["stock"], row["open"] = "not shown", "hurt"
        after = harm_shown(one.stock, victim, one, tmp_path) if one.stock else None
        row["open"] = survives(door, one, tmp_path)
        if one.stock and after:
            after()
            row["stock"] = one.stock.word


def test_all_of_them_together_leave_little_behind(door: SwarmDoor) -> None:
    check_little_is_left(door)
