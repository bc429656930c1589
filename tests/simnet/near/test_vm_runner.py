"""Our virtual machine beside that of the network's nodes: the same calls come to the same, host functions to the same gas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mycel_simnet.near.single import Contract
from tests.simnet.near.vm_runner import ACCOUNT, RECORDED, Case, cases

A_FEW_OPERATIONS = (
    10**9
)  # of gas, where there is hardly anything else: to grow the memory by all there is takes so much
TOLERATED = 0.12  # of the whole gas: a loop that does nothing but count
TOLERATED_AT_WORST = 0.34  # a loop of nothing but what fuel does not count
UNKNOWN_TO_A_MOCK = (
    "storage_write_evicted_byte",
    "storage_remove_ret_value_byte",
)  # near-vm-runner's own storage charges nothing
CASES = {case.name: case for case in cases()}
SAID: dict[str, list[Any]] = {}
for _line in RECORDED.read_text().splitlines():
    _one = json.loads(_line)
    SAID.setdefault(_one["case"], []).append(_one)
OUT_OF_GAS = ("Exceeded the prepaid gas.", "Exceeded the maximum amount of gas allowed to burn per contract.")


def test_every_case_was_recorded() -> None:
    assert list(CASES) == list(SAID)
    assert len(CASES) > 100


@pytest.mark.parametrize("name", CASES)
def test_the_same_call_comes_to_the_same(name: str) -> None:
    case = CASES[name]
    shop = Contract(case.code, account_id=ACCOUNT)
    for step, theirs in zip(case.steps, SAID[name], strict=True):
        ours = shop.call(step.method, step.args, step.setting)
        assert error_of(ours) == theirs["error"], step.method
        assert ours["logs"] == theirs["logs"]
        assert {key.hex(): value.hex() for key, value in shop.storage.items()} == theirs["storage"]
        if theirs["error"] is None:
            assert ours["storage_usage"] == theirs["storage_usage"]
            assert ours["balance"] == theirs["balance"]
            if isinstance(theirs["returned"], str):
                assert ours["returned"] == theirs["returned"]
        check_gas(case, ours["gas"], theirs)


def error_of(ours: Any) -> str | None:
    """What it fails with, in the words of the network."""
    if ours["error"] is None:
        return None
    (kind,) = ours["error"]
    return str(ours["error"][kind])


def check_gas(case: Case, ours: Any, theirs: Any) -> None:
    """Host functions cost the same; the whole is near enough."""
    given = ours["used"] - ours["burnt"]
    if theirs["error"] in OUT_OF_GAS:
        assert ours["burnt"] == theirs["host_gas"] + theirs["wasm_gas"]
        return
    profile = ours["profile"]
    burnt = ours["burnt"] - sum(profile.get(one, 0) for one in UNKNOWN_TO_A_MOCK)
    assert burnt - profile.get("wasm_instruction", 0) == theirs["host_gas"], case.name
    assert given == theirs["given_gas"]
    if case.name == "too deep":
        return  # the network counts the stack, a machine has one of some size
    whole = theirs["host_gas"] + theirs["wasm_gas"]
    tolerated = TOLERATED_AT_WORST if case.name == "a loop of what is not counted" else TOLERATED
    assert abs(burnt - whole) <= tolerated * whole + A_FEW_OPERATIONS, case.name
