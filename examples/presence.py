"""Presence: each device says what it is doing, and the others see it change. Run it: `python examples/presence.py`."""

import tempfile
from pathlib import Path

import trio

import mycelnode

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]
STATES = ["awake", "writing", "asleep"]


async def live(node: mycelnode.Node) -> None:
    for state in STATES:
        await node.map("presence").put(node.name, state)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await mycelnode.init(Path(folder, "desk"), name="desk")
        async with mycelnode.open_node(Path(folder, "desk"), listen=LOOPBACK) as desk:
            await mycelnode.join(Path(folder, "tablet"), str(await desk.invite(ttl=60)), name="tablet")
            async with mycelnode.open_node(Path(folder, "tablet"), listen=LOOPBACK) as tablet:
                await tablet.connect(desk.device, desk.addresses)
                async with desk.watch("presence") as changes, trio.open_nursery() as nursery:
                    nursery.start_soon(live, tablet)
                    async for change in changes:
                        print(f"desk sees: {change.key} is {change.new}")
                        if change.new == STATES[-1]:
                            break


if __name__ == "__main__":
    trio.run(main)
