"""What can be wrong on the way to a chain, each by itself, through the commands that people type: one clear sentence, status 1.

Refused before it is sent, nothing is spent; failed on chain, what was attached is back, and the sentence names the gas. What
expires is also in tests/chain/test_several.py, and each fault of a server in tests/chain/test_rpc.py.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from mycel_simnet.near.keys import KeyPair
from mycel_simnet.near.types import AccessKey, AddKey, FunctionCallPermission
from mycelnode.chain.keys import NearKey
from mycelnode.chain.rpc import GENESIS
from mycelnode.protocols.payment_journal import decode_entry, encode_entry
from tests.chain.known import cid_of
from tests.chain.market import NEAR
from tests.chain.servers import STATUS, Answer, a_server, endless, html, http, refusal, silent
from tests.chain.trading import uses
from tests.cli import street as people
from tests.cli.conftest import Done, Program, environment
from tests.cli.street import USE, Street, a_street

PIPE = subprocess.PIPE
pytestmark = pytest.mark.timeout(300)  # each starts the program many times
BLOCK = {"header": {"hash": "1" * 32, "height": 100, "timestamp_nanosec": "1", "gas_price": "1"}}
ACCOUNT = {"amount": "1", "locked": "0", "code_hash": "1" * 32, "storage_usage": 182, "block_height": 100}


async def run(program: Program, *arguments: str, url: str = "", **settings: str) -> Done:
    """The program to its end, with a chain that is taken for the one at ``url``."""
    named = {"MYCEL_NEAR_NETWORK": "devchain", "MYCEL_NEAR_RPC": url, **settings}
    return await people.run(program, *arguments, **{key: value for key, value in named.items() if value})


# --- without a chain -----------------------------------------------------------------------------------------------------------

NO_ACCOUNT = "is no NEAR account: one has 2 to 64 small letters and digits, with single . - _ between them"


@pytest.mark.parametrize("name", ["Bob.near", "fox..near", "x y.near", "a" * 65])
async def test_a_wrong_account_id(fox: Program, name: str) -> None:
    assert NO_ACCOUNT in (await run(fox, "chain", "balance", name)).sentence


async def test_a_wrong_account_id_in_a_setting(fox: Program) -> None:
    for key in ("near.account", "near.spender", "near.registry"):
        said = (await run(fox, "config", "set", key, "No One")).sentence
        assert said == f"{key} must be a NEAR account such as alice.testnet, not 'No One'"


def key_file(folder: Path, **fields: str) -> Path:
    file = folder / "key.json"
    file.write_text(json.dumps(fields))
    file.chmod(0o600)
    return file


SECRET, OTHER = (f"ed25519:{part}" for part in (NearKey.of(bytes(32)).name[8:], NearKey.of(bytes(31) + b"1").name[8:]))
BAD_KEYS: dict[str, tuple[dict[str, str], str]] = {
    "no key in it": ({"account_id": "bob.near"}, "is no key file of NEAR: it has no private_key"),
    "another kind": (
        {"private_key": "secp256k1:abc"},
        "like ed25519:… and 64 bytes in base58; other kinds are not used",
    ),
    "too short": ({"private_key": "ed25519:abc"}, "like ed25519:… and 64 bytes in base58; other kinds are not used"),
    "another public half": ({"private_key": SECRET, "public_key": OTHER}, "it is damaged, or was renamed"),
    "no account": (
        {"account_id": "No One", "private_key": SECRET},
        "does not say whose key it is: 'No One' is no NEAR",
    ),
}


@pytest.mark.parametrize("bad", BAD_KEYS)
async def test_a_bad_key_file(fox: Program, tmp_path: Path, bad: str) -> None:
    fields, said = BAD_KEYS[bad]
    file = key_file(tmp_path, **fields)
    sentence = (await run(fox, "chain", "account", "import", str(file))).sentence
    assert sentence.startswith(str(file))
    assert said in sentence
    assert fields.get("private_key", "?") not in sentence, "no secret is shown"


async def test_a_key_file_that_is_no_json(fox: Program, tmp_path: Path) -> None:
    file = key_file(tmp_path)
    file.write_text("ed25519:abc")
    said = (await run(fox, "chain", "account", "import", str(file))).sentence
    assert said == f"{file} is no key file of NEAR: it is no JSON object"


async def test_a_loose_key_file(fox: Program, tmp_path: Path) -> None:
    file = key_file(tmp_path, account_id="bob.near", private_key=SECRET)
    for mode in (0o644, 0o640):
        file.chmod(mode)
        said = (await run(fox, "chain", "account", "import", str(file))).sentence
        assert said == f"{file} can be read by other users; run: chmod 600 {file}"


# --- servers -------------------------------------------------------------------------------------------------------------------

ANOTHER_BLOCK = {**ACCOUNT, "block_hash": "1" * 31 + "2"}
FAULTS: dict[str, tuple[dict[str, Answer], str]] = {
    "wrong block hash": (
        {"view_account": ANOTHER_BLOCK},
        "an RPC server answers for another block than it was asked about",
    ),
    "empty result": ({"view_account": {}}, "an RPC server answers for another block than it was asked about"),
    "no result": ({"block": None}, "the answer to block makes no sense: it should be an object"),
    "nothing": ({"block": http(b"")}, "{url} answers with nothing, as no RPC server does"),
    "408": ({"block": http(b"", 408)}, "{url} says 408"),
    "408 of the network": ({"block": refusal("TIMEOUT_ERROR")}, "{url} says TIMEOUT_ERROR"),
    "429": ({"block": http(b"", 429)}, "{url} says that it was asked too often (429)"),
    "HTML": ({"block": html()}, "{url} answers with a web page, as no RPC server does"),
    "100 MB": ({"block": endless}, "{url} answers with more than 4,194,304 bytes"),
    "slow": ({"block": silent}, "{url} did not answer within 10 s"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_lying_or_slow_server(fox: Program, fault: str) -> None:
    acts, said = FAULTS[fault]
    async with a_server(**{"block": BLOCK, **acts}) as server:
        sentence = (await run(fox, "chain", "balance", "bob.near", url=server.url)).sentence
        assert said.format(url=server.url) in sentence


async def test_an_address_at_which_nobody_is(fox: Program) -> None:
    said = (await run(fox, "chain", "balance", "bob.near", url="http://127.0.0.1:9")).sentence
    assert said == "no NEAR RPC server answers: http://127.0.0.1:9 cannot be reached"


async def test_the_wrong_network(fox: Program) -> None:
    async with a_server() as server:
        said = (await run(fox, "chain", "balance", "bob.near", url=server.url, MYCEL_NEAR_NETWORK="testnet")).sentence
        assert said == (
            f"{server.url} is a server of devchain, and near.network says testnet; one of the two settings, near.rpc or"
            " near.network, is wrong"
        )


async def test_a_server_that_stands_still(fox: Program) -> None:
    status = {**STATUS, "chain_id": "testnet", "genesis_hash": GENESIS["testnet"]}
    async with a_server(status=status, block=BLOCK) as server:
        said = (await run(fox, "chain", "balance", "bob.near", url=server.url, MYCEL_NEAR_NETWORK="testnet")).sentence
        assert said.startswith(f"no NEAR RPC server keeps up: {server.url} is behind, as its last final block is ")
        assert said.endswith(" minutes old (unless this device's clock is wrong)")


# --- buying and publishing, on a devchain ----------------------------------------------------------------------------------------


@pytest.fixture
async def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    async with a_street(tmp_path, monkeypatch) as made:
        yield made


async def use(street: Street, cid: str, **settings: str) -> str:
    """Have Bob use a pattern that he may not; the sentence, and nothing is spent."""
    before = street.market.chain.balance("bob.near")
    named = {"MYCEL_NEAR_REGISTRY": street.market.registry.account_id, **settings}
    done = await run(street.bob, "pattern", "use", cid, *USE, "--yes", url=street.proxy.url, **named)
    assert street.market.chain.balance("bob.near") == before
    assert "send_tx" not in street.proxy.asked
    return done.sentence


async def publish(street: Street, **settings: str) -> str:
    """Have Alice register what cannot be; the sentence, and nothing is public."""
    named = {"MYCEL_NEAR_REGISTRY": street.market.registry.account_id, **settings}
    order = ("pattern", "publish", str(street.file), "--register", "--consent")
    done = await run(street.alice, *order, url=street.market.chain.url, **named)
    assert (await street.run(street.alice, "pattern", "list", "--json")).json["patterns"] == []
    return done.sentence


def bobs_key(street: Street) -> Path:
    """Where it lies once it was imported."""
    return street.file.parent / "home" / ".near-credentials" / "devchain" / "bob.near.json"


async def test_a_key_that_became_loose_or_lies_under_two_networks(street: Street) -> None:
    cid, _ = await street.sell()
    file = bobs_key(street)
    file.chmod(0o644)
    assert await use(street, cid) == f"{file} can be read by other users; run: chmod 600 {file}"
    file.chmod(0o600)
    other = file.parent.with_name("testnet") / file.name
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    assert f"is under two networks, devchain and testnet ({other}): what is signed for" in await use(street, cid)


async def test_no_contract_or_no_account_at_near_registry(street: Street) -> None:
    fix = "set near.registry to the account of a registry"
    said = await publish(street, MYCEL_NEAR_REGISTRY="carol.near")
    assert said == f"no contract is deployed at carol.near; {fix}; nothing was made public"
    cid, _ = await street.sell()
    said = await use(street, cid, MYCEL_NEAR_REGISTRY="carol.near")
    assert said == f"this pattern was not bought: no contract is deployed at carol.near; {fix}; nothing was spent"
    said = await use(street, cid, MYCEL_NEAR_REGISTRY="nobody.near")
    assert said == (
        f"this pattern was not bought: there is no account nobody.near on this network; {fix}; nothing was spent"
    )


async def test_a_contract_that_is_paused(street: Street) -> None:
    market = street.market

    async def owner(method: str) -> None:
        await market.chain.call(market.chain.root, market.registry, method, {}, deposit=1)

    await owner("pause")
    said = await publish(street)
    assert said == "registry.root.near is paused, so nothing can be registered now; nothing was made public"
    await owner("resume")
    cid, _ = await street.sell()
    await owner("pause")
    assert await use(street, cid) == "this pattern was not bought: registry.root.near is paused; nothing was spent"
    before = market.chain.balance("alice.near")
    priced = await street.run(street.alice, "pattern", "price", cid, "0.02")
    assert priced.sentence == "registry.root.near is paused; nothing was spent"
    assert market.chain.balance("alice.near") == before


async def test_a_hash_on_chain_that_is_not_that_of_the_pattern(street: Street) -> None:
    cid, number = await street.sell()
    digest, other = cid_of("another one")
    args = {"id": number, "pattern_hash": digest, "metadata_cid": other}
    market = street.market
    await market.chain.call(market.chain.wallets["alice.near"], market.registry, "update_pattern", args, deposit=1)
    assert await use(street, cid) == (
        "this pattern was not bought: alice.near, whom it names, has not registered it at registry.root.near, or has put another in"
        " its place; nothing was spent"
    )


async def test_too_little_money(street: Street) -> None:
    cid, _ = await street.sell()
    wallet = await street.market.chain.create_account("poor", NEAR // 100)
    fields = {"account_id": wallet.account_id, "private_key": wallet.key.secret_text}
    order = ("chain", "account", "import", str(key_file(street.file.parent, **fields)), "--spender")
    assert (await street.run(street.bob, *order)).code == 0
    said = await use(street, cid)
    assert said.startswith("poor.root.near has 0.01 NEAR to spend, and 0.0")
    assert said.endswith(" are needed, with the gas in advance; nothing was spent")


async def test_a_key_that_may_only_call_and_one_whose_allowance_is_used_up(street: Street) -> None:
    market = street.market
    cid, number = await street.sell()
    assert (await street.run(street.bob, "pattern", "use", cid, *USE, "--yes")).code == 0
    pair = KeyPair(bytes(range(32)))
    permission = FunctionCallPermission(10**21, market.registry.account_id, ("rate_pattern",))
    bob = market.chain.wallets["bob.near"]
    await market.chain.send(bob, "bob.near", AddKey(pair.public, AccessKey(0, permission)))
    file = bobs_key(street)
    file.write_text(json.dumps({"account_id": "bob.near", "private_key": pair.secret_text}))
    said = await use(street, cid)
    assert said == f"the key {pair.public_text} of bob.near may only call methods, and cannot pay; nothing was spent"
    before = market.chain.balance("bob.near")
    rated = await street.run(street.bob, "pattern", "rate", cid, "--success", "yes")
    assert f"the key {pair.public_text} may spend 0.001 NEAR on gas, and " in rated.sentence
    assert rated.sentence.endswith(" are needed; nothing was spent")
    assert (market.chain.balance("bob.near"), uses(market, number)) == (before, 1)
    imported = await street.run(street.bob, "chain", "account", "import", str(file))
    assert imported.sentence.endswith("it cannot pay. Use a full-access key of an account that has little")


async def test_what_fails_on_chain(street: Street) -> None:
    cid, number = await street.sell()
    market = street.market

    async def pause(name: str, request: Any) -> None:
        if name == "send_tx":
            street.proxy.before = street.proxy.after
            await market.chain.call(market.chain.root, market.registry, "pause", {}, deposit=1)

    street.proxy.before = pause
    before = market.chain.balance("bob.near")
    used = await street.run(street.bob, "pattern", "use", cid, *USE, "--yes", url=street.proxy.url)
    said = used.sentence
    assert said.startswith(
        "the contract says: ERR_PAUSED: the contract is paused; what was attached came back, and 0.00"
    )
    assert said.endswith(" NEAR of gas was burnt")
    assert 0 < before - market.chain.balance("bob.near") < NEAR // 100
    assert uses(market, number) == 0


async def test_what_expires_before_it_is_carried_out(street: Street) -> None:
    cid, number = await street.sell()
    process: list[trio.Process] = []

    async def kill(name: str, request: Any) -> None:
        if name == "send_tx" and process:
            process[0].kill()

    street.proxy.before = kill
    street.proxy.faults["send_tx"] = ["lost"]
    order = street.bob.command("pattern", "use", cid, *USE, "--yes")
    env = environment(street.settings(street.proxy.url))
    process.append(await trio.lowlevel.open_process(order, stdin=subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, env=env))
    async with process[0].stdout, process[0].stderr:  # type: ignore[union-attr]
        await process[0].wait()
    await trio.to_thread.run_sync(let_expire, street.bob.folder)
    used = await street.run(street.bob, "pattern", "use", cid, *USE, "--yes")
    assert used.sentence == "it expired before it was carried out; nothing was spent but gas"
    assert uses(street.market, number) == 0


def let_expire(folder: Path) -> None:
    """As if an hour had passed since something was wanted."""
    with closing(sqlite3.connect(folder / "mycel.db")) as connection, connection:
        name, data = connection.execute("SELECT id, entry FROM payments WHERE ended = 0").fetchone()
        entry = decode_entry(data)
        assert entry.signed is not None
        late = encode_entry(replace(entry, intent=replace(entry.intent, expires=1)))
        connection.execute("UPDATE payments SET entry = ? WHERE id = ?", (late, name))
