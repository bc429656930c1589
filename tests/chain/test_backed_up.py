"""What a backup brings back of payments: what had ended, no key, and no account that pays."""

from __future__ import annotations

import trio

from mycelnode import clock
from mycelnode.background import open_background
from mycelnode.backup import create, restore
from mycelnode.chain.service import open_chain
from mycelnode.chain.uses import Uses
from mycelnode.market.commands import ChainCommands
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir
from mycelnode.protocols.payment_journal import State
from tests.chain.faults import LOST
from tests.chain.market import NEAR
from tests.chain.test_trading import Town, town
from tests.chain.trading import VARIABLES
from tests.node.nodes import ask
from tests.test_backup import CHEAP, CLOCK, PASSPHRASE

__all__ = ["town"]  # a fixture


async def test_what_was_paid_comes_back_and_what_is_under_way_does_not(town: Town) -> None:
    cid, _ = await town.sell()
    other, _ = await town.sell(title="Another")
    spender = (await ask(town.bob, "chain.account.create", **{"from": "bob.near"}, amount=str(NEAR)))["account"]
    await town.bob.patterns.use(cid, VARIABLES, yes=True, request="monday")
    town.proxy.faults["send_tx"] = [LOST] * 10_000
    assert (await town.bob.patterns.use(other, VARIABLES, yes=True, wait=False)).pending
    before = (await ask(town.bob, "chain.receipts"))["receipts"]
    data = DataDir(town.folder / "bob")
    file = create(data, PASSPHRASE, town.folder / "x.backup", clock=CLOCK, strength=CHEAP).file
    target = DataDir(town.folder / "new")
    restored = await trio.to_thread.run_sync(lambda: restore(target, file, PASSPHRASE, clock=CLOCK))
    assert restored.spender == spender
    assert spender not in target.config.read_text()
    async with open_mesh(target, clock=clock.system()) as mesh, open_chain(mesh) as chain, open_background() as nursery:
        nursery.start_soon(chain.run)
        assert (mesh.settings.get("near.spender"), mesh.settings.get("near.account")) == ("", "bob.near")
        told = await ChainCommands(lambda: chain).table()["chain.receipts"]({})
        paid = [
            {**one, "title": None} for one in before if one["state"] == "done"
        ]  # its manifest is looked at by the next node
        assert paid == told["receipts"]
        assert [(one["cid"], one["account"]) for one in told["receipts"]] == [(cid, spender)]
        assert {line.entry.state for line in chain.journal.lines()} == {State.DONE}
        uses = Uses(mesh.database, mesh.clock)
        found = uses.find(cid, "monday", "")
        assert found is not None
        assert found.served
        assert uses.find(other, None, "") is None
        assert chain.journal.last(found.payment) is not None
