"""The virtual world: what its parts promise, that a story is its seed, and that it catches rules that look right and are wrong."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

import pytest
from click.testing import CliRunner

from mycel_simnet.virtual.clock import Clock, Endless
from mycel_simnet.virtual.command import virtual
from mycel_simnet.virtual.disk import FACTS, Disk
from mycel_simnet.virtual.network import Line, Network
from mycel_simnet.virtual.shrink import tell
from mycel_simnet.virtual.story import Story, failure
from mycelnode.crdt.counters import PNCounter
from tests.simnet.wrong_rules import WRONG_RULES, an_fsync_is_dropped

# --- the disk ----------------------------------------------------------------------------------------------------------------


def facts(disk: Disk) -> dict[str, int]:
    return dict(disk.tables[FACTS])


def test_what_is_committed_survives_a_power_cut_and_a_torn_transaction_leaves_no_trace() -> None:
    for seed in range(50):
        rng, disk = random.Random(seed), Disk()
        disk.store([(FACTS, "a", 1), (FACTS, "b", 1)])
        disk.begin([(FACTS, "a", 2), (FACTS, "c", 2)])
        disk.write(rng.randint(0, 2))
        assert facts(disk) == {"a": 1, "b": 1}, "nobody sees what is not committed"
        disk.crash(rng, power=seed % 2 == 0)
        assert facts(disk) == {"a": 1, "b": 1}


def test_a_transaction_that_is_written_and_not_synced_survives_a_kill_and_perhaps_a_power_cut() -> None:
    def after(seed: int, *, power: bool) -> int:
        disk = Disk()
        disk.store([(FACTS, "a", 1)])
        disk.begin([(FACTS, "a", 2)])
        disk.write()
        disk.crash(random.Random(seed), power=power)
        return facts(disk)["a"]

    assert {after(seed, power=False) for seed in range(50)} == {2}
    assert {after(seed, power=True) for seed in range(50)} == {1, 2}


def test_the_disk_syncs_when_the_product_says_so() -> None:
    assert Disk().syncs
    with an_fsync_is_dropped():
        kept = set()
        for seed in range(50):
            disk = Disk()
            for number in range(5):
                disk.store([(FACTS, "a", number), (FACTS, str(number), number)])
            disk.crash(random.Random(seed), power=True)
            kept.add(len(facts(disk)))
            assert set(facts(disk)) == {"a", *map(str, range(facts(disk).get("a", -1) + 1))} or not facts(disk)
        assert kept == {0, 2, 3, 4, 5, 6}


def test_an_image_is_a_copy() -> None:
    disk = Disk()
    disk.store([(FACTS, "a", 1)])
    disk.begin([(FACTS, "a", 2)])
    twin = disk.image()
    disk.commit()
    assert (facts(disk), facts(twin)) == ({"a": 2}, {"a": 1})


# --- the clock and the network -----------------------------------------------------------------------------------------------


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.words: list[bytes] = []
        self.ended = False

    def heard(self, kind: str, payload: bytes) -> None:
        self.words.append(payload)

    def over(self) -> None:
        self.ended = True


def line(seed: int, *, budget: int | None = None, odd: bool = False) -> tuple[Clock, Line, Ear, Ear]:
    clock = Clock()
    wire = Line(Network(clock, random.Random(seed)), budget, "reset", odd=odd)
    ears = (Ear(), Ear())
    wire.ears += ears
    return clock, wire, *ears


@pytest.mark.parametrize("seed", range(20))
def test_a_connection_keeps_order_and_an_odd_one_does_not(seed: int) -> None:
    sent = [bytes([number]) for number in range(50)]
    clock, wire, _, ear = line(seed)
    for word in sent:
        wire.send(0, "", word)
    clock.settle()
    assert ear.words == sent
    clock, wire, _, ear = line(seed, odd=True)
    for word in sent:
        wire.send(0, "", word)
    clock.settle()
    assert ear.words != sent
    assert set(ear.words) == set(sent)


def test_a_cut_takes_what_is_under_way_with_it_and_a_lost_line_tells_nobody() -> None:
    clock, wire, one, other = line(1, budget=3)
    for number in range(5):
        wire.send(0, "", bytes([number]))
    clock.settle()
    assert (one.ended, other.ended, other.words) == (True, True, [])
    clock, wire, one, other = line(1)
    wire.send(0, "", b"x")
    wire.cut("lost")
    clock.settle()
    assert (one.ended, other.ended, other.words) == (False, False, [])


def test_a_hang_up_comes_after_what_was_said() -> None:
    clock, wire, one, other = line(2)
    wire.send(0, "", b"bye")
    wire.hang_up(0)
    clock.settle()
    assert (one.ended, other.ended, other.words) == (True, True, [b"bye"])


def test_work_without_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycel_simnet.virtual.clock.MAX_MOMENTS", 100)
    clock = Clock()

    def again() -> None:
        clock.at(0.1, again)

    again()
    with pytest.raises(Endless):
        clock.settle(seconds=1e9)


# --- stories -----------------------------------------------------------------------------------------------------------------

PRINT = """
from mycel_simnet.virtual.story import Story
for seed in range(8):
    world = Story(seed).run()
    print(seed, world.clock.now, sorted((n.name, n.device.replica.document.digest().hex()) for n in world.nodes))
"""


def test_a_story_is_its_seed_whatever_the_order_of_hashes() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", PRINT],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hashes},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        for hashes in ("1", "2")
    }
    assert len(told) == 1


@pytest.mark.parametrize("rule", WRONG_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.timeout(300)
def test_wrong_rules_are_caught_within_a_thousand_stories(rule: Callable[[], AbstractContextManager[None]]) -> None:
    with rule():
        caught, error = next((seed, error) for seed in range(1000) if (error := failure(Story(seed))))
    assert error.kind not in ("crash", "loop", "endless"), "the rule is to be wrong, not broken"
    for seed in range(caught + 1):
        assert failure(Story(seed)) is None, f"with the right rule, seed {seed} ends well"


# --- telling -----------------------------------------------------------------------------------------------------------------


@contextmanager
def changes_of_counters_are_lost() -> Iterator[None]:
    with mock.patch.object(PNCounter, "count", return_value=None):
        yield


def test_what_goes_wrong_is_told_as_a_short_story_that_goes_wrong_again() -> None:
    with changes_of_counters_are_lost():
        told = next(told for seed in range(50) if (told := tell(seed)))
        error = failure(eval(repr(told.story), {"Story": Story}))
    assert error is not None
    assert error.kind == told.kind
    assert len(told.story.steps) < 5
    assert failure(told.story) is None


def test_the_command_says_in_one_line_how_it_went_and_what_went_wrong() -> None:
    well = CliRunner().invoke(virtual, ["--seed", "3", "--runs", "2"])
    assert well.exit_code == 0
    assert well.output.splitlines()[-1].startswith("2 stories, seeds 3 to 4: all ended well")
    with changes_of_counters_are_lost():
        ill = CliRunner().invoke(virtual, ["--seed", "3", "--runs", "2", "--json"])
    assert ill.exit_code == 1
    answer = json.loads(ill.output)
    assert (answer["seed"], answer["runs"]) == (3, 2)
    assert {"seed", "kind", "detail", "story"} == answer["failed"][0].keys()
    assert answer["failed"][0]["story"].startswith("Story(")
