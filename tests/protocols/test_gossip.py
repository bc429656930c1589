"""GossipSub as a machine: everybody hears everything once, and no peer makes it keep or send much."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.errors import EncodingError, ValueRefused
from mycelnode.protocols import gossip, gossip_wire, wire_fields
from mycelnode.protocols.announce import Verdict
from mycelnode.protocols.gossip import (
    BACKOFF_SECONDS,
    EARLY_GRAFTS,
    HISTORY,
    IDS_A_HEARTBEAT,
    MESH_HIGH,
    SENT_AGAIN,
    Cut,
    Deliver,
    Gossip,
    Send,
    message_id,
)
from mycelnode.protocols.gossip_wire import MAX_RPC_BYTES, Rpc

TOPIC = "/t/1"


def accept(peer: str, data: bytes, now: float) -> tuple[Verdict, bytes | None]:
    if data.startswith(b"bad"):
        return Verdict.REJECT, None
    if data.startswith(b"cut"):
        return Verdict.CUT, None
    if data.startswith(b"not now"):
        return Verdict.IGNORE, None
    return Verdict.ACCEPT, data


def machine(seed: int = 0) -> Gossip[bytes]:
    return Gossip(accept, random.Random(seed).random)


class Net:
    """Machines, and RPCs on their way between them, which go through bytes."""

    def __init__(self, size: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.nodes = {f"n{number}": machine(number) for number in range(size)}
        self.links: set[tuple[str, str]] = set()
        self.lines: dict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self.heard: dict[str, list[bytes]] = {name: [] for name in self.nodes}
        self.now = 0.0

    def link(self, one: str, other: str) -> None:
        self.links |= {(one, other), (other, one)}
        for here, there in ((one, other), (other, one)):
            hello = self.nodes[here].connected(there)
            assert hello is not None
            self.lines[here, there].append(hello.write(TOPIC))

    def unlink(self, one: str, other: str) -> None:
        self.links -= {(one, other), (other, one)}
        for here, there in ((one, other), (other, one)):
            self.nodes[here].disconnected(there)
            self.lines[here, there].clear()

    def act(self, here: str, actions: list[Send | Deliver[bytes] | Cut]) -> None:
        for action in actions:
            if isinstance(action, Send):
                assert (here, action.peer) in self.links, "it speaks with who is gone"
                self.lines[here, action.peer].append(action.rpc.write(TOPIC))
            elif isinstance(action, Deliver):
                self.heard[here].append(action.said)

    def settle(self) -> None:
        while ready := [line for line, rpcs in self.lines.items() if rpcs]:
            here, there = self.random.choice(ready)
            rpc = gossip_wire.read(self.lines[here, there].popleft(), TOPIC)
            self.act(there, self.nodes[there].receive(here, rpc, self.now))

    def beat(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 1.0
            for name, node in self.nodes.items():
                self.act(name, list(node.heartbeat(self.now)))
            self.settle()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 24), st.integers(0, 1 << 16), st.data())
def test_in_any_connected_net_everybody_hears_everything_once(size: int, seed: int, data: st.DataObject) -> None:
    net = Net(size, seed)
    names = list(net.nodes)
    for number in range(1, size):
        net.link(names[number], names[data.draw(st.integers(0, number - 1))])
    net.settle()
    net.beat(data.draw(st.integers(0, 3)))
    said = {name: b"from %s" % name.encode() for name in data.draw(st.sets(st.sampled_from(names), min_size=1))}
    for name, message in said.items():
        net.act(name, list(net.nodes[name].publish(message)))
    net.settle()
    net.beat(4)
    for name in names:
        assert sorted(net.heard[name]) == sorted(each for by, each in said.items() if by != name)


def test_nodes_leave_and_the_mesh_mends_itself() -> None:
    net = Net(10, 1)
    names = list(net.nodes)
    for number, one in enumerate(names):
        for other in names[:number]:
            net.link(one, other)
    net.beat(3)
    for one in names[7:]:
        for other in names[:7]:
            net.unlink(one, other)
    net.beat(2)
    assert all(4 <= len(net.nodes[name].mesh) <= MESH_HIGH for name in names[:7])
    net.act("n0", list(net.nodes["n0"].publish(b"x")))
    net.settle()
    assert all(net.heard[name] == [b"x"] for name in names[1:7])


def test_the_mesh_stays_small() -> None:
    one = machine()
    for number in range(50):
        one.receive(f"p{number}", Rpc(subscribe=True, graft=True), 0.0)
    assert len(one.mesh) == MESH_HIGH
    one.heartbeat(1.0)
    assert len(one.mesh) == MESH_HIGH


def test_who_is_pruned_is_left_alone_for_a_while() -> None:
    one = machine()
    one.receive("p", Rpc(subscribe=True), 0.0)
    assert Send("p", Rpc(graft=True)) in one.heartbeat(1.0)
    one.receive("p", Rpc(prune=0), 1.0)
    assert one.mesh == frozenset()
    assert one.heartbeat(BACKOFF_SECONDS) == []
    assert Send("p", Rpc(graft=True)) in one.heartbeat(BACKOFF_SECONDS + 1.0)


def test_who_grafts_again_and_again_after_a_prune_is_cut() -> None:
    one = machine()
    one.receive("p", Rpc(subscribe=True, prune=5), 0.0)
    for _ in range(EARLY_GRAFTS):
        assert one.receive("p", Rpc(graft=True), 1.0) == [Send("p", Rpc(prune=BACKOFF_SECONDS))]
    (action,) = one.receive("p", Rpc(graft=True), 1.0)
    assert isinstance(action, Cut)


def test_what_is_malformed_is_not_passed_on_and_what_is_ignored_may_come_from_another() -> None:
    asked = []

    def judge(peer: str, data: bytes, now: float) -> tuple[Verdict, bytes | None]:
        asked.append(peer)
        return (Verdict.ACCEPT, data) if (peer, data) == ("q", b"not now") else accept(peer, data, now)

    one: Gossip[bytes] = Gossip(judge, random.Random(0).random)
    for peer in ("p", "q", "r"):
        one.receive(peer, Rpc(subscribe=True, graft=True), 0.0)
    assert one.receive("p", Rpc(publish=(b"bad", b"bad", b"not now")), 0.0) == []
    assert one.receive("q", Rpc(publish=(b"bad",)), 0.0) == []
    assert asked == ["p", "p"], "what is known to be malformed is judged again"
    actions = one.receive("q", Rpc(publish=(b"not now",)), 0.0)
    assert actions[0] == Deliver("q", b"not now")
    assert {action.peer for action in actions[1:] if isinstance(action, Send)} == {"p", "r"}
    assert isinstance(one.receive("p", Rpc(publish=(b"cut", b"after")), 0.0)[-1], Cut)


def test_asking_and_telling_is_limited_by_heartbeat() -> None:
    one = machine()
    names = [message_id(b"%d" % number) for number in range(1000)]
    one.receive("p", Rpc(subscribe=True), 0.0)
    asked = [one.receive("p", Rpc(ihave=tuple(names[place : place + 100])), 0.0) for place in range(0, 1000, 100)]
    wanted = [name for actions in asked for action in actions if isinstance(action, Send) for name in action.rpc.iwant]
    assert wanted == names[:IDS_A_HEARTBEAT]
    one.heartbeat(0.5)
    assert one.receive("p", Rpc(ihave=tuple(names[:5])), 0.5) == [], "what was just asked for is asked for again"
    assert one.receive("q", Rpc(ihave=tuple(names[:5])), 5.0) == [Send("q", Rpc(iwant=tuple(names[:5])))]


def test_a_message_is_sent_to_a_peer_a_few_times_and_forgotten_soon() -> None:
    one = machine()
    one.publish(b"x")
    want = Rpc(iwant=(message_id(b"x"),))
    answers = [one.receive("p", want, 0.0) for _ in range(SENT_AGAIN + 2)]
    assert [len(each) for each in answers] == [1] * SENT_AGAIN + [0] * 2
    for number in range(HISTORY):
        one.heartbeat(float(number))
    assert one.receive("q", want, 9.0) == []


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_SEEN", "MAX_KEPT", "MAX_ASKED", "MAX_PEERS"):
        monkeypatch.setattr(gossip, name, 8)
    one = machine()
    for number in range(100):
        one.receive(
            f"p{number}", Rpc(subscribe=True, publish=(b"%d" % number,), ihave=(message_id(b"x%d" % number),)), 0.0
        )
        one.receive("p0", Rpc(publish=(b"a%d" % number, b"bad%d" % number)), 0.0)
    assert max(len(one._peers), len(one._seen), len(one._kept), len(one._asked)) <= 8
    assert one.connected("another") is None


def test_a_message_of_our_own_is_short() -> None:
    with pytest.raises(ValueRefused):
        machine().publish(bytes(gossip_wire.MAX_DATA_BYTES + 1))


# --- the wire ------------------------------------------------------------------------------------------------------------

names = st.lists(st.binary(min_size=32, max_size=32), max_size=5, unique=True).map(tuple)
rpcs = st.builds(
    Rpc,
    subscribe=st.none() | st.booleans(),
    publish=st.lists(st.binary(max_size=100), max_size=5).map(tuple),
    ihave=names,
    iwant=names,
    graft=st.booleans(),
    prune=st.none() | st.integers(0, 3600),
)


@given(rpcs)
def test_what_is_written_is_read(rpc: Rpc) -> None:
    assert gossip_wire.read(rpc.write(TOPIC), TOPIC) == rpc


@given(rpcs)
def test_what_is_said_of_other_topics_is_left_out(rpc: Rpc) -> None:
    assert gossip_wire.read(rpc.write("/other"), TOPIC) == Rpc(iwant=rpc.iwant)


@given(st.binary(max_size=200))
def test_anything_else_is_refused_by_name(data: bytes) -> None:
    with suppress(EncodingError):
        gossip_wire.read(data, TOPIC)


TOO_MUCH = {
    "bytes": bytes(MAX_RPC_BYTES + 1),
    "fields": b"\x08\x00" * 5000,
    "messages": Rpc(publish=tuple(b"%d" % n for n in range(200))).write(TOPIC),
    "data": Rpc(publish=(bytes(1025),)).write(TOPIC),
    "ids": Rpc(iwant=tuple(message_id(b"%d" % n) for n in range(600))).write(TOPIC),
    "prunes": wire_fields.write(
        [(3, wire_fields.write([(4, wire_fields.write([(1, b"made up %d" % n)])) for n in range(300)]))]
    ),
    "controls": wire_fields.write([(3, wire_fields.write([(4, b"")] * 200))] * 2),
    "subscriptions": wire_fields.write([(1, b"")] * 300),
    "signed": wire_fields.write([(2, wire_fields.write([(2, b"x"), (4, TOPIC.encode()), (5, bytes(64))]))]),
}


@pytest.mark.parametrize("data", TOO_MUCH.values(), ids=TOO_MUCH)
def test_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        gossip_wire.read(data, TOPIC)
