"""The demo's act of learning: a history of private turns on two devices, a window that ends, a habit that is released, confirmed,
published, and used by somebody else; and a search for anything private in all that this stranger got.
"""

from __future__ import annotations

import json
import random
import re
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import trio

from mycel_simnet import strangers
from mycel_simnet.cluster import Cluster
from mycel_simnet.process import NodeProcess
from mycel_simnet.telling import Story

DAYS, HABIT_DAYS = 40, 25
NOISE: Final = 18  # at ε = 1 it is as much as that once in 50 million times
STEP_SECONDS = 30.0
POLL_SECONDS: Final = 0.1
HOUR: Final = 3_600.0
ACCOUNT: Final = "alice.near"  # that the chain begins with
PUBLISHED_WITHIN: Final = 72 * HOUR  # after the decision

GIVEN: Final = ("Rohanna", "Wilhelmina", "Ottokar", "Nandini", "Thaddeus", "Oluwaseun", "Brunhilde", "Casimir")
FAMILY: Final = (
    "Pattanaik",
    "Okonkwo",
    "Szczepanski",
    "Vandenberghe",
    "Nakamura",
    "Quisling",
    "Abernathy",
    "Delacroix",
)
HABIT: Final = (
    "Write a unit test for this function of {name}'s",
    "Could you please write unit tests for the function below? {name} asked for them, {email}",
    "I need a unit test for my function, {name} waits at {phone}",
    "hi! can you write a test for the function from {email}, thanks",
)
ONCE: Final = (
    "Translate this letter to {name}, {street}, into French",
    "Plan a trip with {name}, who lives at {street}",
    "Summarize the meeting notes of {name} ({email})",
    "Draft an email to {name} at {email}: the password is {secret}",
    "Explain why the invoice over {iban} was not paid by {name}",
)


def history(chance: random.Random, until: datetime) -> tuple[list[dict[str, Any]], set[str]]:
    """Turns of 40 days, one habit among them on 25; and everything in them that is nobody's business."""
    private: set[str] = set()

    def person() -> dict[str, str]:
        given, family, digits = chance.choice(GIVEN), chance.choice(FAMILY), str(chance.randrange(10**13, 10**14))
        facts = {
            "name": f"{given} {family}",
            "email": f"{given}.{family}{digits[:3]}@example.org".lower(),
            "phone": f"+49 30 {digits}",
            "street": f"{digits[:2]} {family} Lane",
            "secret": f"hunter{digits}",
            "iban": f"DE89 3704 0044 {digits[:4]} {digits[4:]} 00",
        }
        private.update((given, family, digits, *facts.values(), *(fact.replace(" ", "") for fact in facts.values())))
        return facts

    turns = []
    habitual = set(chance.sample(range(DAYS), HABIT_DAYS))
    for day in range(DAYS):
        asked = [chance.choice(HABIT)] if day in habitual else []
        asked += [ONCE[day]] if day < len(ONCE) else []
        for request in asked:
            about = person()
            token = f"{chance.getrandbits(64):016x}"
            private.add(token)
            answer = f"Here it is, {about['name']}: {token}"
            time = (until - timedelta(days=day)).isoformat()
            turns.append({"request": request.format(**about), "answer": answer, "time": time, "success": True})
    return turns, private


async def learn(cluster: Cluster, story: Story, chance: random.Random, here: str, there: str, address: str) -> None:
    """The whole act, on two devices ``here`` and ``there``; ``address`` is that of the first in the collective."""
    one, other = cluster.nodes[here], cluster.nodes[there]
    turns, private = history(chance, datetime.now(UTC))
    file = cluster.folder / "history.jsonl"
    file.write_text("".join(json.dumps(turn) + "\n" for turn in turns))
    for name, node in ((here, one), (there, other)):
        taken = await node.command("interactions", "import", str(file))
        story.promise(
            f"{name} takes in a history of {len(turns)} turns, full of names and secrets", len(turns), taken["new"]
        )
    before = await one.command("pattern", "extract")
    story.promise(
        "while the window is open, nothing is decided", ("open", []), (before["window"]["state"], before["decided"])
    )
    closes = datetime.fromisoformat(before["window"]["closes"])
    ahead = (closes - datetime.now(UTC)).total_seconds() + HOUR
    for name in (here, there):
        cluster.skew(name, ahead)
    story.say(f"the window {before['window']['id']} ends: one habit was there on {HABIT_DAYS} of {DAYS} days")
    decided = await _decided(one)
    released = decided["candidates"]
    story.promise(
        f"{here} decides, over both devices, and lets out that habit alone, counted once",
        [before["window"]["id"], 1, True],
        [decided["window"]["id"], len(released), abs(released[0]["n"] - HABIT_DAYS) < NOISE],
    )
    spent = await one.command("budget")
    story.say(
        f"that cost ε = {spent['ever']['epsilon']} of one person's budget; what is let out: {released[0]['text']}"
    )
    async with _chain(cluster, here, ahead, story) as (heard, register):
        waiting = await one.command("pattern", "publish", released[0]["key"], "--consent", *register)
        story.promise("the person confirms it, and it is not public before its time", None, waiting["cid"])
        for name in (here, there):
            cluster.skew(name, ahead + PUBLISHED_WITHIN)
        made = await one.command("pattern", "publish", released[0]["key"], "--consent", *register)
        story.promise("then it is public, with the promise of that decision", "discrete-laplace-threshold", made["dp"])
        if register:
            story.promise("and in the registry of a chain", True, made["registered"])
    ears = cluster.folder / "reader.heard"
    async with strangers.open_stranger(cluster.folder, address, "reader", ahead + PUBLISHED_WITHIN, ears) as reader:
        title = released[0]["text"]
        story.promise("another person finds it", True, await strangers.found(reader, title, made["cid"], STEP_SECONDS))
        used = await reader.call("pattern.use", cid=made["cid"], variables={"material": "def area(r): ..."})
        story.promise("and uses it", True, "def area(r)" in used["output"])
        await reader.stop()
    said = list(_files(ears))
    left = [*_files(reader.data), *said, *heard]
    called = f", and of {len(heard)} calls to the chain," if register else ""
    told = f"the search of all that this person has on the disk, and heard on {len(said)} streams{called} finds what was published"
    story.promise(told, True, _found(left, {title.split(" (")[0]}) != set())
    story.promise("on a stream, too", True, _found(said, {title.split(" (")[0]}) != set())
    if register:
        story.promise("in the calls its CID", True, _found(heard, {made["cid"]}) != set())
    none = f"and none of {len(private)} private names, addresses, numbers and secrets"
    story.promise(none, [], sorted(_found(left, private)))


@asynccontextmanager
async def _chain(
    cluster: Cluster, name: str, ahead: float, story: Story
) -> AsyncIterator[tuple[list[bytes], tuple[str, ...]]]:
    """A chain at the device's time, where it has an account from now on: all that is sent there, and how to register.

    Without the virtual machine that contracts need nothing is registered.
    """
    heard: list[bytes] = []
    if find_spec("wasmtime") is None:
        yield heard, ()
        return
    from mycel_simnet import market
    from mycel_simnet.near.devchain import open_devchain

    folder, node = cluster.folder / "learning", cluster.nodes[name]
    at = time.time_ns() + int(ahead * 1e9)
    began = time.monotonic_ns()
    async with open_devchain(
        folder, clock=lambda: at + time.monotonic_ns() - began, heard=lambda body: heard.extend(_spoken(body))
    ) as chain:
        contracts = await market.deploy(chain)
        node.settle(**market.on_chain(folder, chain, contracts))
        cluster.open_to(chain.url.removeprefix("http://"))
        await cluster.restart(name)
        await node.command("chain", "account", "import", str(chain.key_file(ACCOUNT)))
        story.say(f"{name} has an account on a chain of this machine's own")
        yield heard, ("--register",)


def _spoken(body: bytes) -> list[bytes]:
    """What is said in a call: as it is, and what is in it in base64."""
    inside = re.findall(rb'"([A-Za-z0-9+/]{16,}={0,2})"', body)
    return [body, *(b64decode(text) for text in inside if len(text) % 4 == 0)]


async def _decided(node: NodeProcess) -> dict[str, Any]:
    """Decide once the devices have met under the new time."""
    answer: dict[str, Any] = {}
    with trio.move_on_after(STEP_SECONDS):
        while True:
            answer = await node.command("pattern", "extract")
            if answer["decided"]:
                return answer
            await trio.sleep(POLL_SECONDS)
    return answer


def _found(contents: Iterable[bytes], texts: set[str]) -> set[str]:
    """What of ``texts`` is in one of the contents, whatever the case."""
    lower = [part.lower() for part in contents]
    return {text for text in texts if any(text.lower().encode() in part for part in lower)}


def _files(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
