"""The Bitswap machine, many of them in memory: every block that a live peer has arrives, whatever the others do."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.errors import BusyError
from mycelnode.protocols import bitswap_client, bitswap_server
from mycelnode.protocols.bitswap import Event, Exchange, Stuck, asked_for
from mycelnode.protocols.bitswap_client import Flooded, Got, Missed, Session
from mycelnode.protocols.bitswap_frames import Block, Entry, Message, decode_message, encode_message

FOREVER = 1e9


def cid_of(data: bytes, codec: int = 0x55) -> bytes:
    return bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(data).digest()


def v0(cid: bytes) -> bytes:
    return cid[2:]


@dataclass(eq=False)
class Node:
    name: str
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    machine: Exchange = field(default_factory=Exchange)
    got: dict[bytes, bytes] = field(default_factory=dict)
    missed: list[Missed] = field(default_factory=list)
    flooded: set[str] = field(default_factory=set)
    stuck: list[str] = field(default_factory=list)
    gave: int = 0  # blocks, to others
    heard: list[tuple[str, Message]] = field(default_factory=list)

    def keep(self, *blocks: bytes) -> list[bytes]:
        self.blocks |= {cid_of(block): block for block in blocks}
        return [cid_of(block) for block in blocks]

    def hear(self, peer: str, message: Message, now: float) -> None:
        self.heard.append((peer, message))
        held = {cid: len(self.blocks[cid]) for cid in asked_for(message) if cid in self.blocks}
        self.take(self.machine.hear(peer, message, held, now))

    def tick(self, now: float) -> None:
        self.take(self.machine.tick(now))

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Got(name, data, _):
                    assert cid_of(data, name[1]) == name
                    assert name not in self.got
                    self.got[name] = data
                case Missed():
                    self.missed.append(event)
                case Flooded(peer, _):
                    self.flooded.add(peer)
                case Stuck(peer):
                    self.stuck.append(peer)

    def says(self, peer: str, now: float = 0.0) -> Message | None:
        said = self.machine.next(peer, now)
        if said is None:
            return None
        self.machine.sent(peer)
        message = said.message({name: self.blocks[name] for name in said.wanted if name in self.blocks})
        self.gave += len(message.blocks)
        return message


Meddle = Callable[[str, str, Message], Message | None]


class World:
    """All are connected with all. A message takes up to ``delay`` seconds, and ``meddle`` may lose or change it."""

    def __init__(self, *names: str, seed: int = 0, delay: float = 0.05, meddle: Meddle = lambda a, b, m: m) -> None:
        self.nodes = {name: Node(name) for name in names}
        self.now, self.random, self.delay, self.meddle = 0.0, random.Random(seed), delay, meddle
        self.flying: list[tuple[float, int, str, str, bytes]] = []
        self.sent = 0
        for one in names:
            for other in names:
                if one != other:
                    self.nodes[one].machine.connected(other, self.now)

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def run(self, until: Callable[[], bool] = lambda: False, seconds: float = 200.0) -> bool:
        end = self.now + seconds
        while self.now < end and not until():
            self._send()
            self.now += 0.01
            due = sorted(flight for flight in self.flying if flight[0] <= self.now)
            self.flying = [flight for flight in self.flying if flight[0] > self.now]
            for _, _, source, target, data in due:
                if target in self.nodes and source in self.nodes:
                    self.nodes[target].hear(source, decode_message(data), self.now)
            for node in self.nodes.values():
                if node.machine.client.next_due(self.now) <= self.now + bitswap_client.TICK_SECONDS:
                    node.tick(self.now)
        return until()

    def _send(self) -> None:
        for node in list(self.nodes.values()):
            for peer in sorted(node.machine.speaks_to(self.now)):
                while (message := node.says(peer, self.now)) is not None:
                    changed = self.meddle(node.name, peer, message)
                    if changed is not None:
                        self.sent += 1
                        when = self.now + self.delay * self.random.random()
                        self.flying.append((when, self.sent, node.name, peer, encode_message(changed)))

    def kill(self, name: str) -> None:
        del self.nodes[name]
        for node in self.nodes.values():
            node.machine.disconnected(name, self.now)


def wants(node: Node, cids: list[bytes], now: float, deadline: float = FOREVER, session: Session | None = None) -> None:
    session = session or Session()
    for cid in cids:
        node.machine.want(cid, session, deadline, now)


def blocks_of(count: int, size: int = 5000) -> list[bytes]:
    return [random.Random(number).randbytes(size) for number in range(count)]


# --- fetching ----------------------------------------------------------------------------------------------------------------


def test_one_peer_has_all() -> None:
    world = World("a", "b")
    cids = world["b"].keep(*blocks_of(100))
    wants(world["a"], cids, 0.0)
    assert world.run(lambda: len(world["a"].got) == 100, 10)
    assert world["b"].gave == 100  # each block went over the line once


def test_the_first_question_to_the_only_peer_is_for_the_block_itself() -> None:
    world = World("a", "b")
    wants(world["a"], [cid_of(b"x")], 0.0)
    said = world["a"].says("b")
    assert said is not None
    assert [entry.want_have for entry in said.entries] == [False]


def test_of_several_peers_who_has_it_is_asked_first() -> None:
    world = World("a", "b", "c", "d")
    cids = world["c"].keep(*blocks_of(20))
    wants(world["a"], cids, 0.0)
    assert world.run(lambda: len(world["a"].got) == 20, 10)
    for other in ("b", "d"):
        asked = [entry for _, message in world[other].heard for entry in message.entries if not entry.cancel]
        assert all(entry.want_have for entry in asked)


def test_the_work_is_spread_over_those_who_have_it() -> None:
    world = World("a", "b", "c", "d", "e")
    for peer in "bcde":
        cids = world[peer].keep(*blocks_of(200))
    session, names = Session(), iter(cids)
    while (before := len(world["a"].got)) < 200:
        while world["a"].machine.client.wants < 16 and (name := next(names, None)) is not None:
            world["a"].machine.want(name, session, FOREVER, world.now)
        assert world.run(lambda: len(world["a"].got) > before, 10)  # it is called now
    gave = [world[peer].gave for peer in "bcde"]
    assert min(gave) > 200 / 4 / 3
    assert sum(gave) == 200


def test_no_peer_is_asked_for_more_at_once_than_it_may_be() -> None:
    node = Node("a")
    node.machine.connected("b", 0.0)
    cids = [cid_of(block) for block in blocks_of(100, 5)]
    wants(node, cids, 0.0)
    blocks = {cid_of(block): block for block in blocks_of(100, 5)}
    owed, most = set[bytes](), 0
    while len(node.got) < 100:
        message = node.says("b")
        for entry in message.entries if message else ():
            if entry.want_have:
                node.hear("b", Message(presences=((entry.cid, True),)), 0.0)
            else:
                owed.add(entry.cid)
        most = max(most, len(owed))
        if owed:
            cid = owed.pop()
            node.hear("b", Message(blocks=(Block.of(cid, blocks[cid]),)), 0.0)
    assert most == bitswap_client.REQUESTS


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 5),
    st.floats(0, 0.3),
    st.sampled_from(["", "liar", "mute", "thief", "garbage"]),
)
def test_every_block_that_a_live_peer_has_arrives(seed: int, peers: int, loss: float, bad: str) -> None:
    """With messages lost and overtaking each other, a peer that says what is not true, and one that dies on the way."""
    rng = random.Random(seed)

    def meddle(source: str, target: str, message: Message) -> Message | None:
        if rng.random() < loss:
            return None
        if source != "bad":
            return message
        if bad == "mute":
            return None
        if bad == "garbage":
            return Message(message.entries, blocks=tuple(Block.of(cid_of(b""), rng.randbytes(50)) for _ in range(3)))
        return Message(message.entries)

    names = [f"peer{number}" for number in range(peers)]
    world = World("a", *names, "bad", "dying", seed=seed, meddle=meddle)
    blocks = blocks_of(12, 2000)
    for block in blocks:
        for name in {rng.choice(names), rng.choice(names), "dying"}:
            world[name].keep(block)
    bad_node = world["bad"]
    if bad == "liar":  # says that it has everything, and gives nothing

        def hear(peer: str, message: Message, now: float) -> None:
            said = tuple((entry.cid, True) for entry in message.entries if not entry.cancel)
            world["a"].hear("bad", Message(presences=said), now)

        bad_node.hear = hear  # type: ignore[method-assign]
    wants(world["a"], [cid_of(block) for block in blocks], 0.0)
    world.run(seconds=0.1)
    world.kill("dying")
    assert world.run(lambda: len(world["a"].got) == len(blocks), 1500)


def test_a_peer_that_says_that_it_has_everything_costs_seconds_and_no_more() -> None:
    world = World("a", "liar", "b")
    cids = world["b"].keep(*blocks_of(50))

    def hear(peer: str, message: Message, now: float) -> None:
        said = tuple((entry.cid, True) for entry in message.entries if not entry.cancel)
        world["a"].hear("liar", Message(presences=said), now)

    world["liar"].hear = hear  # type: ignore[method-assign]
    wants(world["a"], cids, 0.0)
    assert world.run(lambda: len(world["a"].got) == 50, 2 * bitswap_client.UNPROVED_SECONDS)


def test_a_peer_that_answers_no_more_is_given_up_in_time() -> None:
    world = World("a", "b", "c")
    cids = world["b"].keep(*blocks_of(30))
    wants(world["a"], cids[:10], 0.0)
    assert world.run(lambda: len(world["a"].got) == 10, 5)
    world["c"].keep(*blocks_of(30))
    world["b"].hear = lambda peer, message, now: None  # type: ignore[method-assign]
    wants(world["a"], cids[10:], world.now)
    assert world.run(lambda: len(world["a"].got) == 30, 2 * bitswap_client.SILENT_SECONDS)


def test_a_slow_peer_that_sends_is_waited_for() -> None:
    node = Node("a")
    node.machine.connected("b", 0.0)
    block = b"slow"
    node.machine.want(cid_of(block), Session(), FOREVER, 0.0)
    assert node.says("b") is not None
    for second in range(50):
        node.machine.client.stirs("b", float(second))
        node.tick(float(second))
        assert node.says("b") is None
    node.tick(bitswap_client.REQUEST_SECONDS)  # but not for ever: it is asked again, as there is nobody else
    assert node.says("b") is not None


def test_a_block_that_comes_late_is_sent_to_who_waits() -> None:
    world = World("a", "b")
    block = blocks_of(1)[0]
    wants(world["a"], [cid_of(block)], 0.0)
    world.run(seconds=2)
    assert world["a"].got == {}
    world["b"].keep(block)
    world["b"].machine.arrived(cid_of(block), len(block))
    assert world.run(lambda: bool(world["a"].got), 1)


def test_who_connects_later_is_asked_too() -> None:
    world = World("a", "b")
    block = blocks_of(1)[0]
    wants(world["a"], [cid_of(block)], 0.0)
    world.run(seconds=1)
    world.nodes["c"] = Node("c")
    world["c"].keep(block)
    world["c"].machine.connected("a", world.now)
    world["a"].machine.connected("c", world.now)
    assert world.run(lambda: bool(world["a"].got), 1)


def test_only_the_peers_that_were_named_are_asked() -> None:
    world = World("a", "b", "c")
    cids = world["b"].keep(*blocks_of(3))
    wants(world["a"], cids, 0.0, session=Session(frozenset({"c"})))
    world.run(seconds=30)
    assert world["a"].got == {}
    assert world["b"].heard == []
    wants(world["a"], cids, world.now)  # somebody else, who asks everybody
    assert world.run(lambda: len(world["a"].got) == 3, 30)


@pytest.mark.parametrize("others", [(), ("b",), ("b", "c", "d")])
def test_who_is_impatient_hears_soon_that_nobody_has_it(others: tuple[str, ...]) -> None:
    world = World("a", *others)
    missing = cid_of(b"nobody's")
    wants(world["a"], [missing], 0.0, session=Session(patient=False))
    assert world.run(lambda: bool(world["a"].missed), 2.0)
    assert world["a"].missed == [Missed(missing, len(others), len(others))]


def test_who_is_impatient_waits_for_one_that_has_it_and_for_one_that_says_nothing() -> None:
    world = World("a", "b", "c", meddle=lambda a, b, m: None if a == "c" else m)
    cids = world["b"].keep(*blocks_of(20))
    wants(world["a"], cids, 0.0, session=Session(patient=False))
    assert world.run(lambda: len(world["a"].got) == 20, 10)
    wants(world["a"], [cid_of(b"perhaps c's")], world.now, session=Session(patient=False))
    assert not world.run(lambda: bool(world["a"].missed), 5.0)


def test_a_deadline_ends_a_want_everywhere() -> None:
    world = World("a", "b", "c")
    wants(world["a"], [cid_of(b"nowhere")], 0.0, deadline=5.0)
    world.run(seconds=4)
    assert world["a"].missed == []
    world.run(seconds=2)
    assert world["a"].missed == [Missed(cid_of(b"nowhere"), 2, 2)]
    assert world["a"].machine.client.wants == 0
    for peer in "bc":
        assert not world[peer].machine._ledgers["a"].wants  # it was cancelled


def test_who_wants_a_block_no_more_says_so() -> None:
    world = World("a", "b")
    cid = cid_of(b"x")
    wants(world["a"], [cid, cid], 0.0)
    world.run(seconds=1)
    world["a"].machine.client.drop(cid, world.now)
    assert world["a"].machine.client.wants == 1  # the other one still does
    world["a"].machine.client.drop(cid, world.now)
    world.run(seconds=1)
    assert world["a"].machine.client.wants == 0
    assert not world["b"].machine._ledgers["a"].wants


def test_there_is_a_most_of_wants() -> None:
    node = Node("a")
    wants(node, [cid_of(bytes([n % 256, n // 256])) for n in range(bitswap_client.MAX_WANTS)], 0.0)
    with pytest.raises(BusyError):
        wants(node, [cid_of(b"one more")], 0.0)


# --- who sends what nobody asked for ---------------------------------------------------------------------------------------------


def flood(node: Node, blocks: int, size: int = 10_000) -> None:
    for number in range(blocks):
        data = random.Random(number).randbytes(size)
        node.hear("b", Message(blocks=(Block.of(cid_of(data), data),)), 0.0)
        if node.flooded:
            return


def test_unwanted_blocks_are_dropped_and_their_sender_is_cut() -> None:
    node = Node("a")
    node.machine.connected("b", 0.0)
    flood(node, 50)
    assert not node.flooded
    flood(node, 200)
    assert node.flooded == {"b"}
    assert node.got == {}


def test_a_damaged_block_is_none_that_was_wanted() -> None:
    node = Node("a")
    node.machine.connected("b", 0.0)
    cid = cid_of(b"good")
    node.machine.want(cid, Session(), FOREVER, 0.0)
    node.hear("b", Message(blocks=(Block.of(cid, b"bad"),)), 0.0)
    assert node.got == {}
    node.hear("b", Message(blocks=(Block.of(cid, b"good"),)), 0.0)
    assert node.got == {cid: b"good"}


def test_a_block_that_was_asked_of_somebody_else_is_unwanted() -> None:
    """Else a peer that was told to keep out could push into every fetch."""
    node = Node("a")
    for peer in "bc":
        node.machine.connected(peer, 0.0)
    node.machine.want(cid_of(b"x"), Session(frozenset({"c"})), FOREVER, 0.0)
    node.hear("b", Message(blocks=(Block.of(cid_of(b"x"), b"x"),)), 0.0)
    assert node.got == {}


def test_what_comes_too_late_is_no_flood() -> None:
    """Two peers sent it, as they may: one was asked, gave nothing for a while, and then did after all."""
    node = Node("a")
    node.machine.connected("b", 0.0)
    blocks = blocks_of(300, 10_000)
    for block in blocks:
        cid = cid_of(block)
        node.machine.want(cid, Session(), FOREVER, 0.0)
        node.machine.client.drop(cid, 0.0)
        node.hear("b", Message(blocks=(Block.of(cid, block),)), 0.0)
    assert not node.flooded
    flood(node, 200)
    assert node.flooded == {"b"}


# --- serving -------------------------------------------------------------------------------------------------------------------


def ledger_of(node: Node, peer: str = "b") -> bitswap_server.Ledger:
    return node.machine._ledgers[peer]


def served(node: Node, *entries: Entry, full: bool = False) -> Message | None:
    node.hear("b", Message(entries, full), 0.0)
    return node.says("b")


@pytest.fixture
def server() -> Node:
    node = Node("a")
    node.machine.connected("b", 0.0)
    return node


def test_answers(server: Node) -> None:
    small, large = server.keep(b"small", bytes(5000))
    missing = cid_of(b"missing")
    answer = served(
        server,
        Entry(large, want_have=True, send_dont_have=True),
        Entry(small, want_have=True, send_dont_have=True),
        Entry(missing, send_dont_have=True),
        Entry(cid_of(b"missing, and not to be told")),
    )
    assert answer is not None
    assert dict(answer.presences) == {large: True, missing: False}
    assert [block.data for block in answer.blocks] == [b"small"]
    answer = served(server, Entry(large))
    assert answer is not None
    assert [block.name for block in answer.blocks] == [large]
    assert server.says("b") is None


def test_a_block_is_sent_in_the_spelling_of_who_asks(server: Node) -> None:
    node = b"a dag-pb block"
    cid = cid_of(node, 0x70)
    server.blocks[cid] = node
    answer = served(server, Entry(v0(cid)))
    assert answer is not None
    assert answer.blocks == (Block(b"\x00\x70\x12\x20", node),)
    assert served(server, Entry(v0(cid_of(b"later", 0x70)))) is None
    server.blocks[cid_of(b"later", 0x70)] = b"later"
    server.machine.arrived(cid_of(b"later", 0x70), 5)
    answer = server.says("b")
    assert answer is not None
    assert answer.blocks == (Block(b"\x00\x70\x12\x20", b"later"),)


def test_cids_of_other_kinds_are_answered_and_no_error(server: Node) -> None:
    strange = b"\x01\x55\x13\x40" + bytes(64)
    answer = served(server, Entry(strange, send_dont_have=True), Entry(strange[:3]))
    assert answer is not None
    assert answer.presences == ((strange, False),)
    assert not ledger_of(server).wants


def test_a_full_list_replaces_what_was_wanted(server: Node) -> None:
    first, second = cid_of(b"1"), cid_of(b"2")
    served(server, Entry(first))
    served(server, Entry(second))
    assert set(ledger_of(server).wants) == {first, second}
    served(server, Entry(second), full=True)
    assert set(ledger_of(server).wants) == {second}


def test_a_cancelled_block_is_not_sent(server: Node) -> None:
    cids = server.keep(*blocks_of(3))
    server.hear("b", Message(tuple(map(Entry, cids))), 0.0)
    answer = served(server, Entry(cids[1], cancel=True))
    assert answer is not None
    assert [block.name for block in answer.blocks] == [cids[0], cids[2]]


def test_a_block_that_is_gone_meanwhile_is_said_to_be_missing(server: Node) -> None:
    (cid,) = server.keep(bytes(3000))
    server.hear("b", Message((Entry(cid),)), 0.0)
    server.blocks.clear()
    answer = server.says("b")
    assert answer is not None
    assert answer.presences == ((cid, False),)


def test_large_blocks_go_one_to_a_message_and_small_ones_together(server: Node) -> None:
    cids = server.keep(*blocks_of(3, 200_000), *blocks_of(50, 2000))
    server.hear("b", Message(tuple(map(Entry, cids))), 0.0)
    sizes = []
    while (message := server.says("b")) is not None:
        sizes.append(sum(len(block.data) for block in message.blocks))
    assert sizes == [200_000, 200_000, 200_000 + 31 * 2000, 19 * 2000]
    assert ledger_of(server).queued_bytes == 0


def test_a_ledger_is_bounded_whatever_is_asked(server: Node) -> None:
    """50,000 wants, of blocks that are here and of others; and the newest of them still count."""
    ledger = ledger_of(server)
    (here,) = server.keep(bytes(5000))
    for start in range(0, 50_000, 1000):
        entries = [Entry(cid_of(b"%d" % n), send_dont_have=True) for n in range(start, start + 999)]
        server.hear("b", Message((*entries, Entry(here, want_have=True))), 0.0)
    assert len(ledger.wants) == bitswap_server.MAX_WANTS
    assert len(ledger.presences) <= bitswap_server.MAX_PRESENCES
    assert cid_of(b"%d" % 49_998) in ledger.wants
    held = {cid_of(b"%d" % n): 1 << 20 for n in range(5000)}
    for start in range(0, 5000, 1000):
        entries = [Entry(cid_of(b"%d" % n)) for n in range(start, start + 1000)]
        server.machine.hear("b", Message(tuple(entries)), held, 0.0)
    assert ledger.queued_bytes <= bitswap_server.MAX_QUEUED_BYTES
    assert len(ledger.blocks) <= bitswap_server.MAX_QUEUED
    assert any(not told for told in ledger.presences.values())  # it is told to look elsewhere


def test_one_greedy_peer_does_not_take_from_the_others(server: Node) -> None:
    """Each has its own ledger, and they take turns: whatever one asks for, another is told next, or after one message."""
    server.machine.connected("c", 0.0)
    cids = server.keep(*blocks_of(500, 100_000))
    server.hear("b", Message(tuple(map(Entry, cids))), 0.0)
    assert server.says("b") is not None
    server.hear("c", Message((Entry(cids[-1]),)), 0.0)
    answer = server.says("c")
    assert answer is not None
    assert [block.name for block in answer.blocks] == [cids[-1]]


def test_of_a_peer_that_left_nothing_is_kept(server: Node) -> None:
    cids = server.keep(*blocks_of(3))
    server.hear("b", Message((*map(Entry, cids), Entry(cid_of(b"x")))), 0.0)
    wants(server, [cid_of(b"y")], 0.0)
    server.machine.disconnected("b", 0.0)
    assert server.machine._ledgers == {}
    assert server.machine.speaks_to(0.0) == set()
    assert server.machine.next("b", 0.0) is None
    server.machine.arrived(cid_of(b"x"), 1)
    server.hear("b", Message((Entry(cids[0]),)), 0.0)
    assert server.machine.speaks_to(0.0) == set()
