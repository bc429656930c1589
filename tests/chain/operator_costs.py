"""What each step of the operator's guide costs, on a local chain with real contracts: `python -m tests.chain.operator_costs`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.chain.shipped import shipped
from tests.chain.market import NEAR
from tests.chain.operators import an_operator

TWO_DAYS = 2 * 24 * 3600
PLACES = 4  # that are shown of a NEAR
OWNER = "carol.near"


async def rows(folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The rows of the table, as Markdown."""
    async with an_operator(_made(folder / "new"), patch) as operator:
        made = await operator.carry_out()
        for name, action in zip(("registry", "reputation"), made, strict=True):
            yield _row(f"make the {name}, {len(shipped(name).data):,} bytes", [action])
        yield _row("in all", made)
        yield _row("lock both, with the money for their gas", await operator.carry_out(lock=True))
    async with an_operator(_made(folder / "keys"), patch) as operator:
        await operator.before(patch)
        done = await operator.carry_out(upgrade=True)
        yield _row(f"upgrade both by their keys ({len(done)} steps)", done)
    async with an_operator(_made(folder / "owner"), patch) as operator:
        await operator.before(patch, lock=True, owner=OWNER)
        operator.keep(operator.chain.wallets[OWNER])
        yield _row("upgrade both by their owner: announce", await operator.carry_out(upgrade=True, owner=OWNER))
        await operator.chain.fast_forward(seconds=TWO_DAYS)
        done = await operator.carry_out(upgrade=True, owner=OWNER)
        yield _row(f"upgrade both by their owner: put in ({len(done)} steps)", done)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _row(what: str, actions: Iterable[Mapping[str, Any]]) -> str:
    along, account, gas, burnt = (
        sum(int(action[field] or 0) for action in actions) for field in ("amount", "account_fee", "gas", "burnt")
    )
    return f"| {what} | {_near(along)} | {_near(account)} | {_near(gas)} | {_near(burnt)} |"


def _near(yocto: int) -> str:
    """Nothing of the few yoctoNEAR that only show a key."""
    shown = (yocto * 10**PLACES + NEAR // 2) // NEAR
    return f"{shown // 10**PLACES}.{shown % 10**PLACES:0{PLACES}d}" if shown else "–"


async def _print() -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        async for row in rows(Path(folder), patch):
            print(row)


if __name__ == "__main__":
    trio.run(partial(_print))
