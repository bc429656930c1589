"""Messages after their lengths (a varint), as the protocols of libp2p have them on a stream."""

from __future__ import annotations

import trio

from mycelnode.errors import PeerMisbehaved
from mycelnode.p2p.host import Stream
from mycelnode.protobuf import MAX_VARINT_BYTES, read_varint, varint


def delimited(message: bytes) -> bytes:
    """The message, after its length."""
    return varint(len(message)) + message


async def read_delimited(stream: Stream, most: int, seconds: float) -> bytes:
    """The next message, of at most ``most`` bytes. It may begin whenever it likes, and has ``seconds`` from then on.

    Raises `PeerMisbehaved`, before anything is awaited for it, if it is longer; if it does not end; `EncodingError` for what is no
    length; `BrokenError` at the end of the stream.
    """
    prefix = bytearray(await stream.read_exactly(1))
    with trio.move_on_after(seconds):
        while prefix[-1] >= 0x80 and len(prefix) < MAX_VARINT_BYTES:
            prefix += await stream.read_exactly(1)
        size, _ = read_varint(bytes(prefix), 0)
        if size > most:
            raise PeerMisbehaved(f"{stream.peer} announced a message of {size} bytes; {most} are allowed")
        return await stream.read_exactly(size) if size else b""
    raise PeerMisbehaved(f"{stream.peer} did not end a message that it began")
