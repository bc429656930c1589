"""A run that paused a contract and got no further: newer code is announced two days ahead, and meanwhile it goes on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mycelnode.chain import batches, deploy
from mycelnode.chain.shipped import Code, shipped
from tests.chain.operators import CONTRACTS, Operator, an_operator
from tests.node.nodes import ask

REGISTRY, REPUTATION = CONTRACTS
TWO_DAYS = 48 * 3600
OWNED = {"upgrade": True, "owner": "carol.near"}


def brought_between(name: str) -> Code:
    """The same code, and yet another: it has a section that says nothing."""
    data = shipped(name).data + b"\x00\x02\x01x"
    return Code(name, data, hashlib.sha256(data).hexdigest())


def paused(operator: Operator) -> list[bool]:
    return [operator.chain.view(name, "info")["paused"] for name in CONTRACTS]


@pytest.mark.timeout(180)
async def test_what_a_run_left_paused_goes_on_while_newer_code_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_operator(tmp_path, monkeypatch) as operator:
        await operator.before(monkeypatch, lock=True, owner="carol.near")
        carol = operator.chain.wallets["carol.near"]
        operator.keep(carol)
        with monkeypatch.context() as patch:
            for module in (deploy, batches):
                patch.setattr(module, "shipped", brought_between)
            await operator.deploy(**OWNED)
            await operator.chain.fast_forward(seconds=TWO_DAYS + 60)
            planned = await operator.plan(**OWNED)
            wanted = {"network": "devchain", "from": "alice.near", **OWNED}
            agreed = {step["id"]: step["total"] for step in planned["actions"]}
            assert (await ask(operator.node, "chain.deploy", **wanted, agreed=agreed))["action"][
                "id"
            ] == f"pause {REGISTRY}"
        assert paused(operator) == [True, False], "and there it broke off"
        assert await operator.deploy(**OWNED) == [
            f"resume {REGISTRY}",
            f"stage_upgrade {REGISTRY}",
            f"stage_upgrade {REPUTATION}",
        ]
        assert paused(operator) == [False, False]
        await operator.chain.call(carol, REGISTRY, "pause", deposit=1)
        planned = await operator.plan(**OWNED)
        assert planned["actions"] == []
        assert (
            f"{REGISTRY} is paused, though not by this command, and stays so until the new code is in"
            in planned["notes"]
        )
        await operator.chain.fast_forward(seconds=TWO_DAYS + 60)
        done = await operator.deploy(**OWNED)
        assert done[-1] == f"resume {REGISTRY}"
        assert paused(operator) == [False, False]
