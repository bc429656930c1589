"""Kademlia as machines: what is kept of others is bounded and right, and a walk ends at the nearest."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mycelnode.encoding import blake2b, peer_id
from mycelnode.errors import BusyError, EncodingError
from mycelnode.protobuf import varint
from mycelnode.protocols import kad_table, kad_wire, providers, wire_fields
from mycelnode.protocols.kad_table import (
    BUCKET,
    FAILURES,
    MAX_ASKED,
    MAX_HEARD,
    NEAR,
    Table,
    Walk,
    place_of,
    place_of_peer,
)
from mycelnode.protocols.kad_wire import Kind, Message, PeerAddrs, addr_bytes, read_addr
from mycelnode.protocols.providers import (
    ADDRESS_SECONDS,
    RECORD_SECONDS,
    REPUBLISH_SECONDS,
    RETRY_SECONDS,
    Own,
    ProviderStore,
)

PEERS = [peer_id(blake2b(b"%d" % number)) for number in range(400)]
OWN = peer_id(bytes(32))


def nowhere(addr: str) -> str:
    return ""


def at(number: int) -> PeerAddrs:
    return PeerAddrs(PEERS[number], (f"/ip4/10.0.{number // 250}.{1 + number % 250}/tcp/4001",))


# --- the table ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 399), max_size=200), st.binary(min_size=32, max_size=32))
@settings(deadline=None)
def test_the_closest_are_the_closest_of_those_that_answered(numbers: list[int], key: bytes) -> None:
    table = Table(OWN, nowhere)
    for number in numbers:
        table.answered(PEERS[number], at(number).addrs, 0.0)
    place = place_of(key)
    inside = [peer for peer in PEERS if peer in table]
    nearest = sorted(inside, key=lambda peer: place_of_peer(peer) ^ place)[:BUCKET]
    assert [each.peer for each in table.closest(place)] == nearest
    assert len(table) == len(inside) <= len(set(numbers))


def test_a_bucket_is_small_and_keeps_who_was_there_first() -> None:
    table = Table(OWN, nowhere)
    far = [peer for peer in PEERS if (place_of_peer(peer) ^ place_of_peer(OWN)).bit_length() == 256]
    entered = [peer for peer in far if table.answered(peer, (), 0.0)]
    assert entered == far[:BUCKET]
    table.failed(far[3])
    assert table.answered(far[-1], (), 0.0), "one that failed makes room"
    assert far[3] not in table


def test_who_fails_is_taken_out_and_who_answers_between_is_not() -> None:
    table = Table(OWN, nowhere)
    for peer in PEERS[:2]:
        table.answered(peer, (), 0.0)
    for _ in range(FAILURES):
        table.failed(PEERS[0])
        table.failed(PEERS[1])
        table.answered(PEERS[1], (), 0.0)
    assert (PEERS[0] in table, PEERS[1] in table) == (False, True)
    table.failed(PEERS[9])
    assert not table.answered(OWN, (), 0.0)


def test_one_network_has_a_few_places_of_each_bucket() -> None:
    table = Table(OWN, lambda addr: addr.split("/")[2].rpartition(".")[0])
    far = [peer for peer in PEERS if (place_of_peer(peer) ^ place_of_peer(OWN)).bit_length() == 256]
    for number, peer in enumerate(far):
        table.answered(peer, [f"/ip4/9.9.9.{number % 250}/tcp/1"], 0.0)
    assert len(table) == NEAR
    assert table.answered(far[50], ["/ip4/8.8.8.8/tcp/1"], 0.0)
    assert not table.answered(far[50], ["/ip4/9.9.9.9/tcp/1"], 0.0), "it moved into a network that has enough"


def test_the_stale_are_those_not_heard_for_long() -> None:
    table = Table(OWN, nowhere)
    for number in range(5):
        table.answered(PEERS[number], (), float(number))
    assert [each.peer for each in table.stale(3.0, 2)] == PEERS[:2]


# --- the walk ----------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 1 << 20), st.integers(0, 45))
@settings(max_examples=10, deadline=None)
def test_a_walk_finds_the_nearest_that_answer(seed: int, dead: int) -> None:
    rng = random.Random(seed)
    names = rng.sample(PEERS, 90)
    gone = set(names[:dead])
    tables = {}
    for name in names:
        tables[name] = Table(name, nowhere)
        for other in rng.sample(names, len(names)):
            tables[name].answered(other, (), 0.0)
    place = place_of(seed.to_bytes(8, "big"))
    walk = Walk(place, OWN, [PeerAddrs(name, ()) for name in names[-3:]], width=5)
    under_way: list[PeerAddrs] = []
    while not walk.over:
        to = walk.next()
        if to is not None:
            under_way.append(to)
            continue
        to = under_way.pop(rng.randrange(len(under_way)))
        if to.peer in gone:
            walk.failed(to.peer, again=rng.random() < 0.5)
        else:
            walk.answered(to.peer, tables[to.peer].closest(place))
    assert walk.asked <= MAX_ASKED
    alive = sorted(set(names) - gone, key=lambda peer: place_of_peer(peer) ^ place)[:5]
    found = [each.peer for each in walk.found()]
    assert len(set(found) & set(alive)) >= (5 if dead < 10 else 1)
    assert not set(found) & gone


@given(st.integers(0, 1 << 20))
@settings(max_examples=20, deadline=None)
def test_a_walk_among_liars_ends(seed: int) -> None:
    """Each names twenty others that are nearer still, and us."""
    rng = random.Random(seed)
    place = place_of(b"x")
    walk = Walk(place, OWN, [PeerAddrs(PEERS[0], ())])
    asked = 0
    while not walk.over:
        to = walk.next()
        if to is None:
            break
        asked += 1
        walk.answered(to.peer, [PeerAddrs(peer_id(rng.randbytes(32)), ()) for _ in range(20)] + [PeerAddrs(OWN, ())])
        assert len(walk._heard) <= MAX_HEARD
    assert asked <= MAX_ASKED
    assert OWN not in walk._heard


# --- records -----------------------------------------------------------------------------------------------------------------


class Records(RuleBasedStateMachine):
    """Against a model without bounds: every record held is right, and the bounds hold."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.now = ProviderStore(), 0.0
        self.model: dict[tuple[bytes, str], float] = {}
        self.before = {
            name: getattr(providers, name) for name in ("MAX_PER_KEY", "MAX_PER_PEER", "MAX_RECORDS", "MAX_PROVIDERS")
        }
        providers.MAX_PER_KEY, providers.MAX_PER_PEER, providers.MAX_RECORDS, providers.MAX_PROVIDERS = 3, 4, 8, 5  # type: ignore[misc]

    def teardown(self) -> None:
        for name, value in self.before.items():
            setattr(providers, name, value)

    @rule(key=st.integers(0, 7), peer=st.integers(0, 7))
    def add(self, key: int, peer: int) -> None:
        self.store.add(b"%d" % key, at(peer), self.now)
        self.model[b"%d" % key, PEERS[peer]] = self.now + RECORD_SECONDS
        assert PEERS[peer] in [each.peer for each in self.store.of(b"%d" % key, self.now)], "the newest is always taken"

    @rule(hours=st.integers(1, 60))
    def wait(self, hours: int) -> None:
        self.now += 3600 * hours

    @rule()
    def expire(self) -> None:
        self.store.expire(self.now)

    @invariant()
    def right_and_bounded(self) -> None:
        store = self.store
        assert len(store) == sum(map(len, store._by_key.values())) == sum(map(len, store._by_peer.values())) <= 8
        assert all(0 < len(found) <= 3 for found in store._by_key.values())
        assert all(0 < len(keys) <= 4 for keys in store._by_peer.values())
        assert len(store._addrs) <= 5
        for key in range(8):
            for each in store.of(b"%d" % key, self.now):
                until = self.model[b"%d" % key, each.peer]
                assert until > self.now
                fresh = any(
                    self.model.get((b"%d" % k, each.peer), 0) - RECORD_SECONDS + ADDRESS_SECONDS > self.now
                    for k in range(8)
                )
                assert fresh or not each.addrs


TestRecords = Records.TestCase
TestRecords.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_a_flood_of_one_peer_drives_out_its_own_records_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "MAX_RECORDS", 60)
    monkeypatch.setattr(providers, "MAX_PER_PEER", 50)
    store = ProviderStore()
    for number in range(10):
        store.add(b"k%d" % number, at(number), 0.0)
    for number in range(1000):
        store.add(b"f%d" % number, at(99), 1.0)
    assert all(store.of(b"k%d" % number, 1.0) for number in range(10))
    assert len(store) == 60


def test_our_own_are_due_in_time() -> None:
    own = Own()
    own.add(b"a", 0.0)
    own.add(b"b", 5.0)
    assert own.due(0.0, 9) == [b"a"]
    assert own.due(RETRY_SECONDS - 1, 9) == [b"b"]
    own.told(b"a", 3, 10.0)
    own.remove(b"b")
    assert own.due(10.0 + REPUBLISH_SECONDS - 1, 9) == []
    assert own.due(10.0 + REPUBLISH_SECONDS, 9) == [b"a"]
    own.told(b"gone", 1, 0.0)
    assert (b"a" in own, b"b" in own, b"gone" in own) == (True, False, False)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=100))
def test_what_is_noted_of_our_own_does_not_grow(steps: list[tuple[int, int]]) -> None:
    own, now = Own(), 0.0
    for what, key in steps:
        now += 100
        if what == 0:
            own.add(b"%d" % key, now)
        elif what == 1:
            own.remove(b"%d" % key)
        elif what == 2:
            own.told(b"%d" % key, key % 2, now)
        else:
            assert len(set(own.due(now, 3))) <= 3
        assert len(own._queue) <= 2 * len(own) + 17


def test_we_provide_no_more_than_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "MAX_OWN", 2)
    own = Own()
    own.add(b"a", 0.0)
    own.add(b"b", 0.0)
    own.add(b"a", 1.0)
    with pytest.raises(BusyError):
        own.add(b"c", 0.0)


# --- the wire ----------------------------------------------------------------------------------------------------------------

ADDRS = [
    "/ip4/127.0.0.1/tcp/4001",
    "/ip6/2001:db8::1/tcp/1",
    "/dns4/a.example/tcp/65535",
    "/dns/x/tcp/0",
    "/dns6/y/tcp/9",
]
peers = st.lists(
    st.builds(PeerAddrs, st.sampled_from(PEERS[:30]), st.lists(st.sampled_from(ADDRS), unique=True).map(tuple)),
    max_size=5,
    unique_by=lambda each: each.peer,
).map(tuple)


@given(st.builds(Message, st.sampled_from(Kind), st.binary(max_size=80), peers, peers))
def test_what_is_written_is_read(message: Message) -> None:
    assert Message.read(message.write()) == message


@given(st.binary(max_size=300))
def test_anything_else_is_refused_by_name(data: bytes) -> None:
    with suppress(EncodingError):
        Message.read(data)
    addr = read_addr(data)
    assert addr is None or read_addr(addr_bytes(addr)) == addr


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "/ip4/1.2.3.4",
        "/ip4/1.2.3/tcp/1",
        "/ip4/1.2.3.4/udp/1",
        "/dns7/x/tcp/1",
        "/ip4/1.2.3.4/tcp/70000",
        "/dns/ä/tcp/1",
    ],
)
def test_what_is_no_address_has_no_bytes(bad: str) -> None:
    with pytest.raises(EncodingError):
        addr_bytes(bad)


@pytest.mark.parametrize(
    "other",
    [
        bytes.fromhex("047f000001910203e8"),  # udp
        bytes.fromhex("047f00000106"),  # cut off
        bytes.fromhex("047f0000010603e8dd03"),  # a websocket
        bytes.fromhex("ff" * 12),
        bytes.fromhex("3603612f6206 03e8".replace(" ", "")),  # a slash in a name
        bytes(400),
    ],
)
def test_other_addresses_are_left_out(other: bytes) -> None:
    assert read_addr(other) is None


def test_an_address_with_a_peer_id_after_it_is_read_without() -> None:
    assert read_addr(addr_bytes(ADDRS[0]) + varint(421) + b"\x26" + bytes(38)) == ADDRS[0]


TOO_MUCH = {
    "bytes": bytes(kad_wire.MAX_MESSAGE_BYTES + 1),
    "fields": wire_fields.write([(1, 4)] * 5000),
    "key": wire_fields.write([(1, 4), (2, bytes(81))]),
    "a value": wire_fields.write([(1, 0), (2, b"k"), (3, b"")]),
    "a kind that there is not": wire_fields.write([(1, 9)]),
    "no kind": b"",
}


@pytest.mark.parametrize("data", TOO_MUCH.values(), ids=TOO_MUCH)
def test_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        Message.read(data)


def test_of_a_long_list_the_first_are_taken() -> None:
    entries = [
        (8, wire_fields.write([(1, kad_wire.peer_bytes(peer)), *[(2, addr_bytes(ADDRS[0]))] * 50]))
        for peer in PEERS[:90]
    ]
    read = Message.read(wire_fields.write([(1, 4), *entries]))
    assert [each.peer for each in read.closer] == PEERS[: kad_wire.MAX_PEERS]
    assert kad_table.BUCKET == kad_wire.MAX_PEERS
