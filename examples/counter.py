"""A counter across devices: concurrent changes add up. Run it: `python examples/counter.py`."""

import tempfile
from pathlib import Path

import trio

import mycelnode

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]
CLICKS = 100


async def click(node: mycelnode.Node) -> None:
    for _ in range(CLICKS):
        await node.counter("clicks").add(1)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await mycelnode.init(Path(folder, "one"), name="one")
        async with mycelnode.open_node(Path(folder, "one"), listen=LOOPBACK) as one:
            await mycelnode.join(Path(folder, "two"), str(await one.invite(ttl=60)), name="two")
            async with mycelnode.open_node(Path(folder, "two"), listen=LOOPBACK) as two:
                async with trio.open_nursery() as nursery:  # both at once, connected or not
                    nursery.start_soon(click, one)
                    nursery.start_soon(click, two)
                await two.connect(one.device, one.addresses)
                await two.sync()
                for node in (one, two):
                    print(node.name, node.counter("clicks").value)


if __name__ == "__main__":
    trio.run(main)
