"""multistream-select 1.0 (libp2p specs, connections): agree on a protocol over a byte stream, with every length bounded.

Ours instead of libp2p 0.8.1's, where a token that is not UTF-8 raises out of the handler and takes the whole host down, a length is
believed up to 2^64, and a peer may propose for as long as it likes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Protocol

from mycelnode.errors import PeerMisbehaved, Unsupported

VERSION = "/multistream/1.0.0"
MAX_TOKEN_BYTES = 1024  # as in go-multistream
MAX_PROPOSALS = 16  # then the other end is only keeping us busy
_NOT_AVAILABLE = "na"


class Line(Protocol):
    """A byte stream to negotiate on; ``read_exactly`` raises `BrokenError` at the end."""

    async def read_exactly(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""

    async def write(self, data: bytes) -> None:
        """Send everything."""


def _token(text: str) -> bytes:
    data = text.encode() + b"\n"
    length = len(data)  # at most MAX_TOKEN_BYTES: a varint of one or two bytes
    prefix = bytes([length]) if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7])
    return prefix + data


async def _read_token(read_exactly: Callable[[int], Awaitable[bytes]]) -> str:
    first = (await read_exactly(1))[0]
    length = first & 0x7F
    if first & 0x80:
        second = (await read_exactly(1))[0]
        length |= second << 7
        if second & 0x80 or length > MAX_TOKEN_BYTES:
            raise PeerMisbehaved("the other end began to negotiate with an oversized token")
    data = await read_exactly(length) if length else b""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.endswith("\n"):
        raise PeerMisbehaved("the other end does not speak multistream-select")
    return text[:-1]


async def propose(line: Line, protocol: str) -> None:
    """Ask for ``protocol``: one round trip, as version and protocol go out together.

    Raises `Unsupported` if the other end does not speak it, `PeerMisbehaved`, `BrokenError`.
    """
    await line.write(_token(VERSION) + _token(protocol))
    if await _read_token(line.read_exactly) != VERSION:
        raise PeerMisbehaved("the other end does not speak multistream-select")
    answer = await _read_token(line.read_exactly)
    if answer == _NOT_AVAILABLE:
        raise Unsupported(f"the other end does not speak {protocol}")
    if answer != protocol:
        raise PeerMisbehaved(f"the other end agreed to another protocol than {protocol}")


async def agree(line: Line, protocols: Container[str]) -> str:
    """Answer proposals until one of ``protocols`` is named, and return it.

    ``ls`` is refused like an unknown protocol: what is on offer is nobody's business. Raises `PeerMisbehaved`, `BrokenError`.
    """
    await line.write(_token(VERSION))
    if await _read_token(line.read_exactly) != VERSION:
        raise PeerMisbehaved("the other end does not speak multistream-select")
    for _ in range(MAX_PROPOSALS):
        proposal = await _read_token(line.read_exactly)
        if proposal in protocols:
            await line.write(_token(proposal))
            return proposal
        await line.write(_token(_NOT_AVAILABLE))
    raise PeerMisbehaved("the other end proposed nothing that is spoken here")
