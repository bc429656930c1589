"""Blocks, finality, time, looking at the past, copies, and what is left after the program ends in whatever way."""

from __future__ import annotations

from pathlib import Path

import pytest

from mycel_simnet.near import finality, tables
from mycel_simnet.near.chain import Chain
from mycel_simnet.near.keys import from_base58
from mycel_simnet.near.state import DATA, account_of
from mycel_simnet.near.store import ChainFileBusy, ChainFileUnusable, Store
from mycel_simnet.near.types import FunctionCall, Transfer
from tests.simnet.near.contracts import EVERYTHING
from tests.simnet.near.world import NEAR, TERAGAS, Clock, World, succeeded


@pytest.fixture
def world() -> World:
    return World()


def test_a_chain_with_nothing_to_do_makes_no_blocks(world: World) -> None:
    head = world.chain.head
    assert not world.chain.busy
    world.chain.settle()
    assert world.chain.head == head


def test_a_transaction_comes_further_with_every_block(world: World) -> None:
    signed = world.signed("alice", "bob", Transfer(1))
    world.chain.submit(signed)
    seen = []
    while world.chain.busy:
        world.chain.produce()
        found = finality.progress(world.chain, signed.transaction.hash)
        assert found is not None
        seen.append(finality.status(world.chain, found))
        reached = [level for level in finality.LEVELS if finality.reached(world.chain, found, level)]
        assert seen[-1] in reached
    assert seen == ["INCLUDED", "EXECUTED_OPTIMISTIC", "EXECUTED", "EXECUTED", "FINAL"], (
        "included, carried out with the first block final two later, refunded and final two after that"
    )


def test_final_waits_for_the_refund(world: World) -> None:
    signed = world.signed("alice", "bob", Transfer(1))
    world.chain.submit(signed)
    world.chain.produce()
    world.chain.produce()
    found = finality.progress(world.chain, signed.transaction.hash)
    assert found is not None
    assert found.refunds_pending
    assert finality.answer(world.chain, found)["status"] == {"SuccessValue": ""}


def test_final_state_is_that_of_two_blocks_ago(world: World) -> None:
    world.chain.submit(world.signed("alice", "bob", Transfer(7)))
    for _ in range(3):
        final = account_of(world.chain.state_at(world.chain.final), "bob")
        assert final is not None
        assert final.amount == 1000 * NEAR, "the transfer is not final yet"
        world.chain.produce()
    world.chain.settle()
    final = account_of(world.chain.state_at(world.chain.final), "bob")
    assert final is not None
    assert final.amount == 1000 * NEAR + 7


def test_the_past_can_be_looked_at(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    heads = []
    for text in (b"one", b"two"):
        succeeded(world.call("bob", shop, "store", text))
        heads.append(world.chain.head)
    succeeded(world.call("bob", shop, "remove"))
    assert [world.chain.state_at(head).get(DATA, shop, b"k") for head in heads] == [b"one", b"two"]
    assert world.stored(shop) is None
    assert list(world.chain.state_at(heads[0]).scan(DATA, shop)) == [(b"k", b"one")]


def test_time_follows_the_clock_and_never_stands_still(world: World) -> None:
    clock = world.chain._clock
    assert isinstance(clock, Clock)
    first = world.chain.produce()
    second = world.chain.produce()
    assert second.timestamp == first.timestamp + 1
    clock.now += 5 * 10**9
    assert world.chain.produce().timestamp == clock.now
    clock.now -= 10**12
    assert world.chain.produce().timestamp > second.timestamp, "also when the clock is set back"


def test_time_can_be_skipped(world: World) -> None:
    before = world.chain.head
    world.chain.skip(100_000, 3600 * 10**9)
    head = world.chain.head
    assert head.height == before.height + 100_000
    assert head.timestamp - before.timestamp >= 3600 * 10**9
    assert world.chain.final.height == head.height - 2
    assert head.epoch_height == before.epoch_height + 100_000 // tables.EPOCH_LENGTH
    assert head.ordinal == before.ordinal + 3


def test_a_block_without_room_leaves_receipts_for_the_next(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    sent = [world.signed(name, shop, FunctionCall("spin", b"", 900 * TERAGAS, 0)) for name in ("alice", "bob", "carol")]
    for signed in sent:
        world.chain.submit(signed)
    world.chain.produce()
    second = world.chain.produce()
    assert second.gas_used > tables.GAS_LIMIT
    assert [one.predecessor_id for one in second.delayed] == ["alice"], (
        "two, whose nonces are lower, took the block's gas"
    )
    world.chain.settle()
    assert all("Failure" in world.answer(signed.transaction.hash)["status"] for signed in sent)


def test_a_copy_puts_everything_back(world: World) -> None:
    shop = world.create("shop", code=EVERYTHING)
    succeeded(world.call("bob", shop, "store", b"one"))
    copy = world.chain.copy()
    before = (world.chain.head, world.total())
    signed = world.signed("bob", shop, FunctionCall("store", b"two", 10 * TERAGAS, 0))
    world.run(signed)
    world.chain.skip(1000, 10**12)
    world.chain.put_back(copy)
    assert (world.chain.head, world.total()) == before
    assert world.stored(shop) == b"one"
    assert world.chain.known(signed.transaction.hash) is None, "it never happened"
    succeeded(world.call("bob", shop, "store", b"three"))
    world.chain.put_back(copy)
    assert world.stored(shop) == b"one", "a copy can be used again"


# --- the file -----------------------------------------------------------------------------------------------------------------


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "chain.sqlite", Clock()
    store = Store(path)
    world = World(Chain(store, clock))
    shop = world.create("shop", code=EVERYTHING)
    answer = world.call("bob", shop, "store", b"kept")
    world.chain.skip(10, 10**15)
    world.chain.submit(world.signed("alice", "bob", Transfer(5)))
    world.chain.produce()
    head, total = world.chain.head, world.total()
    store.close()

    again = World(Chain(Store(path), clock))
    assert (again.chain.head, again.total()) == (head, total)
    assert again.stored(shop) == b"kept"
    assert again.chain.busy, "the transfer was on its way"
    again.chain.settle()
    assert again.balance("bob") >= 1000 * NEAR - 10**23
    assert again.total() == again.chain.head.total_supply
    assert again.chain.now() - clock.now == 10**15, "time that was skipped stays skipped"
    assert again.answer(from_base58(answer["transaction"]["hash"], 32))["status"] == answer["status"]
    succeeded(again.call("bob", shop, "store", b"more"))


def test_a_commit_is_on_the_disk_before_it_returns(tmp_path: Path) -> None:
    """A kill can't show it, a power cut would."""
    store = Store(tmp_path / "chain.sqlite")
    (synchronous,) = store._connection.execute("PRAGMA synchronous").fetchone()
    (journal,) = store._connection.execute("PRAGMA journal_mode").fetchone()
    store.close()
    assert (synchronous, journal) == (2, "wal"), "2 is FULL"


def test_a_chain_belongs_to_one_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "chain.sqlite")
    with pytest.raises(ChainFileBusy):
        Store(tmp_path / "chain.sqlite")
    store.close()
    Store(tmp_path / "chain.sqlite").close()


def test_a_file_that_is_no_chain_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chain.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ChainFileUnusable):
        Store(path)
    assert path.read_bytes().startswith(b"not a database")
    with pytest.raises(ChainFileUnusable, match="cannot be opened"):
        Store(tmp_path)


def test_a_chain_of_a_later_program_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "chain.sqlite")
    store._connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(ChainFileUnusable, match="format 99"):
        Store(tmp_path / "chain.sqlite")


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    Store(tmp_path / "chain.sqlite").close()
    assert (tmp_path / "chain.sqlite").stat().st_mode & 0o077 == 0
