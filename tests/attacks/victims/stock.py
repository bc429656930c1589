"""The stock host: py-libp2p as its documentation shows it, with the ping and identify that it always has, and a small service.

Prints its address, and runs until it is killed, or until a peer ends it.
"""

from __future__ import annotations

import sys

import trio
from libp2p import new_host
from libp2p.network.stream.exceptions import StreamEOF
from multiaddr import Multiaddr


async def echo(stream) -> None:  # type: ignore[no-untyped-def]
    """As in its example `echo`, but for many messages."""
    try:
        while data := await stream.read(1 << 16):
            await stream.write(data)
    except StreamEOF:
        pass
    finally:
        await stream.close()


async def shout(stream) -> None:  # type: ignore[no-untyped-def]
    """A handler as one writes it on the first day: it thinks that what comes is text."""
    data = await stream.read(1 << 16)
    await stream.write(data.decode().upper().encode())
    await stream.close()


async def deaf(stream) -> None:  # type: ignore[no-untyped-def]
    """A handler that is busy with something else."""
    await trio.sleep_forever()


async def pour(stream) -> None:  # type: ignore[no-untyped-def]
    """A handler that has much to say."""
    while True:
        await stream.write(bytes(60_000))


async def tell(stream) -> None:  # type: ignore[no-untyped-def]
    """Prints how a stream ended, as far as libp2p lets it know."""
    got = b""
    try:
        while data := await stream.read(1 << 16):
            got += data
        end = "clean"
    except StreamEOF:
        end = "clean"
    except Exception as error:
        end = f"broken: {type(error).__name__}"
    print(f"{len(got)} bytes, {end}", flush=True)
    await stream.close()


async def main() -> None:
    host = new_host()
    for protocol, handler in (
        ("/echo/1", echo),
        ("/shout/1", shout),
        ("/deaf/1", deaf),
        ("/pour/1", pour),
        ("/tell/1", tell),
    ):
        host.set_stream_handler(protocol, handler)
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        print(host.get_addrs()[0], flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
    sys.exit("the host ended by itself")
