"""The demo: three real devices on this machine pair, work apart, meet again, survive a kill -9 and put one out; then a stranger
finds and uses what the person publishes, a habit of theirs is released and found, and two people trade on a local chain. All of it
is checked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import trio

from mycel_simnet import learning, strangers
from mycel_simnet.checker import Outcome, check, observe
from mycel_simnet.cluster import Cluster, NotConverged, Standing, open_cluster
from mycel_simnet.process import NoAnswer, NodeFailed, Refused, texts
from mycel_simnet.scenario import Player
from mycel_simnet.telling import PromiseBroken, Story

LAPTOP, PHONE, DESK = DEVICES = ("laptop", "phone", "desk")
NOTES: Final = "notes"
DINNERS: Final = ("soup", "pizza", "dumplings", "curry", "ramen", "tacos", "paella", "risotto")
EDITS: Final = ("add", "count", "put", "share", "remove")
STEP_SECONDS = 20.0  # within which the devices must be in step after anything that happens
STORY_SECONDS = 240.0  # for everything
POLL_SECONDS = 0.05


class Demo:
    """The story itself, on a cluster that is still empty."""

    def __init__(self, cluster: Cluster, story: Story, chance: random.Random) -> None:
        self.cluster, self.story, self.random = cluster, story, chance
        self.player = Player(cluster)
        self.player.record.devices = DEVICES

    async def run(self) -> None:
        """All acts. Raises what goes so wrong that the story cannot go on."""
        await self.pair()
        await self.work_apart_and_meet()
        await self.kill_and_return()
        await self.put_out()
        await self.share()
        await self.trade()

    async def pair(self) -> None:
        """One device begins, two join."""
        begun = await self.cluster.add_first(LAPTOP)
        self.story.say(f"{LAPTOP} begins the mesh {begun['mesh']} and shows its {len(begun['phrase'].split())} words")
        async with trio.open_nursery() as nursery:
            for name in (PHONE, DESK):
                nursery.start_soon(self.cluster.add, name, LAPTOP)
        self.story.say(f"{PHONE} and {DESK} join, each with an invite of {LAPTOP}")
        await self.edit(*DEVICES)
        await self.in_step("all three write")

    async def work_apart_and_meet(self) -> None:
        """A partition, edits on both sides of it, also of the same thing, and its end."""
        self.cluster.partition([LAPTOP], [PHONE, DESK])
        here, there = self.random.sample(DINNERS, 2)
        await self.note(LAPTOP, "dinner", here)
        await self.note(PHONE, "dinner", there)
        await self.note(PHONE, f"{PHONE} only", there)
        await self.edit(*DEVICES)
        self.story.say(
            f"{LAPTOP} loses the others; {LAPTOP} plans {here} for dinner, {PHONE} plans {there}, all write on"
        )
        shown = [await self.notes(name) for name in (LAPTOP, PHONE)]
        expected: list[Mapping[str, str]] = [{"dinner": here}, {"dinner": there, f"{PHONE} only": there}]
        self.story.promise("each side sees its own notes and not the other's", expected, shown)
        self.cluster.heal()
        await self.in_step("the devices meet again")
        dinners = {(await self.notes(name)).get("dinner") for name in DEVICES}
        agreed = next(iter(dinners)) if len(dinners) == 1 else None
        self.story.promise("all agree on one of the two dinners", True, agreed in (here, there))

    async def kill_and_return(self) -> None:
        """Kill -9 in the middle of writing, and a return."""
        before = len(self.player.record.writes)
        await self.player.kill_while_writing(PHONE, self.random.uniform(0.1, 0.4))
        written = self.player.record.writes[before:]
        kept = sum(write.outcome is Outcome.ACKNOWLEDGED for write in written)
        self.story.say(f"{PHONE} is killed (kill -9) in the middle of writing, after {kept} acknowledged writes")
        await self.edit(LAPTOP, DESK)
        await self.cluster.start(PHONE)
        await self.in_step(f"{PHONE} returns")

    async def put_out(self) -> None:
        """A revocation, and what it means for the device that is out."""
        await self.edit(DESK)
        await self.in_step(f"{DESK} writes once more")
        self.player.record.fences[DESK] = await self.cluster.revoke(LAPTOP, DESK)
        self.story.say(f"{LAPTOP} revokes {DESK}")
        with trio.move_on_after(STEP_SECONDS):
            while (await self.cluster.status(DESK))["member"]:  # noqa: ASYNC110 # it is in another process
                await trio.sleep(POLL_SECONDS)
        self.story.promise(f"{DESK} knows that it is out", False, (await self.cluster.status(DESK))["member"])
        late = await self.player.edit("add", DESK)
        self.story.promise(f"{DESK} may not write any more", Outcome.REFUSED.value, late.outcome.value)
        await self.note(LAPTOP, "secret", "not for the desk")
        await self.edit(LAPTOP, PHONE)
        await self.in_step(f"{LAPTOP} and {PHONE} go on")
        self.story.promise(f"{PHONE} has the new note", True, "secret" in await self.notes(PHONE))
        self.story.promise(f"{DESK} has not", False, "secret" in await self.notes(DESK))

    async def share(self) -> None:
        """A pattern is published; the person's other device has it, and so has a stranger, who gets it from the swarm."""
        laptop, phone, folder = self.cluster.nodes[LAPTOP], self.cluster.nodes[PHONE], self.cluster.folder
        address = await strangers.join_collective(laptop)
        await self.cluster.network.attach(LAPTOP, laptop.address)
        self.story.say(f"{LAPTOP} opens its door to the collective")
        dish = self.random.choice(DINNERS)
        cid = await strangers.publish(laptop, folder, dish)
        self.story.say(f"{LAPTOP} publishes how to cook {dish}: {cid}")
        async with strangers.open_stranger(folder, address) as stranger:
            self.story.say("a stranger's node starts, which knows of one address")
            self.story.promise("it finds the pattern", True, await strangers.found(stranger, "cook", cid, STEP_SECONDS))
            people = str(self.random.randint(2, 9))
            used = await stranger.call("pattern.use", cid=cid, variables={"people": people, "leftovers": "rice"})
            wanted = f"Cook {dish} for {people} people, of rice, and say how."
            self.story.promise("it fetches it, checks the signature, and fills it in", wanted, used["output"].strip())
        self.story.promise(f"{PHONE} has it, too", True, await strangers.kept(phone, cid, STEP_SECONDS))
        await self.in_step("after that")
        await learning.learn(self.cluster, self.story, self.random, LAPTOP, PHONE, address)

    async def trade(self) -> None:
        """A pattern is sold and bought for real tokens of a chain on this machine, where contracts need a virtual machine."""
        if find_spec("wasmtime") is None:
            self.story.say("nothing is sold: the local chain needs wasmtime (pip install 'mycelnode[simnet]')")
            return
        from mycel_simnet import market

        await market.trade(self.cluster.folder, self.story, self.random.choice(DINNERS))

    # --- parts of it -------------------------------------------------------------------------------------------------------

    async def edit(self, *names: str) -> None:
        """Some random writes on each of these devices."""
        for name in names:
            for _ in range(self.random.randint(3, 8)):
                await self.player.edit(self.random.choice(EDITS), name, self.random.randrange(6))

    async def note(self, name: str, key: str, value: str) -> None:
        """Write a note on a device."""
        await self.cluster.write(name, [["put", NOTES, key, value]])

    async def notes(self, name: str) -> dict[str, str]:
        """The notes that a device shows."""
        return dict(await self.cluster.read(name, NOTES, "map"))

    async def in_step(self, after: str) -> None:
        """Wait until the devices are in step, and check all that they ever acknowledged."""
        took = await self.cluster.converged(STEP_SECONDS)
        devices, writes = len(self.cluster.healthy), len(self.player.record.writes)
        for difference in check(self.player.record, await observe(self.cluster, self.cluster.healthy)):
            self.story.say(f"{after}: in step, but not as written ✗")
            raise PromiseBroken(str(difference))
        self.story.say(f"{after}: {devices} devices in step after {took:.2f} s, nothing lost of {writes} writes ✓")

    async def table(self) -> list[dict[str, Any]]:
        """How each device stands at the end; what does not answer is said so."""
        rows = []
        for name in sorted(self.cluster.nodes, key=DEVICES.index):
            row: dict[str, Any] = {"device": name, "entries": None, "digest": None, "member": None}
            try:
                standing: Standing = await self.cluster.standing(name)
                entries = sum(standing.applied.values())
                row |= {"entries": entries, "digest": standing.digest, "member": name in standing.members}
            except (NoAnswer, Refused):
                pass
            rows.append(row)
        return rows


async def play(folder: Path, seed: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """The whole demo in ``folder``; returns its object, in which ``ok`` says whether every promise was kept."""
    story = Story(tell)
    rows: list[dict[str, Any]] = []
    try:
        with trio.fail_after(STORY_SECONDS):
            async with open_cluster(folder, (), seed=seed) as cluster:
                demo = Demo(cluster, story, random.Random(seed))
                try:
                    await demo.run()
                except* (PromiseBroken, NotConverged, NodeFailed, NoAnswer, Refused) as group:
                    story.differences += texts(group)
                rows = await demo.table()
    except* NodeFailed as group:
        story.differences += texts(group)
    except* trio.TooSlowError:
        story.differences.append(f"the story took more than {STORY_SECONDS:g} s")
    return {
        "seed": seed,
        "ok": not story.differences,
        "seconds": story.seconds,
        "steps": story.steps,
        "devices": rows,
        "differences": story.differences,
    }
