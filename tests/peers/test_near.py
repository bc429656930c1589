"""Clients of NEAR that know nothing of us, as they come: near-api-js, py-near, and the client of the official models."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from near_jsonrpc_client import NearClientSync
from near_jsonrpc_models.block_id import BlockId, BlockIdBlockHeight
from near_jsonrpc_models.rpc_block_request import RpcBlockRequest, RpcBlockRequestBlockId
from py_near.account import Account
from py_near.exceptions.provider import JsonProviderError

from mycel_simnet.near.devchain import NEAR, TERAGAS, Devchain, open_devchain
from tests.needs import missing
from tests.peers.install import HERE, Missing, near_api_js_folder, node_program
from tests.simnet.near.contracts import EVERYTHING

STORY_SECONDS = 50
BLOCK_SECONDS = 0.1


@pytest.fixture
async def chain() -> AsyncIterator[Devchain]:
    """With time between blocks, as on the network, where what comes together goes by its nonces into one block.

    Both libraries count nonces in advance and send all at once. Where each transaction comes into a block of its own, one that
    overtook another makes that one's nonce too low.
    """
    async with open_devchain(block_seconds=BLOCK_SECONDS) as devchain:
        yield devchain


# --- near-api-js --------------------------------------------------------------------------------------------------------------


async def test_near_api_js(chain: Devchain) -> None:
    try:
        folder, node = near_api_js_folder(), node_program()
    except Missing as reason:
        missing(str(reason))
    alice = chain.wallets["alice.near"]
    story = {
        "url": chain.url,
        "account": alice.account_id,
        "secret": alice.key.secret_text,
        "wasm": base64.b64encode(EVERYTHING).decode(),
    }
    script = await trio.Path(HERE / "near_api_js" / "peer.mjs").read_text()
    command = [str(node), "--no-warnings", "--input-type=module", "--eval", script]
    environ = {**os.environ, "STORY": base64.b64encode(json.dumps(story).encode()).decode()}
    with trio.fail_after(STORY_SECONDS):
        done = await trio.run_process(
            command,
            cwd=folder,
            env=environ,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert done.returncode == 0, done.stdout.decode()[-4000:]
    check_story(json.loads(done.stdout.splitlines()[-1]), chain)


def check_story(told: dict[str, Any], chain: Devchain) -> None:
    """Is what near-api-js was told what happened?"""
    empty = {"SuccessValue": ""}
    assert told["state"] == str(10_000 * NEAR)
    assert (told["transfer"], told["deploy"], told["keys"]) == (empty, empty, 1)
    assert told["view"] == {"text": "héllo ✓"}
    assert told["code"]
    assert [base64.b64decode(one["key"]) for one in told["stored"]] == [b"k"]
    assert told["levels"][0] == "NONE"
    assert told["levels"][-1] == "FINAL"
    assert base64.b64decode(told["answer"]["SuccessValue"]) == b'{"said":"hi"}'
    assert told["receipt"] == "shop.alice.near"
    assert told["together"] == 10, told["nonces"]
    assert told["limited"] == {"a": 1}
    assert "deposit with a function call" in told["withDeposit"]["message"].lower() or told["withDeposit"]["kind"]
    assert sorted(told["blocks"], reverse=True) == told["blocks"]
    assert len(told["chunk"]) == 1
    assert (told["gasPrice"], told["network"], told["rules"]) == ("100000000", "devchain", 86)
    assert set(told["changes"]) == {"account_update"}
    assert told["touched"] > 0
    assert told["validators"] == 1
    kinds = {name: error["kind"] for name, error in told["errors"].items()}
    assert kinds["account"] == "AccountDoesNotExistError"
    assert kinds["key"] == "AccessKeyDoesNotExistError"
    assert kinds["method"] == "ContractMethodNotFoundError"
    assert "no" in told["errors"]["panic"]["message"]
    assert "ProhibitedInView" in told["errors"]["view"]["message"]
    assert told["deleted"] == "AccountDoesNotExistError"
    assert chain.balance("bob.near") == 10_000 * NEAR + 5 + 10


# --- py-near ------------------------------------------------------------------------------------------------------------------


async def in_asyncio(story: Any) -> Any:
    """Run a coroutine function in a loop of its own, while the chain runs in ours."""
    return await trio.to_thread.run_sync(lambda: asyncio.run(story()))


async def test_py_near(chain: Devchain) -> None:
    alice = chain.wallets["alice.near"]
    child = chain.new_key()

    async def story() -> dict[str, Any]:
        account = Account(alice.account_id, alice.key.secret_text, chain.url)
        await account.startup()
        told: dict[str, Any] = {"balance": await account.get_balance()}
        told["sent"] = await account.send_money("bob.near", NEAR)
        told["created"] = await account.create_account("shop.alice.near", child.public_text, 20 * NEAR)
        told["keys"] = await account.get_access_key_list()
        shop = Account("shop.alice.near", child.secret_text, chain.url)
        await shop.startup()
        told["deployed"] = await shop.deploy_contract(EVERYTHING)
        told["called"] = await account.function_call("shop.alice.near", "store", {"a": 1}, 30 * TERAGAS, 1)
        told["viewed"] = await account.view_function("shop.alice.near", "read", {})
        told["failed"] = await account.function_call("shop.alice.near", "fail", {"a": 1}, 30 * TERAGAS)
        told["ten"] = await asyncio.gather(*(account.send_money("bob.near", 1) for _ in range(10)))
        try:
            await account.send_money("bob.near", 10**37)
        except JsonProviderError as error:
            told["refused"] = error
        await account.add_full_access_public_key(chain.wallets["carol.near"].key.public_text)
        await account.delete_public_key(chain.wallets["carol.near"].key.public_text)
        await shop.shutdown()
        await account.shutdown()
        return told

    with trio.fail_after(STORY_SECONDS):
        told = await in_asyncio(story)
    assert told["balance"] == 10_000 * NEAR
    for name in ("sent", "created", "deployed", "called"):
        assert told[name].status == {"SuccessValue": ""}, name
    assert told["viewed"].result == {"a": 1}
    assert "Smart contract panicked" in json.dumps(told["failed"].status)
    assert len(told["keys"]) == 1
    assert all(one.status == {"SuccessValue": ""} for one in told["ten"])
    assert len({one.transaction.nonce for one in told["ten"]}) == 10
    assert told["refused"]
    assert chain.balance("bob.near") == 10_001 * NEAR + 10


# --- the client of the official models --------------------------------------------------------------------------------------------


async def test_the_official_client(chain: Devchain) -> None:
    def story() -> Any:
        client = NearClientSync(rpc_urls=chain.url)
        request = RpcBlockRequest(RpcBlockRequestBlockId(block_id=BlockId(BlockIdBlockHeight(chain.chain.head.height))))
        try:
            return client.block(params=request)
        finally:
            client.close()

    block = await trio.to_thread.run_sync(story)
    assert block.header.height == chain.chain.head.height
