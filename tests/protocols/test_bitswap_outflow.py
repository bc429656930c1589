"""What goes out of the Bitswap machine: so much a second, so much at once, and to each its share, whatever the others do."""

from __future__ import annotations

import math

import pytest

from mycelnode.protocols.bitswap import Exchange, Stuck
from mycelnode.protocols.bitswap_frames import Entry, Message
from mycelnode.protocols.bitswap_outflow import BURST_SECONDS, HELD_BYTES, PEER_SHARE, PROVED_BYTES, STUCK_SECONDS
from tests.protocols.test_bitswap import FOREVER, World, blocks_of, cid_of, wants

MIB = 1 << 20
RATE = 10 * MIB
BLOCK = 2 * MIB
STEP = 0.01


class Door:
    """One machine, and peers that ask it for blocks, each another one."""

    def __init__(self, per_second: float = math.inf) -> None:
        self.machine, self.now, self.number = Exchange(per_second), 0.0, 0
        self.got: dict[str, int] = {}  # bytes
        self.greedy = set[str]()  # who asks anew whenever it has got something
        self.deaf = set[str]()  # who takes nothing
        self.taking = set[str]()  # of these, those to which something is under way
        self.cut = dict[str, float]()
        self.sizes = dict[str, int]()  # of the blocks that one asks for; else `BLOCK`

    def join(self, *peers: str) -> None:
        for peer in peers:
            self.machine.connected(peer, self.now)
            self.got.setdefault(peer, 0)

    def ask(self, peer: str, size: int = 0) -> None:
        self.number += 1
        size = size or self.sizes.get(peer, BLOCK)
        cid = cid_of(b"%d" % self.number)
        self.machine.hear(peer, Message((Entry(cid),)), {cid: size}, self.now)

    def speak(self) -> None:
        """All say what they may, each message of one block, which is taken at once."""
        while speakers := self.machine.speaks_to(self.now):
            for peer in sorted(speakers):
                before = self.machine._outflow.held
                said = self.machine.next(peer, self.now)
                if said is None:
                    continue
                assert len(said.answer.blocks) <= 1
                if peer in self.deaf:
                    self.taking.add(peer)
                    continue
                self.got[peer] += self.machine._outflow.held - before
                self.machine.sent(peer)
                if peer in self.greedy:
                    self.ask(peer)

    def look(self) -> None:
        """At the clock."""
        for event in self.machine.tick(self.now):
            assert isinstance(event, Stuck)
            self.cut[event.peer] = self.now
            self.taking.discard(event.peer)

    def run(self, seconds: float) -> None:
        """The clock is looked at when the machine says so, which is enough, and once more, which does no harm."""
        end = self.now + seconds
        self.speak()
        for _ in range(100_000):
            due = self.machine.next_due(self.now)
            if due > end:
                break
            self.now = due
            self.look()
            self.speak()
            self.look()
            self.speak()
            assert self.machine._outflow.held < 2 * (HELD_BYTES + BLOCK)
        else:
            raise AssertionError("the clock is looked at without end")
        self.now = end
        self.look()


def greedy(door: Door, *peers: str) -> None:
    door.join(*peers)
    door.greedy.update(peers)
    for peer in peers:
        door.ask(peer)


# --- bytes a second ------------------------------------------------------------------------------------------------------------


def test_who_asks_without_end_gets_its_share_and_no_more() -> None:
    door = Door(RATE)
    greedy(door, "a")
    door.run(0.0)
    assert BURST_SECONDS * RATE <= door.got["a"] <= BURST_SECONDS * RATE + BLOCK
    door.run(100.0)
    most = RATE * (BURST_SECONDS + 100 * PEER_SHARE)
    assert 0.99 * most <= door.got["a"] <= most + BLOCK


def test_to_come_back_does_not_renew_a_share() -> None:
    door = Door(RATE)
    greedy(door, "a")
    for _ in range(100):
        door.run(1.0)
        door.machine.disconnected("a", door.now)
        greedy(door, "a")
    assert door.got["a"] <= RATE * (BURST_SECONDS + 100 * PEER_SHARE) + BLOCK


def test_all_together_get_what_the_door_gives_in_equal_parts() -> None:
    door = Door(RATE)
    names = [f"{number}" for number in range(20)]
    greedy(door, *names)
    door.run(100.0)
    most = RATE * (BURST_SECONDS + 100)
    assert 0.99 * most <= sum(door.got.values()) <= most + BLOCK
    assert max(door.got.values()) - min(door.got.values()) <= 2 * BLOCK


def test_who_comes_late_neither_waits_for_what_others_have_had_nor_goes_before_them() -> None:
    door = Door(RATE)
    greedy(door, *"abc")
    door.run(100.0)
    before = dict(door.got)
    greedy(door, "d")
    door.run(40.0)
    shares = [door.got[name] - before.get(name, 0) for name in "abcd"]
    assert max(shares) - min(shares) <= 2 * BLOCK
    assert sum(shares) >= 0.99 * 40 * RATE


def test_who_asks_for_little_does_not_wait_behind_those_that_ask_for_much() -> None:
    door = Door(RATE)
    greedy(door, *(f"{number}" for number in range(20)))
    door.run(20.0)
    door.join("modest")
    for _ in range(10):
        door.ask("modest", 5000)
        began = door.now
        while not door.got["modest"]:
            door.run(STEP)
        assert door.now - began <= 2 * BLOCK / RATE, "it waits for more than the message that went out before it"
        door.got["modest"] = 0
        door.run(1.0)


def test_newcomers_without_end_starve_nobody() -> None:
    """A hundred peers that ask once each; whoever has got its block makes place for one more that has had nothing."""
    door = Door(RATE)
    greedy(door, "old")
    door.run(10.0)
    before, count = door.got["old"], 0
    for _ in range(500):
        while len(door.got) < 101:
            count += 1
            door.join(f"new {count}")
            door.ask(f"new {count}")
        door.run(BLOCK / RATE)
        for peer in [peer for peer, size in door.got.items() if size and peer != "old"]:
            door.machine.disconnected(peer, door.now)
            del door.got[peer]
    assert count > 500
    assert door.got["old"] - before >= 3 * BLOCK


def test_who_cancels_and_asks_again_keeps_its_place() -> None:
    """As our own client does, when nothing has come for three seconds."""
    door = Door(RATE)
    door.sizes = {f"{number}": BLOCK - 10_000 * number for number in range(100)}
    greedy(door, *door.sizes)
    door.run(50.0)
    door.join("hasty")
    for _ in range(100):
        cid = cid_of(b"the same")
        for cancel in (True, False):
            door.machine.hear("hasty", Message((Entry(cid, cancel=cancel),)), {cid: BLOCK}, door.now)
        door.run(3.0)
        if door.got["hasty"]:
            break
    assert door.got["hasty"] == BLOCK
    assert door.now - 50.0 <= 2 * 100 * BLOCK / RATE


def test_what_is_asked_for_comes_at_last_however_slowly() -> None:
    """And what is not a block is said meanwhile."""
    door = Door(1000.0)
    door.join("a", "b")
    for peer in "ab":
        door.ask(peer)
        door.ask(peer)
    door.run(0.0)
    assert sorted(door.got.values()) == [0, BLOCK]
    missing = Entry(cid_of(b"missing"), send_dont_have=True)
    (waiting,) = [peer for peer in "ab" if not door.got[peer]]
    door.machine.hear(waiting, Message((missing,)), {}, door.now)
    said = door.machine.next(waiting, door.now)
    assert said is not None
    assert said.answer.presences == ((missing.cid, False),)
    assert said.answer.blocks == ()
    door.machine.sent(waiting)
    door.run(20 * BLOCK / 1000)
    assert list(door.got.values()) == [2 * BLOCK, 2 * BLOCK]


def test_a_fetch_through_a_narrow_door_ends() -> None:
    world = World("a", "b", "c")
    world["b"].machine = Exchange(per_second=50_000)
    for other in ("a", "c"):
        world["b"].machine.connected(other, 0.0)
    cids = world["b"].keep(*blocks_of(200))
    wants(world["a"], cids, 0.0, FOREVER)
    assert world.run(lambda: len(world["a"].got) == 200)
    assert world.now >= (200 * 5000 - BURST_SECONDS * 50_000) / 50_000, "it came faster than it may"


def test_without_a_limit_nothing_waits() -> None:
    door = Door()
    door.join("a", "b")
    for _ in range(100):
        door.ask("a")
        door.ask("b")
    assert door.machine.next_due(0.0) == 0.0
    door.run(0.0)
    assert list(door.got.values()) == [100 * BLOCK, 100 * BLOCK]
    assert door.machine.next_due(0.0) == math.inf


# --- bytes at once -------------------------------------------------------------------------------------------------------------


def deaf(door: Door, count: int, name: str = "deaf") -> list[str]:
    names = [f"{name} {number}" for number in range(count)]
    door.join(*names)
    door.deaf.update(names)
    for each in names:
        door.ask(each)
    return names


def prove(door: Door, *peers: str) -> None:
    """They have shown that they read."""
    door.join(*peers)
    for peer in peers:
        door.ask(peer)
    door.speak()
    assert all(door.got[peer] >= PROVED_BYTES for peer in peers)


def test_a_crowd_that_reads_nothing_holds_little_and_readers_do_not_notice() -> None:
    door = Door()
    prove(door, "reader")
    crowd = deaf(door, 200)
    door.speak()
    assert HELD_BYTES <= door.machine._outflow.held < HELD_BYTES + BLOCK
    assert len(door.taking) < len(crowd)
    for _ in range(100):
        door.ask("reader")
        door.speak()
    assert door.got["reader"] == 101 * BLOCK
    assert not door.cut


def test_who_takes_nothing_makes_room_for_who_waits() -> None:
    door = Door()
    crowd = deaf(door, HELD_BYTES // BLOCK)
    door.run(60.0)
    assert not door.cut, "nobody waited"
    door.join("new")
    door.ask("new")
    assert door.machine.next_due(door.now) <= door.now, "it waits longer than it must"
    door.run(0.0)
    assert door.got["new"] == BLOCK
    assert list(door.cut) == crowd[:1], "more were cut than room was wanted for"


def test_a_newcomer_waits_a_moment_when_a_whole_crowd_has_come_before_it() -> None:
    door = Door()
    deaf(door, 127)
    door.run(0.0)
    door.join("new")
    door.ask("new")
    door.run(STUCK_SECONDS * math.ceil(127 * BLOCK / HELD_BYTES))
    assert door.got["new"] == BLOCK
    assert all(when >= STUCK_SECONDS for when in door.cut.values()), "one was cut at once"


def test_who_is_slow_is_not_cut_for_a_crowd_that_has_taken_nothing() -> None:
    """A slow line is no crime: its bytes have come so far."""
    door = Door()
    prove(door, "slow")
    door.deaf.add("slow")
    door.ask("slow")
    door.run(STUCK_SECONDS / 2)
    deaf(door, 100)
    door.run(STUCK_SECONDS * 0.75)
    assert not door.cut
    door.run(STUCK_SECONDS * 5)
    assert len(door.cut) > 50
    assert "slow" not in door.cut


def test_of_those_that_have_shown_that_they_read_the_one_that_has_taken_least_is_cut() -> None:
    """To read once, and then no more, keeps others out as little as to read nothing."""
    door = Door()
    crowd = [f"{number}" for number in range(HELD_BYTES // BLOCK - 1)]
    prove(door, "slow", "reader", *crowd)
    prove(door, "slow")
    door.deaf |= {"slow", *crowd}
    door.ask("slow")
    door.run(1.0)
    for peer in crowd:
        door.ask(peer)
    door.run(STUCK_SECONDS)
    before = door.got["reader"]
    for number in range(1, 6):
        door.ask("reader")
        door.run(0.0)
        assert door.got["reader"] == before + number * BLOCK
    assert door.cut
    assert "slow" not in door.cut


@pytest.mark.parametrize("how", ["gone", "sent"])
def test_room_is_given_back(how: str) -> None:
    door = Door()
    crowd = deaf(door, 40)
    door.speak()
    for peer in crowd:
        if peer in door.taking:
            door.machine.disconnected(peer, door.now) if how == "gone" else door.machine.sent(peer)
    door.deaf.clear()
    door.speak()
    assert door.machine._outflow.held == 0
    assert door.machine.next_due(door.now) == math.inf


def test_a_peer_takes_one_message_at_a_time() -> None:
    door = Door()
    deaf(door, 1)
    door.ask("deaf 0")
    door.speak()
    assert door.machine._outflow.held == BLOCK
    assert door.machine.speaks_to(door.now) == set()
    assert door.machine.next_due(door.now) == math.inf
