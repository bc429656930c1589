"""The demo's act of learning: a history of private turns on two devices, a window that ends, a habit that is released, confirmed,
published, and used by somebody else; and a search for anything private in all that this stranger got.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import trio

from mycel_simnet import strangers
from mycel_simnet.cluster import Cluster
from mycel_simnet.process import NodeProcess
from mycel_simnet.telling import Story

DAYS, HABIT_DAYS = 40, 25
STEP_SECONDS = 30.0
POLL_SECONDS: Final = 0.1
HOUR: Final = 3_600.0
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
        given, family, digits = chance.choice(GIVEN), chance.choice(FAMILY), str(chance.randrange(10**7, 10**8))
        facts = {
            "name": f"{given} {family}",
            "email": f"{given}.{family}{digits[:3]}@example.org".lower(),
            "phone": f"+49 30 {digits}",
            "street": f"{digits[:2]} {family} Lane",
            "secret": f"hunter{digits}",
            "iban": f"DE89 3704 0044 {digits[:4]} {digits[4:]} 00",
        }
        private.update((given, family, *facts.values()))
        return facts

    turns = []
    habitual = set(chance.sample(range(DAYS), HABIT_DAYS))
    for day in range(DAYS):
        asked = [chance.choice(HABIT)] if day in habitual else []
        asked += [ONCE[day]] if day < len(ONCE) else []
        for request in asked:
            about = person()
            answer = f"Here it is, {about['name']}: {chance.getrandbits(64):x}"
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
        [decided["window"]["id"], len(released), abs(released[0]["n"] - HABIT_DAYS) < HABIT_DAYS],
    )
    spent = await one.command("budget")
    story.say(
        f"that cost ε = {spent['ever']['epsilon']} of one person's budget; what is let out: {released[0]['text']}"
    )
    waiting = await one.command("pattern", "publish", released[0]["key"], "--consent")
    story.promise("the person confirms it, and it is not public before its time", None, waiting["cid"])
    for name in (here, there):
        cluster.skew(name, ahead + PUBLISHED_WITHIN)
    made = await one.command("pattern", "publish", released[0]["key"], "--consent")
    story.promise("then it is public, with the promise of that decision", "discrete-laplace-threshold", made["dp"])
    async with strangers.open_stranger(cluster.folder, address, "reader", ahead + PUBLISHED_WITHIN) as reader:
        title = released[0]["text"]
        story.promise("another person finds it", True, await strangers.found(reader, title, made["cid"], STEP_SECONDS))
        used = await reader.call("pattern.use", cid=made["cid"], variables={"material": "def area(r): ..."})
        story.promise("and uses it", True, "def area(r)" in used["output"])
        await reader.stop()
        looked, found = _search(reader, private)
    story.promise("the search of all that this person got finds what was published", True, looked(title.split(" (")[0]))
    story.promise(f"and none of {len(private)} private names, addresses, numbers and secrets", [], sorted(found))


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


def _search(node: NodeProcess, private: set[str]) -> tuple[Any, set[str]]:
    """A search in every file of a device's folder, whatever the case; and what of ``private`` is in one."""
    contents = [part.lower() for part in _files(node.data)]

    def has(text: str) -> bool:
        return any(text.lower().encode() in part for part in contents)

    return has, {text for text in private if has(text)}


def _files(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
