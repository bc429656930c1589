"""Which request a payment is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mycelnode.chain.uses import Uses
from mycelnode.clock import SystemClock
from mycelnode.database import open_database
from mycelnode.errors import ValueRefused
from mycelnode.paths import DataDir


@pytest.mark.parametrize("request_", ["monday", None])
async def test_a_request_is_paid_on_one_chain(request_: str | None, tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    data.create()
    async with open_database(data) as database:
        uses = Uses(database, SystemClock())
        await uses.begin("cid", request_, "testnet/1:use")
        for known in ("testnet/1", "testnet/"):
            found = uses.find("cid", request_, known)
            assert found is not None
            assert found.payment == "testnet/1:use"
        if request_ is None:
            assert uses.find("cid", request_, "mainnet/2") is None
        else:
            with pytest.raises(ValueRefused, match="the request monday was paid on another chain"):
                uses.find("cid", request_, "mainnet/2")
