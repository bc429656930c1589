"""The demo's market: one person sells a pattern on a local chain, another finds, buys, uses and rates it, and the sums are right.

All is paid through the contracts that networks have, by the real commands. The chain is of protocol 87, from which on contracts get
no share of the gas: what the accounts have lost together is what the transactions say that they burnt, to the yocto.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from mycel_simnet import strangers
from mycel_simnet.near import finality
from mycel_simnet.near.devchain import NEAR, Devchain, open_devchain
from mycel_simnet.near.keys import from_base58
from mycel_simnet.process import SETTINGS, NodeProcess
from mycel_simnet.telling import Story
from mycelnode.chain.amounts import format_near
from mycelnode.chain.shipped import NAMES, REGISTRY, REPUTATION, shipped

PROTOCOL: Final = 87
PRICE: Final = NEAR // 50
SELLER, BUYER = "alice", "bob"
STEP_SECONDS = 20.0
POLL_SECONDS: Final = 0.2


async def trade(folder: Path, story: Story, dish: str) -> None:
    """The whole act, in a folder that it may fill. Raises what broke it."""
    async with open_devchain(folder / "devchain", protocol_version=PROTOCOL) as chain:
        contracts = await deploy(chain)
        story.say(
            f"a NEAR chain of this machine's own starts at {chain.url}, with the registry and the reputation contract"
        )
        settings = on_chain(folder, chain, contracts)
        async with _open_person(folder, SELLER, chain, settings) as seller:
            swarm = seller.ready["swarm"]
            known = {**settings, "MYCEL_SWARM_BOOTSTRAP": f"{swarm['addrs'][0]}/p2p/{swarm['peer']}"}
            async with _open_person(folder, BUYER, chain, known) as buyer:
                story.say(f"two people who never met, {SELLER} and {BUYER}, start their nodes, each with an account")
                await _play(folder, story, dish, chain, [seller, buyer], contracts)


async def _play(
    folder: Path, story: Story, dish: str, chain: Devchain, people: list[NodeProcess], contracts: Mapping[str, str]
) -> None:
    seller, buyer = people
    accounts = [f"{SELLER}.near", f"{BUYER}.near", *contracts.values()]
    before = {account: chain.balance(account) for account in accounts}
    supply = chain.chain.final.total_supply
    cid = await _sell(seller, folder, dish, story)
    story.promise(f"{BUYER} finds it", True, await strangers.found(buyer, "cook", cid, STEP_SECONDS))
    quote = await buyer.call("pattern.quote", cid=cid)
    story.say(f"{BUYER} is asked: {quote['questions'][0]}")
    used = await buyer.command(
        "pattern", "use", cid, "--var", "people=3", "--var", "leftovers=rice", "--max-price", "0.03", "--yes"
    )
    wanted = f"Cook {dish} for 3 people, of rice, and say how."
    story.promise(f"{BUYER} pays {format_near(int(used['paid']))} and gets it", wanted, used["output"].strip())
    rated = await buyer.command("pattern", "rate", cid, "--success", "yes", "--stars", "5")
    story.promise(f"{BUYER} rates it, in public", "done", await _ended(buyer, rated["queued"]))
    receipt = chain.view(contracts[REGISTRY], "receipt", {"id": 0, "account": f"{BUYER}.near"})
    story.promise("the registry has one use, which is paid and rated", (1, 1), (receipt["uses"], receipt["rated"]))
    burnt = await _burnt(chain, people)
    after = {account: chain.balance(account) for account in accounts}
    for account in accounts:
        change = after[account] - before[account]
        story.say(
            f"{account:16} had {format_near(before[account])}, and has {format_near(after[account])} ({_signed(change)})"
        )
    lost = sum(before.values()) - sum(after.values())
    story.promise(f"together they have lost {format_near(burnt)}, all of it burnt as gas, to the yocto", burnt, lost)
    story.promise("the chain's supply fell by as much", burnt, supply - chain.chain.final.total_supply)


async def _ended(node: NodeProcess, word: str) -> str:
    """How what a node has wanted last ended: on a busy machine a command says "unknown until …", and the node goes on."""
    with trio.move_on_after(STEP_SECONDS):
        while word != "done":
            newest = (await node.call("chain.outbox", all=True))["entries"][0]
            if newest["state"] not in ("waiting", "signed"):
                return str(newest["word"])
            await trio.sleep(POLL_SECONDS)
    return word


async def _sell(seller: NodeProcess, folder: Path, dish: str, story: Story) -> str:
    file = folder / "dinner-for-sale.md"
    text = strangers.PATTERN.format(dish=dish)
    file.write_text(text.replace("domain:", f'price: "{PRICE}"\ndomain:', 1))
    made = await seller.command("pattern", "publish", str(file), "--register", "--consent")
    told = f"{SELLER} publishes how to cook {dish}, and registers it at {format_near(PRICE)} a use"
    story.promise(told, True, made["registered"])
    return str(made["cid"])


def on_chain(folder: Path, chain: Devchain, contracts: Mapping[str, str]) -> dict[str, str]:
    """What a node that trades there has to be told; ``folder``: its keys are below."""
    return {
        "HOME": str(folder),  # where keys are: never among those of the person who looks on
        "MYCEL_NEAR_NETWORK": "devchain",
        "MYCEL_NEAR_RPC": chain.url,
        "MYCEL_NEAR_REGISTRY": contracts[REGISTRY],
    }


async def deploy(chain: Devchain) -> dict[str, str]:
    """Both contracts, each told of the other when it is made: their names → accounts."""
    wallets = {name: await chain.create_account(name) for name in NAMES}
    for name, other in ((REGISTRY, REPUTATION), (REPUTATION, REGISTRY)):
        told = {"owner": chain.root.account_id, other: wallets[other].account_id}
        await chain.deploy(wallets[name], shipped(name).data, "new", told)
    return {name: wallet.account_id for name, wallet in wallets.items()}


@asynccontextmanager
async def _open_person(
    folder: Path, name: str, chain: Devchain, settings: Mapping[str, str]
) -> AsyncIterator[NodeProcess]:
    """A node with a mesh of its own, and the account that is called like it."""
    node = NodeProcess(folder, name, settings={**SETTINGS, **strangers.COLLECTIVE, **settings})
    node.change(routes=None)
    await node.command("init", "--name", name)
    await node.start()
    try:
        await node.command("chain", "account", "import", str(chain.key_file(f"{name}.near")))
        yield node
    finally:
        with trio.CancelScope(shield=True):
            await node.kill()


async def _burnt(chain: Devchain, people: Iterable[NodeProcess]) -> int:
    """What everything that these nodes sent has burnt, as the network says once it is final, refunds and all."""
    total = 0
    for node in people:
        for entry in (await node.command("chain", "outbox", "--all"))["entries"]:
            found = await chain.node.wait(from_base58(entry["transaction"], 32), "FINAL")
            assert found is not None, "it is done, so the chain knows of it"
            told: dict[str, Any] = finality.answer(chain.chain, found)
            outcomes = [told["transaction_outcome"], *told["receipts_outcome"]]
            total += sum(int(one["outcome"]["tokens_burnt"]) for one in outcomes)
    return total


def _signed(yocto: int) -> str:
    return f"{'+' if yocto >= 0 else ''}{format_near(yocto)}"
