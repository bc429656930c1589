"""Accounts: made, taken in, looked at; and the faucet of testnet, as a server on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from mycelnode.background import open_background
from mycelnode.chain.keys import Credentials, KeyFile, NearKey
from mycelnode.chain.near import Near
from mycelnode.chain.rpc import GENESIS, open_rpc
from mycelnode.chain.wallet import Wallet
from mycelnode.errors import AccountRefused, KeyFileError, MycelError, NearRefused, NearUnreachable
from tests.chain.faults import REPLY_LOST, a_proxy
from tests.chain.market import NEAR, keep_key
from tests.chain.servers import STATUS, Answer, Server, a_server, html, http, refusal, silent

from mycel_simnet.near.devchain import Devchain, open_devchain  # isort: skip


@asynccontextmanager
async def a_wallet(home: Path, url: str, network: str = "devchain") -> AsyncIterator[Wallet]:
    async with open_rpc(network, [url]) as rpc:
        yield Wallet(Near(rpc), Credentials(home), poll=0.02)


def parent_of(home: Path, chain: Devchain, account: str = "alice.near") -> KeyFile:
    return keep_key(home, chain.wallets[account]).find("devchain", account)


async def test_an_account_is_made_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    async with open_devchain() as chain, a_wallet(tmp_path, chain.url) as wallet:
        parent = parent_of(tmp_path, chain)
        made = await wallet.create("shop.alice.near", parent=parent, amount=5 * NEAR)
        before = chain.balance("alice.near")
        again = await wallet.create("shop.alice.near", parent=parent, amount=5 * NEAR)
        assert made == again
        assert chain.balance("alice.near") == before
        found = await wallet.balance("shop.alice.near")
        assert found is not None
        assert (found.total, found.spendable) == (5 * NEAR, 5 * NEAR)
        await wallet.confirm(made)
        assert await wallet.balance("nobody.near") is None


async def test_a_reply_that_gets_lost_makes_no_second_account(tmp_path: Path) -> None:
    async with open_devchain() as chain, a_proxy(chain.url) as proxy, a_wallet(tmp_path, proxy.url) as wallet:
        parent = parent_of(tmp_path, chain)
        proxy.faults["send_tx"] = [REPLY_LOST]
        with pytest.raises(NearUnreachable):
            await wallet.create("shop.alice.near", parent=parent, amount=NEAR)
        made = await wallet.create("shop.alice.near", parent=parent, amount=NEAR)
        assert chain.balance("shop.alice.near") == NEAR
        await wallet.confirm(made)


async def test_what_cannot_be_made_is_told_in_a_sentence_and_spends_nothing(tmp_path: Path) -> None:
    async with open_devchain() as chain, a_wallet(tmp_path, chain.url) as wallet:
        parent = parent_of(tmp_path, chain)
        before = chain.balance("alice.near")
        for account, source, amount, said in (
            ("Shop.alice.near", parent, NEAR, "is no NEAR account"),
            ("shop.bob.near", parent, NEAR, "can only make accounts such as shop.alice.near"),
            ("shop.alice.near", None, NEAR, "made by another one: say which with --from"),
            ("rich.alice.near", parent, 20_000 * NEAR, "alice.near has 10000 NEAR to spend, and 20000"),
        ):
            with pytest.raises(MycelError, match=said) as caught:
                await wallet.create(account, parent=source, amount=amount)
            assert "\n" not in str(caught.value)
        assert chain.balance("alice.near") == before


async def test_an_account_that_somebody_else_has(tmp_path: Path) -> None:
    async with open_devchain() as chain, a_wallet(tmp_path, chain.url) as wallet:
        await chain.create_account("shop.alice.near")
        before = chain.balance("alice.near")
        with pytest.raises(NearRefused, match="AccountAlreadyExists") as caught:
            await wallet.create("shop.alice.near", parent=parent_of(tmp_path, chain), amount=NEAR)
        assert "what was attached came back" in str(caught.value)
        assert before - chain.balance("alice.near") < NEAR // 100


async def test_a_spending_account_is_its_key(tmp_path: Path) -> None:
    async with open_devchain() as chain, a_wallet(tmp_path, chain.url) as wallet:
        made = wallet.new_implicit()
        assert made.account == made.key.public.hex()
        assert made.path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(NearRefused, match="has no key"):
            await wallet.confirm(made)
        from mycel_simnet.near.types import Transfer

        await chain.send(chain.wallets["bob.near"], made.account, Transfer(NEAR))
        await wallet.confirm(made)
        found = await wallet.balance(made.account)
        assert found is not None
        assert found.total == NEAR


async def test_a_key_file_is_taken_in_with_its_account(tmp_path: Path) -> None:
    async with open_devchain(tmp_path / "chain") as chain, a_wallet(tmp_path / "home", chain.url) as wallet:
        path = chain.key_file("carol.near")
        assert path is not None
        taken = wallet.take_in(path)
        assert taken.account == "carol.near"
        assert taken.path == tmp_path / "home/.near-credentials/devchain/carol.near.json"
        await wallet.confirm(taken)
        wrong = tmp_path / "wrong.near.json"
        wrong.write_bytes(NearKey.new().as_json("carol.near"))
        wrong.chmod(0o600)
        with pytest.raises(KeyFileError, match="not overwritten"):
            wallet.take_in(wrong)
        with pytest.raises(NearRefused, match=r"carol\.near has no key"):
            await wallet.confirm(wallet.credentials.read(wrong))


# --- the faucet ----------------------------------------------------------------------------------------------------------------


class Faucet(Server):
    """It answers ``says``, and remembers what it was asked."""

    def __init__(self, says: Answer) -> None:
        super().__init__({})
        self.says, self.made = says, dict[str, str]()

    async def answer(self, stream: trio.SocketStream, request: dict[str, Any]) -> bool:
        if callable(self.says):
            await self.says(self, stream, request)
            return False
        if b" 200 " in self.says:
            self.made[request["newAccountId"]] = request["newAccountPublicKey"]
        await self.send(stream, self.says)
        return False


@asynccontextmanager
async def a_testnet(home: Path, says: Answer) -> AsyncIterator[tuple[Wallet, Faucet]]:
    faucet = Faucet(says)

    def key(request: Any) -> Any:
        named = request["params"]
        if faucet.made.get(named["account_id"]) != named["public_key"]:
            return refusal("UNKNOWN_ACCESS_KEY")
        return {"nonce": 1, "permission": "FullAccess", "block_height": 100, "block_hash": "x"}

    status = {**STATUS, "chain_id": "testnet", "genesis_hash": GENESIS["testnet"]}

    async def view_access_key(server: Server, stream: trio.SocketStream, request: dict[str, Any]) -> None:
        from tests.chain.servers import told

        await server.send(stream, told(key(request), request["id"]))

    async with a_server(status=status, view_access_key=view_access_key) as server, open_background() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, faucet.handle, 0, host="127.0.0.1"))
        faucet.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/account"
        async with a_wallet(home, server.url, "testnet") as wallet:
            yield wallet, faucet


async def test_the_faucet_makes_an_account_of_testnet(tmp_path: Path) -> None:
    async with a_testnet(tmp_path, http(json.dumps({"ok": True}).encode())) as (wallet, faucet):
        made = await wallet.create("fox.testnet", url=faucet.url)
        assert faucet.made == {"fox.testnet": made.key.name}
        assert await wallet.create("fox.testnet", url=faucet.url) == made
        with pytest.raises(AccountRefused, match=r"such as alice\.testnet"):
            await wallet.create("fox.near", url=faucet.url)


SAYS: dict[str, tuple[Answer, str]] = {
    "taken": (http(b"Can't create a new account fox.testnet, it already exists", 500), "already; choose another name"),
    "too often": (http(b"", 429), "too often"),
    "a page": (html(502), "refused to make fox.testnet"),
    "nothing": (http(b"", 500), "no reason given"),
    "much": (http(b"x" * (1 << 20), 500), "answers with more than"),
    "no HTTP": (b"hello", "speaks no HTTP"),
    "a lie": (http(b"{}", 201), "refused to make"),
}


@pytest.mark.parametrize("case", SAYS)
async def test_a_faucet_that_makes_none(tmp_path: Path, case: str) -> None:
    answer, said = SAYS[case]
    async with a_testnet(tmp_path, answer) as (wallet, faucet):
        with pytest.raises(MycelError, match=said) as caught:
            await wallet.create("fox.testnet", url=faucet.url)
        assert "\n" not in str(caught.value)


async def test_a_faucet_that_says_yes_and_makes_none(tmp_path: Path) -> None:
    async with a_testnet(tmp_path, http(b"{}")) as (wallet, faucet):
        faucet.made = type("Forgetful", (dict,), {"get": lambda *_: None})()
        with pytest.raises(NearRefused, match=r"fox\.testnet has no key"):
            await wallet.create("fox.testnet", url=faucet.url)


async def test_a_faucet_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mycelnode.chain import faucet as faucet_module

    monkeypatch.setattr(faucet_module, "SECONDS", 0.1)
    async with a_testnet(tmp_path, silent) as (wallet, faucet):
        with pytest.raises(NearUnreachable, match="did not answer within"):
            await wallet.create("fox.testnet", url=faucet.url)
