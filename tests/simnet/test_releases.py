"""The world of releases: its stories end well, it catches wrong rules, and what no rule can hold does break there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner

from mycel_simnet.virtual.command import releases
from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.releases import World
from mycel_simnet.virtual.releases_deciding import Device
from mycel_simnet.virtual.releases_disk import DAY_MS
from mycel_simnet.virtual.releases_steps import Player, Step
from mycel_simnet.virtual.releases_story import Story, failure
from mycel_simnet.virtual.shrink import tell
from mycelnode.protocols.release import Part
from tests.simnet.wrong_releases import WRONG_RELEASES

STORIES = 300
CAUGHT_WITHIN = 400  # stories

SEASON: Step = ("season", 1)
DECIDE: Step = ("decide", 7, 0.0, 0.0, False, 3_000)


def turns(seed: int) -> Step:
    return ("turns", seed, 8)


# --- stories -----------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_stories_end_well_and_much_happens_in_them() -> None:
    words: Counter[str] = Counter()
    windows = calm = 0
    for seed in range(STORIES):
        world = Story(seed).run()
        words += world.words
        windows += len(world.promises.windows)
        calm += Story(seed).calm
    assert calm > STORIES / 10
    assert windows > 2 * STORIES
    assert min(words["Give"], words["Keep"]) > STORIES
    for said in (
        "the window is not over by the clock there",
        "that window was spent before, or one after it",
        "it goes by another plan",
    ):
        assert words[said], f"in no story anybody said: {said}"


PRINT = """
from mycel_simnet.virtual.releases_story import Story
for seed in range(12):
    world = Story(seed).run()
    print(seed, world.now, sorted((w.id, sorted(t.items())) for w, t in world.promises.windows.items()), world.words)
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


@pytest.mark.timeout(180)
@pytest.mark.parametrize("rule", WRONG_RELEASES, ids=lambda rule: rule.__name__)
def test_wrong_rules_are_caught(rule: Callable[[], AbstractContextManager[None]]) -> None:
    with rule():
        found = next((error for seed in range(CAUGHT_WITHIN) if (error := failure(Story(seed)))), None)
    assert found is not None, "no story tells the wrong rule from the right one"
    assert found.kind not in ("crash", "endless"), "the rule is to be wrong, not broken"


# --- what a calm story promises ------------------------------------------------------------------------------------------------


def test_all_is_counted_once_where_nothing_goes_wrong() -> None:
    steps = [turns(1), SEASON, turns(2), turns(3), SEASON, DECIDE, turns(4), SEASON, DECIDE]
    world = Story(1, steps, devices=3, witness=True, calm=True).run()
    assert [window.id for window in world.promises.windows][:2] == ["2026-Q2", "2026-Q3"]
    assert len(world.promises.turns) > 10


def test_a_turn_that_is_not_counted_is_noticed() -> None:
    steps = [SEASON, turns(2), turns(3), SEASON, DECIDE]
    keep = Device.freeze

    story = Story(1, steps, devices=3, witness=True, calm=True)
    story.run()
    taken: set[int] = set()

    def forgetting(self: Device, done: object) -> None:
        gone = {number: turn for number, turn in self.disk.turns.items() if number < 5}
        self.disk.turns = {number: turn for number, turn in self.disk.turns.items() if number >= 5}
        keep(self, done)  # type: ignore[arg-type]
        taken.update(gone)
        self.disk.turns |= gone

    with mock.patch.object(Device, "freeze", forgetting), pytest.raises(Broken, match="not all counted"):
        story.run()
    assert taken


# --- what no rule can hold, and is kept out of the stories ----------------------------------------------------------------------

HURRY: Step = ("decide", 7, 0.0, 0.0, True, 3_000)
BEGUN: list[Step] = [turns(1), SEASON, DECIDE]
BY_PHRASE: list[Step] = [("phrase", 2, 0, 2, 3), SEASON, turns(2), ("season", 35), HURRY]

HOPELESS: dict[str, tuple[int, list[Step]]] = {
    "a releaser without a witness is copied": (1, [SEASON, turns(1), ("clone", 0), SEASON, DECIDE, DECIDE]),
    "a releaser without a witness is put back": (
        1,
        [SEASON, turns(1), ("image", 0), SEASON, DECIDE, ("put_back", 0), DECIDE],
    ),
    "the releaser and its witness are put back": (
        3,
        [SEASON, turns(1), ("image", 0), ("image", 1), SEASON, DECIDE, ("put_back", 0), ("put_back", 1), DECIDE],
    ),
    "both are put out, and the phrase names two others, and they do not hear of it": (
        4,
        [*BEGUN, ("sides", 2), ("revoke", 2, 0), ("revoke", 2, 1), *BY_PHRASE],
    ),
}


@pytest.mark.parametrize("what", HOPELESS)
def test_what_no_rule_can_hold_breaks_a_promise_and_is_in_no_story(what: str) -> None:
    devices, steps = HOPELESS[what]
    found = failure(Story(1, steps, devices=devices, witness=devices > 1, limits=False))
    assert found is not None
    assert found.kind in ("drawn twice", "drawn after it was lost")
    assert failure(Story(1, steps, devices=devices, witness=devices > 1)) is None


def test_two_others_by_the_phrase_wait_for_those_who_decided_before_until_they_are_put_out() -> None:
    world = Story(1, [*BEGUN, ("sides", 2), *BY_PHRASE], devices=4, witness=True, limits=False).run()
    decided = [window.id for window in world.promises.windows]
    assert decided[:2] == ["2026-Q2", "2026-Q3"]
    assert len(decided) == len(set(decided))


@pytest.mark.parametrize("copied", [0, 1])
def test_one_of_the_two_can_be_copied_or_put_back(copied: int) -> None:
    for how in ([("clone", copied)], [("image", copied), SEASON, DECIDE, ("put_back", 0)]):
        steps = [SEASON, turns(1), *how, SEASON, DECIDE, DECIDE, turns(2), SEASON, DECIDE]
        world = Story(1, steps, devices=3, witness=True, limits=False).run()
        assert len(world.promises.windows) > 1


# --- two pairs at the same time ---------------------------------------------------------------------------------------------


def overtaken(witness: int) -> list[str]:
    """An older window is undecided when the next ones have counted; then the old ones decide it, with a turn that is in both."""
    world = World(1, 5)
    player = Player(world)
    old, _, new, _, giver = world.devices
    player.play(SEASON)
    day = world.now // DAY_MS
    giver.take_in(1, 0, day)
    player.play(("hand", 0, 2, witness, 0.0))
    for one in world.devices:
        for other in world.devices:
            world.whole(one.meet(other))
    for step in (("away", 1), SEASON):  # without the witness nothing is decided
        player.play(step)
    new.take_in(1, 0, day)
    for step in (("away", 4), ("season", 35), ("back", 1)):
        player.play(step)
    deciding = new.decide(hurry=True)
    while not new.counted:
        next(deciding)
    player.play(("back", 4))
    world.whole(old.decide())
    player.play(("away", 4))
    world.whole(deciding)
    return [window.id for window in world.promises.windows]


@pytest.mark.parametrize("witness", [1, 3])
def test_an_older_window_that_others_decide_while_we_count_is_noticed_before_we_decide(witness: int) -> None:
    assert overtaken(witness) == ["2026-Q2"]
    seal = Part.sealed

    def unaware(self: Part, *arguments: Any) -> None:
        seal(self, *arguments)
        assert self._attempt is not None
        self._attempt.before = frozenset()

    with mock.patch.object(Part, "sealed", unaware), pytest.raises(Broken, match="turn counted twice"):
        overtaken(witness)


# --- clocks -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [1, 3])
def test_a_clock_that_was_ten_years_ahead_for_an_hour_spends_nothing(devices: int) -> None:
    ahead: list[Step] = [("skew", 0, 3_650), DECIDE, ("skew", 0, 0), DECIDE]
    again: list[Step] = [("skew", 0, 5_000), DECIDE, ("skew", 0, 0), DECIDE]
    steps = [SEASON, turns(1), *ahead, *again, turns(2), SEASON, DECIDE, turns(3), SEASON, DECIDE]
    world = Story(1, steps, devices=devices, witness=True).run()
    assert [window.id for window in world.promises.windows][:3] == ["2026-Q2", "2026-Q3", "2026-Q4"]


def test_a_witness_keeps_a_clock_that_was_a_year_ahead_for_months_from_spending_anything() -> None:
    months: list[Step] = [("skew", 0, 400), SEASON, DECIDE, turns(2), SEASON, DECIDE, ("skew", 0, 0)]
    steps = [SEASON, turns(1), *months, turns(3), SEASON, DECIDE, turns(4), SEASON, DECIDE]
    world = Story(1, steps, devices=3, witness=True).run()
    assert "2027-Q1" in [window.id for window in world.promises.windows]


# --- telling ----------------------------------------------------------------------------------------------------------------------


@contextmanager
def something_is_wrong() -> Iterator[None]:
    rule = next(rule for rule in WRONG_RELEASES if rule.__name__ == "what_is_spent_can_be_spent_again")
    with rule():
        yield


def test_what_goes_wrong_is_told_as_a_short_story_that_goes_wrong_again() -> None:
    with something_is_wrong():
        told = next(told for seed in range(50) if (told := tell(seed, Story)))
        error = failure(eval(repr(told.story), {"Story": Story}))
    assert error is not None
    assert error.kind == told.kind
    assert len(told.story.steps) < 8
    assert failure(Story(told.seed)) is None


def test_the_command_says_in_one_line_how_it_went_and_what_went_wrong() -> None:
    well = CliRunner().invoke(releases, ["--seed", "3", "--runs", "2"])
    assert well.exit_code == 0
    assert well.output.splitlines()[-1].startswith("2 stories, seeds 3 to 4: all ended well")
    with something_is_wrong():
        ill = CliRunner().invoke(releases, ["--seed", "1", "--runs", "4", "--json"])
    assert ill.exit_code == 1
    answer = json.loads(ill.output)
    assert (answer["seed"], answer["runs"]) == (1, 4)
    assert answer["failed"][0]["story"].startswith("Story(")
