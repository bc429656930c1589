"""Shared notes: two devices write, offline and on, and read the same. Run it: `python examples/notes.py`."""

import tempfile
from pathlib import Path

import trio

import mycelnode

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        laptop, phone = Path(folder, "laptop"), Path(folder, "phone")
        await mycelnode.init(laptop, name="laptop")
        async with mycelnode.open_node(laptop, listen=LOOPBACK) as node:
            invite = await node.invite(ttl=60)
            await mycelnode.join(phone, str(invite), name="phone")
            await node.map("notes").put("shopping", "milk")

        # The laptop is off. The phone has never seen the note, and writes one of its own.
        async with mycelnode.open_node(phone, listen=LOOPBACK) as node:
            await node.map("notes").put("call", "the dentist")

        async with (
            mycelnode.open_node(laptop, listen=LOOPBACK) as one,
            mycelnode.open_node(phone, listen=LOOPBACK) as other,
        ):
            await one.connect(other.device, other.addresses)
            await one.sync()
            for node in (one, other):
                print(node.name, dict(sorted(node.map("notes").items().items())))


if __name__ == "__main__":
    trio.run(main)
