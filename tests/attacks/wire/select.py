"""multistream-select 1.0, https://github.com/multiformats/multistream-select, over anything with ``write`` and ``read``."""

from __future__ import annotations

from typing import Protocol

from .bits import VERSION, token


class Bytes(Protocol):
    """What negotiation needs."""

    def write(self, data: bytes) -> None: ...

    def read(self, size: int) -> bytes: ...


class Refused(Exception):
    """The other end does not speak that."""


def read_token(line: Bytes) -> bytes:
    """Without length and line feed."""
    length = shift = 0
    while True:
        byte = line.read(1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return line.read(length)[:-1]


def propose(line: Bytes, protocol: str) -> None:
    """Agree on ``protocol`` with who was dialled. Raises `Refused`."""
    line.write(VERSION + token(protocol))
    if token(read_token(line)) != VERSION:
        raise Refused("it does not speak multistream-select")
    answer = read_token(line).decode(errors="replace")
    if answer != protocol:
        raise Refused(f"{protocol}: {answer}")


def accept(line: Bytes, *protocols: str) -> str:
    """Agree with who has dialled: the first of its proposals that is one of ``protocols``."""
    line.write(VERSION)
    if token(read_token(line)) != VERSION:
        raise Refused("it does not speak multistream-select")
    while True:
        proposal = read_token(line).decode(errors="replace")
        if proposal in protocols:
            line.write(token(proposal))
            return proposal
        line.write(token("na"))
