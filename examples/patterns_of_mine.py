"""A pattern of one's own: made on the laptop, found and used on the phone. Run it: `python examples/patterns_of_mine.py`."""

import tempfile
from pathlib import Path

import trio

import mycelnode

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await mycelnode.init(Path(folder, "laptop"), name="laptop")
        async with mycelnode.open_node(Path(folder, "laptop"), listen=LOOPBACK) as laptop:
            await laptop.patterns.make(
                {
                    "title": "Sort the post",
                    "description": "Sorts letters into piles, and says what to do with each pile.",
                    "domain": "home",
                    "template": "Sort these letters into piles, and say what to do with each pile: {{letters}}",
                }
            )
            await mycelnode.join(Path(folder, "phone"), str(await laptop.invite(ttl=60)), name="phone")
            async with mycelnode.open_node(Path(folder, "phone"), listen=LOOPBACK) as phone:
                await phone.connect(laptop.device, laptop.addresses)
                await phone.sync()
                for cid in (await phone.patterns.list()).coming:  # it is known; its blocks may still be on their way
                    await phone.patterns.keep(cid)
                best = (await phone.patterns.search("letters to sort")).found[0].pattern
                used = await phone.patterns.use(best.cid, {"letters": "a bill, a card"})
                print(used.output)
                print(await phone.patterns.rate(best.cid, success=True))


if __name__ == "__main__":
    trio.run(main)
