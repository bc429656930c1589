"""Attacks on the DHT, in bytes of their own (libp2p specs, kad-dht)."""

from __future__ import annotations

import os
from contextlib import suppress

from wire import Broken, Peer, Session, Stream, accept, message
from wire.bits import ED25519, fields, read_varint, varint

from .target import FAILED, Target

IDENTIFY = "/ipfs/id/1.0.0"
MOST = (1 << 20) - 1000  # bytes of a value, as a stock host takes it
ELSEWHERE = b"\x04\x0a\x09\x08\x07\x06\x0f\xa1"  # /ip4/10.9.8.7/tcp/4001: where somebody else may be
MANY = 100_000  # addresses: a megabyte of them
PUT_VALUE, GET_VALUE, ADD_PROVIDER, GET_PROVIDERS, FIND_NODE, PING = range(6)


def _say(stream: Stream, question: bytes) -> None:
    stream.write(varint(len(question)) + question)


def _answer(stream: Stream) -> bytes:
    prefix = stream.read(1)
    while prefix[-1] >= 0x80:
        prefix += stream.read(1)
    return stream.read(read_varint(prefix)[0])


def _asked(session: Session, kad: str, question: bytes = message((1, FIND_NODE), (2, bytes(38)))) -> bool:
    """Is a question answered, on a stream of its own?"""
    with suppress(*FAILED):
        stream = session.open(kad)
        _say(stream, question)
        answered = bool(_answer(stream))
        stream.close()
        return answered
    return False


def _look(target: Target, number: int, question: bytes, name: bytes) -> bool:
    """Another peer asks: is it told of the peer of this name, and is it sent `ELSEWHERE`? Returns the latter."""
    session = target.session(number + 1)
    answer = b""
    with suppress(*FAILED):
        stream = session.open(target.kad)
        _say(stream, question)
        answer = _answer(stream)
    session.close()
    target.count("named", name in answer)
    target.count("sent_elsewhere", ELSEWHERE in answer)
    return ELSEWHERE in answer


def silent_streams(target: Target) -> None:
    """Streams on which nothing is asked, from one peer; and whether another is answered meanwhile."""
    target.saw["answered"] = 0

    def one(number: int) -> None:
        session, other = target.session(number), target.session(number + 1)
        with suppress(*FAILED):
            for each in (session, other):
                each.secure.line.patience(3.0)
            for _ in range(14):
                session.raw_stream()
            for stream in list(session.streams.values()):
                stream.write(b"\x13/multistream/1.0.0\n" + varint(len(target.kad) + 1) + target.kad.encode() + b"\n")
            for stream in list(session.streams.values()):
                with suppress(*FAILED):
                    stream.read(21)
            for _ in range(5):
                target.count("answered", _asked(other, target.kad))
        session.close()
        other.close()

    target.keep_on(one)


def values(target: Target) -> None:
    """A megabyte under any key, again and again."""
    target.saw["taken"] = 0

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(2.0)
        with suppress(*FAILED):
            for _ in range(30):
                stream = session.open(target.kad)
                key = os.urandom(16).hex().encode()
                record = message((1, key), (2, bytes(MOST)))
                _say(stream, message((1, PUT_VALUE), (2, key), (3, record)))
                answer = fields(_answer(stream))
                target.count("taken", answer.get(2) == key)
                stream.close()
        session.close()

    target.keep_on(one)


def _own_id(session_key: bytes) -> bytes:
    raw = ED25519 + session_key
    return b"\x00" + varint(len(raw)) + raw


def providers(target: Target) -> None:
    """Provider records without end, each for another key and with as many addresses as fit, by one peer after another.

    The addresses are somebody else's: are others sent there?
    """
    target.saw["named"] = target.saw["sent_elsewhere"] = 0

    def one(number: int) -> None:
        peer = Peer()
        session = peer.dial(target.addr, source=target.source(number))
        session.secure.line.patience(10.0)
        name = _own_id(peer.key)
        with suppress(*FAILED):
            stream = session.open(target.kad)
            key = _provide(stream, name, 200)
            _look(target, number, message((1, GET_PROVIDERS), (2, key)), name)
            for count in (200,) * 400 if number % 2 else (MANY,) * 8:
                _provide(stream, name, count)
                target.count("said")
        session.close()

    target.keep_on(one)


def _provide(stream: Stream, name: bytes, count: int) -> bytes:
    """Say that one provides a key, which is returned, at so many addresses."""
    key = b"\x12\x20" + os.urandom(32)
    _say(stream, message((1, ADD_PROVIDER), (2, key), (9, message((1, name), *[(2, ELSEWHERE)] * count))))
    return key


def undecodable(target: Target) -> None:
    """Questions that are no protobuf, of kinds that there are not, too long, half, and about what is no text."""
    key = b"\xff" * 32
    bad = (
        *(message((1, PUT_VALUE), (2, key), (3, message((1, key), (2, bytes(size))))) for size in (1000, MOST)),
        b"\xff" * 100,
        message((1, 77)),
        message((1, FIND_NODE)) * 3000,
        message((1, GET_PROVIDERS), (2, bytes(60_000))),
        message((8, b"\xff" * 30), (1, FIND_NODE), (2, b"x")),
    )

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(2.0)
        for question in bad:
            with suppress(*FAILED):
                stream = session.open(target.kad)
                _say(stream, question)
                target.count("said")
                stream.write(varint(1 << 62))
                _answer(stream)
        session.close()

    target.keep_on(one)


def questions(target: Target) -> None:
    """Questions without end, by who says that it serves, and that it is somewhere else. Are others sent there?"""
    target.saw["sent_elsewhere"] = 0

    def one(number: int) -> None:
        peer = Peer()
        session = peer.dial(target.addr, source=target.source(number))
        claim = message((1, _own_id(peer.key)), (2, ELSEWHERE))
        question = message((1, FIND_NODE), (2, os.urandom(38)), (8, claim))
        with suppress(*FAILED):
            _asked(session, target.kad, question)
            _serve(session, peer, target.kad)
            for _ in range(3):
                if _asked(session, target.kad, question) and _look(target, number, question, _own_id(peer.key)):
                    break
            session.secure.line.patience(5.0)
            streams = [session.open(target.kad) for _ in range(3)]
            target.on()
            while target.going():
                for stream in streams:
                    for _ in range(50):
                        _say(stream, message((1, GET_PROVIDERS), (2, b"\x12\x20" + os.urandom(32))))
                for stream in streams:
                    _answer(stream)
                    target.count("answers")
        session.close()

    target.keep_on(one)


def _serve(session: Session, peer: Peer, kad: str) -> None:
    """Say who one is, or answer a question, whichever one is asked first; other streams are refused."""
    while True:
        stream = session.next_incoming()
        with suppress(Broken):
            if accept(stream, IDENTIFY, kad) == IDENTIFY:
                _say(stream, message((1, ED25519 + peer.key), (2, ELSEWHERE), (3, kad.encode()), (5, b"ipfs/0.1.0")))
            else:
                _answer(stream)
                _say(stream, message((1, FIND_NODE)))
            stream.close()
            return
