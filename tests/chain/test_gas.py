"""What a call is given is twice what it takes on the network's own machine, and not much more: it is paid in advance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mycelnode.chain.amounts import TGAS
from mycelnode.chain.gas import REPLACE, SUCCEED, UPGRADE, USE_BURNS, calls_of, gas_of

MEASURED = json.loads((Path(__file__).parents[2] / "contracts/res/gas.json").read_text())
TABLE = MEASURED["methods"]
CALLED_BY_CONTRACTS = {"get_reputation", "migrate", "on_reputation", "on_transfer", "update_reputation"}
CALLED = sorted(name for name in TABLE if not name.endswith("(view)") and name not in CALLED_BY_CONTRACTS)


@pytest.mark.parametrize("method", CALLED)
def test_each_method_has_twice_what_it_takes(method: str) -> None:
    used = TABLE[method]["used"]
    assert 2 * used <= gas_of(method) <= max(3 * used, 12 * TGAS), f"{method} takes {used / TGAS:.2f} Tgas"


def test_what_a_use_is_said_to_burn_is_what_it_burns_at_its_dearest() -> None:
    burnt = TABLE["use_pattern"]["all"] + MEASURED["fees"]
    assert burnt <= USE_BURNS <= 1.2 * burnt, f"{burnt / TGAS:.2f} Tgas"


def test_what_a_deployment_calls_has_as_much() -> None:
    assert gas_of(UPGRADE) == gas_of("upgrade")
    assert 2 * TABLE["migrate"]["used"] <= gas_of(REPLACE) <= 12 * TGAS


def test_what_is_called_together_has_as_much_as_each() -> None:
    assert gas_of(SUCCEED) == sum(map(gas_of, calls_of(SUCCEED)))
    assert calls_of("rate_pattern") == ("rate_pattern",)
