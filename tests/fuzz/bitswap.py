"""Bitswap: the message that any stranger sends, and the machine of a node fed whole conversations with two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mycelnode.encoding import as_bytes, as_int, as_list, decode, encode
from mycelnode.errors import BusyError, DagRefused, EncodingError
from mycelnode.protocols import bitswap_client, bitswap_server
from mycelnode.protocols.bitswap import Exchange, asked_for
from mycelnode.protocols.bitswap_client import Flooded, Got, Session
from mycelnode.protocols.bitswap_frames import (
    MAX_MESSAGE,
    Block,
    Entry,
    Message,
    decode_message,
    encode_message,
    name_of,
)
from mycelnode.protocols.dag_walk import DagWalk
from tests.fuzz.guard import Broken, Target

HELD = (b"small", bytes(3000))
WANTED = (b"wanted", bytes(2000), b"")
PEERS = ("one", "two")
MAX_EVENTS = 300
_RAW, _DAG_PB = b"\x01\x55\x12\x20", b"\x01\x70\x12\x20"


def _cid(block: bytes, prefix: bytes = _RAW) -> bytes:
    return prefix + hashlib.sha256(block).digest()


def _message(data: bytes) -> None:
    """What is read is within its bounds, and says the same when it is written and read again."""
    message = decode_message(data)
    again = decode_message(encode_message(message))
    if (again.entries, again.full, again.blocks, again.presences) != (
        message.entries,
        message.full,
        message.blocks,
        message.presences,
    ):
        raise Broken(f"bitswap: {data.hex()} comes back as something else")
    for block in message.blocks:
        name = block.name
        if name is not None and name != _cid(block.data, name[:4]):
            raise Broken(f"bitswap: a block of {data.hex()} has a wrong name")


def _conversation(data: bytes) -> None:
    """Events ``[kind, peer, message]``: 0 a message comes, 1 a peer leaves or comes back, 2 seconds pass, 3 something is wanted."""
    machine, now = Exchange(per_second=1000.0), 0.0
    held = {_cid(block): block for block in HELD}
    here = dict.fromkeys(PEERS, False)
    sessions = (Session(), Session(frozenset(PEERS[:1])))
    for peer in PEERS:
        machine.connected(peer, now)
        here[peer] = True
    for number, block in enumerate(WANTED):
        machine.want(_cid(block), sessions[number % 2], 100.0, now)
    for event in as_list(decode(data))[:MAX_EVENTS]:
        kind, which, content = as_list(event, 3)
        peer = PEERS[as_int(which) % len(PEERS)]
        if kind == 0:
            message = decode_message(as_bytes(content))
            sizes = {name: len(held[name]) for name in asked_for(message) if name in held}
            for happened in machine.hear(peer, message, sizes, now):
                _check_event(happened, peer)
        elif kind == 1:
            (machine.disconnected if here[peer] else machine.connected)(peer, now)
            here[peer] = not here[peer]
        elif kind == 2:
            now += as_int(content, 0, 1000) / 10
            machine.tick(now)
        elif kind == 3:
            name = name_of(as_bytes(content))
            if name is not None:
                try:
                    machine.want(name, sessions[which % 2], now + 50, now)
                except BusyError:
                    continue
                machine.arrived(name, 10)
        _say(machine, held, which, now)
        _check(machine)


def _check_event(happened: bitswap_client.Event, peer: str) -> None:
    if isinstance(happened, Got) and happened.name != _cid(happened.data, happened.name[:4]):
        raise Broken("bitswap: a block was taken under a name that is not its own")
    if isinstance(happened, Flooded) and happened.peer != peer:
        raise Broken("bitswap: another peer was cut than the one that spoke")


def _say(machine: Exchange, held: dict[bytes, bytes], which: int, now: float) -> None:
    """What is to be said is said, in messages that others can read, and there is an end of it; some take the last one slowly."""
    for peer in PEERS[: which % 3]:
        for _ in range(1000):
            machine.sent(peer)
            said = machine.next(peer, now)
            if said is None:
                break
            decode_message(encode_message(said.message({name: held[name] for name in said.wanted if name in held})))
            if which % 4 == 1:
                break
        else:
            raise Broken("bitswap: it speaks for ever")


def _check(machine: Exchange) -> None:
    """The books agree with each other, and are within their bounds."""
    client = machine.client
    for want in client._wants.values():
        if want.source is not None and want.name not in client._peers[want.source].requests:
            raise Broken("bitswap: it waits for a block of which nobody was asked")
        if not want.asked <= client._peers.keys() or not want.has.keys() <= client._peers.keys():
            raise Broken("bitswap: it asks who is not there")
    for peer, state in client._peers.items():
        if any(name not in client._wants or client._wants[name].source != peer for name in state.requests):
            raise Broken("bitswap: a request of what nobody wants")
        if len(state.requests) > bitswap_client.REQUESTS or len(state.owed) > bitswap_client.MAX_OWED:
            raise Broken("bitswap: more is asked of a peer than may be")
    books = machine._outflow
    if books.held != sum(about.held for about in books._peers.values()):
        raise Broken("bitswap: the bytes that peers are taking are miscounted")
    if books._peers.keys() != machine._ledgers.keys():
        raise Broken("bitswap: something is sent to who is not there")
    if any(books._peers[peer].waits != bool(ledger.blocks) for peer, ledger in machine._ledgers.items()):
        raise Broken("bitswap: it has forgotten who waits for blocks")
    for ledger in machine._ledgers.values():
        if ledger.queued_bytes != sum(ledger.blocks.values()):
            raise Broken("bitswap: the bytes of a queue are miscounted")
        if (
            len(ledger.wants) > bitswap_server.MAX_WANTS
            or len(ledger.blocks) > bitswap_server.MAX_QUEUED
            or len(ledger.presences) > bitswap_server.MAX_PRESENCES
        ):
            raise Broken("bitswap: a ledger has grown beyond its bounds")


def _walk(data: bytes) -> None:
    """A DAG whose blocks name what they like: ``[[…children], …]``, of which the first is the root."""
    blocks = [[as_int(child) for child in as_list(children)] for children in as_list(decode(data, max_items=1 << 16))]
    names = [_cid(b"%d" % number, _DAG_PB) for number in range(len(blocks) + 1)]

    def links(cid: bytes, block: bytes) -> list[bytes]:
        return [names[child % len(names)] for child in blocks[names.index(cid)]] if cid in names[:-1] else []

    walk = DagWalk(names[0], links, 100, 10_000)
    visited = 0
    while (name := walk.next()) is not None:
        visited += 1
        walk.take(name, 10, b"")
        walk.ended(name)
    if visited > 100 or walk.blocks != visited or not walk.over:
        raise Broken("bitswap: a walk over a DAG does not end where it should")


def _messages() -> Sequence[bytes]:
    cids = [*map(_cid, (*HELD, *WANTED)), _cid(b"nowhere", _DAG_PB), _cid(b"nowhere")[2:], b"\x01\x55\x00\x02ab"]
    return [
        encode_message(message)
        for message in (
            Message(tuple(Entry(cid, want_have=True, send_dont_have=True) for cid in cids), full=True),
            Message((Entry(cids[0]), Entry(cids[1], cancel=True), Entry(cids[5], priority=7))),
            Message(blocks=tuple(Block.of(_cid(block), block) for block in (*WANTED, b"unwanted"))),
            Message(presences=tuple((cid, number % 2 == 0) for number, cid in enumerate(cids)), pending_bytes=9),
        )
    ]


def _conversations() -> Sequence[bytes]:
    wants, more, blocks, presences = _messages()
    return [
        encode([[0, 0, wants], [0, 1, presences], [2, 2, 40], [0, 0, blocks], [0, 1, more], [2, 1, 300]]),
        encode([[0, 0, presences], [1, 0, None], [2, 2, 5], [1, 0, None], [3, 1, _cid(b"x")], [0, 0, blocks]]),
    ]


BITSWAP = (
    Target("bitswap-message", _message, (EncodingError,), _messages, largest=MAX_MESSAGE),
    Target("dag-walk", _walk, (EncodingError, DagRefused), lambda: [encode([[1, 2], [2, 3], [3], []])]),
)
BITSWAP_MACHINES = (Target("bitswap-node", _conversation, (EncodingError,), _conversations, slow=True, per_byte=1024),)
