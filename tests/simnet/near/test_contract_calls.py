"""The registry and the reputation here, beside themselves on the network's own machine: call by call, the same comes of it.

CI records anew what came of each there.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from mycel_simnet.near.host import TRIE_DEPTH
from mycel_simnet.near.single import Contract, Setting
from tests.simnet.near.stories import RECORDED, STORIES, code_of

TOLERATED = 0.12  # of the gas, where 0.024 is seen: fuel does not count each instruction as the network does


def contracts(story: str) -> dict[str, Contract]:
    found = {}
    for account, records in RECORDED[story]["began"].items():
        storage = {bytes.fromhex(key): bytes.fromhex(value) for key, value in records.items()}
        found[account] = Contract(b"", storage, account)  # each call says which code runs
    return found


def given(call: dict[str, Any]) -> bytes:
    """What a method was called with; of a wasm there is the name."""
    args = call["args"]
    return bytes.fromhex(args) if isinstance(args, str) else code_of(args["code"])


def setting_of(call: dict[str, Any]) -> Setting:
    return Setting(
        signer=call["signer"],
        predecessor=call["predecessor"],
        deposit=int(call["deposit"]),
        gas=call["gas"],
        balance=int(call["balance"]),
        storage_usage=call["usage"],
        timestamp=call["timestamp"],
        chain_id="test",
        promise_results=tuple(None if one is None else bytes.fromhex(one) for one in call["results"]),
        is_view=call["view"],
    )


def action_of(action: dict[str, Any]) -> dict[str, Any]:
    """An action as the other machine writes it down."""
    ((kind, said),) = action.items()
    if kind == "Transfer":
        return {"transfer": said["deposit"]}
    if kind == "DeployContract":
        return {"deploy": b64decode(said["code"]).hex()}  # a view has its hash alone
    args = b64decode(said["args"]).hex()
    return {"call": said["method_name"], "args": args, "deposit": said["deposit"], "gas": said["gas"]}


def receipts_of(ours: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"receiver": one["receiver_id"], "after": one["depends_on"], "actions": [action_of(a) for a in one["actions"]]}
        for one in ours["receipts"]
    ]


@pytest.mark.parametrize("story", STORIES)
def test_each_call_of_the_contracts_comes_to_the_same(story: str) -> None:
    shops, calls = contracts(story), RECORDED[story]["calls"]
    assert len(calls) > len(STORIES[story]["steps"]) > 40
    for number, call in enumerate(calls):
        where = f"call {number}, {call['method']}"
        before = {key.hex(): value.hex() for key, value in shops[call["account"]].storage.items()}
        shops[call["account"]].code = code_of(call["code"])
        ours = shops[call["account"]].call(call["method"], given(call), setting_of(call), TRIE_DEPTH)
        assert ours["logs"] == call["logs"], where
        if call["error"] is not None:
            assert ours["error"] is not None, where
            ((kind, said),) = ours["error"].items()
            expected = call["error"].removeprefix("Smart contract panicked: ")
            assert expected in json.dumps([kind, said], ensure_ascii=False).replace('\\"', '"'), where
            assert shops[call["account"]].storage == {bytes.fromhex(k): bytes.fromhex(v) for k, v in before.items()}
        else:
            assert ours["error"] is None, where
            assert ours["returned"] == call["returned"], where
            changed = {key: value for key, value in call["writes"].items() if value != before.get(key)}
            assert ours["writes"] == changed, where
            assert ours["storage_usage"] == call["usage_after"], where
            assert ours["balance"] == call["balance_after"], where
            assert receipts_of(ours) == call["receipts"], where
        assert ours["gas"]["burnt"] == pytest.approx(call["burnt"], rel=TOLERATED), where
