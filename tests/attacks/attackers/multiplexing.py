"""Attacks by a stranger with a full connection, on streams, frames and windows."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from wire import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    VERSION,
    WINDOW_UPDATE,
    Line,
    Peer,
    Session,
    header,
    propose,
    token,
)

from .target import FAILED, Crowd, Target

CHUNK = bytes(60_000)
MIB = 1 << 20


def idle_strangers(target: Target) -> None:
    """600 full connections, each of another identity, that ask for nothing."""
    Crowd(target, 600, lambda number: target.session(number).secure.line).hold()


def three_hundred(target: Target) -> None:
    """300 connections in total, one after another, each of somebody else, used and left politely; then nothing."""
    _one_after_another(target, 300, Peer, rude=False)


def cycles(target: Target) -> None:
    """500 connections of one peer, one after another, some of them left with a TCP reset; then nothing."""
    peer = Peer()
    _one_after_another(target, 500, lambda: peer, rude=True)


def _one_after_another(target: Target, size: int, who: Callable[[], Peer], *, rude: bool) -> None:
    """Who is refused tries again, so that there are so many, unless nobody is let in any more."""
    refused = target.saw["came_in"] = 0
    while target.saw["came_in"] < size and refused < 100:
        number = target.saw["came_in"]
        if not target.going():
            return
        try:
            session = who().dial(target.addr, source=target.source(number))
        except FAILED:
            refused += 1
            target.going(0.01)
            continue
        refused = 0
        with suppress(*FAILED):
            if number % 10 == 0:
                session.open(target.protocol).close()
        target.count("came_in")
        target.count("struck")
        if rude and number % 4 == 0:
            session.secure.line.reset()
        else:
            session.close()
    target.on()
    while target.going(1.0):
        pass


def streams(target: Target) -> None:
    """2,000 streams on one connection, that say nothing; and again. ``most``: that it had at a time."""
    opened = b"".join(header(WINDOW_UPDATE, SYN, 1 + 2 * each, 0) for each in range(2000))
    target.saw["most"] = 0

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(1.0)
        session.secure.write(opened)
        held = 0
        with suppress(*FAILED):
            while True:
                flags = session.next_flags()
                held += (flags == ACK) - (flags == RST)
        if not session.over:
            target.saw["most"] = max(target.saw["most"], held)
            target.on()
            while target.going(0.5):
                session.frame(PING, SYN, 0, 1)
        session.close()

    target.keep_on(one)


def unread_streams(target: Target) -> None:
    """Streams to a handler that does not read, each filled to its window and beyond, a connection at a time."""
    target.saw["megabytes"] = 0.0

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(3.0)
        said = VERSION + token(target.deaf)
        with suppress(*FAILED):
            for each in range(32):
                session.frame(DATA, SYN, 1 + 2 * each, body=said)
                for _ in range(32):
                    session.frame(DATA, 0, 1 + 2 * each, body=CHUNK)
                    target.saw["megabytes"] += len(CHUNK) / MIB
            target.on()
            while target.going(0.5):
                session.frame(PING, SYN, 0, 1)
        session.close()

    target.keep_on(one)


def window_overrun(target: Target) -> None:
    """300 MiB on one stream to a handler that does not read, whatever the window says."""
    target.saw["megabytes"] = 0.0

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(5.0)
        session.frame(DATA, SYN, 1, body=VERSION + token(target.deaf))
        with suppress(*FAILED):
            for _ in range(300 * MIB // len(CHUNK)):
                session.frame(DATA, 0, 1, body=CHUNK)
                target.saw["megabytes"] += len(CHUNK) / MIB
            target.on()
            while target.going(0.5):
                session.frame(PING, SYN, 0, 1)
        session.close()

    target.keep_on(one)


BAD_FRAMES = {
    "version": header(DATA, SYN, 1, 0, version=7),
    "type": header(9, SYN, 1, 0),
    "parity": header(WINDOW_UPDATE, SYN, 2, 0),
    "stream 0": header(WINDOW_UPDATE, SYN, 0, 0),
    "flags": header(WINDOW_UPDATE, 0xFFF0 | SYN, 1, 0),
    "length": header(DATA, SYN, 1, 0xFFFFFFFF),
}


def bad_frames(target: Target) -> None:
    """Frames that no yamux sends. ``taken``: those after which the connection goes on as if nothing had been."""
    taken = target.saw["taken"] = []

    def one(number: int) -> None:
        name = list(BAD_FRAMES)[number % len(BAD_FRAMES)]
        session = target.session(number)
        session.secure.line.patience(2.0)
        with suppress(*FAILED):
            session.secure.write(BAD_FRAMES[name])
            propose(session.raw_stream(5), target.protocol)
            if name not in taken:
                taken.append(name)
        session.close()

    for number in range(len(BAD_FRAMES)):
        with suppress(*FAILED):
            one(number)
    target.on()
    target.keep_on(one)


def ping_flood(target: Target) -> None:
    """8 connections that send pings without end, and half of them never read an answer."""
    pings = header(PING, SYN, 0, 7) * 5000

    def one(number: int) -> Line:
        session = target.session(number)
        line = session.secure.line
        line.patience(0.2)
        sessions[line] = session
        return line

    def strike(line: Line) -> None:
        sealed = sessions[line].secure.sealed(pings)
        line.patience(0.5)
        try:
            line.write(sealed)
        except FAILED:
            line.close()  # a message went out in part
            raise
        target.count("pings", 5000)

    sessions: dict[Line, Session] = {}
    crowd = Crowd(target, 8, one)
    crowd.gather(range(8))
    for line in crowd.lines * 3:
        with suppress(*FAILED):
            strike(line)
    crowd.hold(strike, every=0.05)


def reset_storm(target: Target) -> None:
    """Lines that are reset with thousands of pings unanswered, and streams that are opened and reset at once."""
    pings = header(PING, SYN, 0, 7) * 5000
    storm = b"".join(
        header(DATA, SYN, 1 + 2 * each, 0) + header(WINDOW_UPDATE, RST, 1 + 2 * each, 0) for each in range(1000)
    )

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(3.0)
        with suppress(*FAILED):
            session.secure.write(storm if number % 2 else pings)
        session.secure.line.reset()

    for number in range(60):
        if target.going():
            with suppress(*FAILED):
                one(number)
    target.on()
    target.keep_on(one)


def slow_streams(target: Target) -> None:
    """Slow-loris on streams: a token at a byte a second, a frame that is announced and comes a byte at a time."""
    sessions: dict[Line, Session] = {}
    said: dict[Line, int] = {}

    def one(number: int) -> Line:
        session = target.session(number)
        session.raw_stream()
        line = session.secure.line
        sessions[line] = session
        return line

    def drip(line: Line) -> None:
        session, place = sessions[line], said.get(line, 0)
        words = VERSION + token(target.protocol)
        if place < len(words):
            session.frame(DATA, 0, 1, body=words[place : place + 1])
        said[line] = place + 1

    Crowd(target, 300, one).hold(drip, every=1.0)


def frozen(target: Target) -> None:
    """Connections in full use whose process stops: SIGSTOP. Nothing is closed, nothing is answered, ever."""
    held = []
    for number in range(8):
        with suppress(*FAILED):
            session = target.session(number)
            session.open(target.protocol)
            held.append(session)
    target.saw["held"] = len(held)
    target.on()
    os.kill(os.getpid(), signal.SIGSTOP)


def frozen_reader(target: Target) -> None:
    """The same, in the middle of an answer that fills every buffer between the two."""
    held = []
    for number in range(4):
        with suppress(*FAILED):
            session = target.session(number)
            session.secure.line.patience(1.0)
            session.frame(DATA, SYN, 1, body=VERSION + token(target.pour))
            session.frame(WINDOW_UPDATE, 0, 1, 1 << 30)
            with suppress(*FAILED):
                for _ in range(20):
                    session.secure.write(header(PING, SYN, 0, 7) * 5000)
            held.append(session)
    target.saw["held"] = len(held)
    target.on()
    os.kill(os.getpid(), signal.SIGSTOP)


def stalled_reader(target: Target) -> None:
    """An honest reader whose program is busy for 7 seconds, and then goes on. ``told``: if it cannot go on, it is told so."""
    session = target.session(0)
    stream = session.open(target.pour)
    target.on()
    session.secure.line.patience(0.5)
    until = time.monotonic() + 7.0
    while time.monotonic() < until and not session.over:
        with suppress(*FAILED):
            session.pump()
    session.secure.line.patience(5.0)
    got = 0
    with suppress(*FAILED):
        while got < 4 * MIB and (data := stream.read_some()):
            got += len(data)
    target.saw.update(goes_on=got >= 4 * MIB, told=stream.was_reset or stream.ended, connected=not session.over)
    session.close()


def half_a_frame(target: Target) -> None:
    """A stream on which half of what was announced is said; then it waits to be killed."""
    target.session(0).open(target.tell).write(b"\x00\x00\x00\x10half")
    target.on()
    while target.going(1.0):
        pass


def clean_end(target: Target) -> None:
    """A stream that is ended as it should be, with the empty frame that marks the end."""
    session = target.session(0)
    stream = session.open(target.tell)
    stream.write(bytes(4) + hashlib.blake2b(b"", digest_size=8).digest())
    stream.close()
    with suppress(*FAILED):
        stream.read(100)
    target.on()
    session.close()


def rude_frames(target: Target) -> None:
    """GO_AWAY and streams after it, FIN and RST of streams that never were, window updates beyond 2^32."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(1.0)
        with suppress(*FAILED):
            for each in range(200):
                session.frame(WINDOW_UPDATE, RST, 101 + 2 * each)
                session.frame(DATA, FIN, 101 + 2 * each, body=b"x")
            session.frame(WINDOW_UPDATE, SYN, 1, 0xFFFFFFFF)
            session.frame(WINDOW_UPDATE, 0, 1, 0xFFFFFFFF)
            session.frame(GO_AWAY, 0, 0, number % 4)
            session.frame(WINDOW_UPDATE, SYN, 3)
        session.close()

    target.keep_on(one)


def served_strangers(target: Target) -> None:
    """300 connections, each of which keeps a handler waiting for its first word."""

    def one(number: int) -> Line:
        session = target.session(number)
        session.frame(DATA, SYN, 1, body=VERSION + token(target.protocol))
        return session.secure.line

    Crowd(target, 300, one).hold()
