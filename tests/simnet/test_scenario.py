"""Random stories: what they are made of, and one told by five real nodes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mycel_simnet.checker import BAG, Outcome
from mycel_simnet.cluster import open_cluster
from mycel_simnet.scenario import EDITS, FAULTS, Player, Step, generate, parse_steps

NAMES = ["laptop", "phone", "desk", "tablet", "server"]
SEED = 7
CONVERGE_SECONDS = 45.0


@pytest.mark.parametrize("seed", range(50))
def test_a_story_has_what_was_ordered_and_ends_in_peace(seed: int) -> None:
    steps = generate(seed, NAMES)
    found = Counter(step.verb for step in steps)
    assert sum(found[verb] for verb in set(EDITS)) == 200
    assert found["revoke"] == 1
    ends = Counter(step for step in steps if step.verb == "skew" and step.arguments[1] == "0")
    assert sum(found[verb] for verb in (*FAULTS, "revoke")) - ends.total() == 20
    assert all(found[verb] for verb in FAULTS)
    assert (found["partition"], found["kill"], found["freeze"]) == (found["heal"], found["start"], found["thaw"])


def test_a_story_depends_on_its_seed_alone_and_can_be_printed_and_read() -> None:
    steps = generate(SEED, NAMES)
    assert steps == generate(SEED, NAMES) != generate(SEED + 1, NAMES)
    assert parse_steps("\n".join(map(str, steps))) == steps
    assert parse_steps("put phone 3\n\n  heal \n") == [Step("put", ("phone", "3")), Step("heal")]


@pytest.mark.timeout(240)
async def test_five_nodes_two_hundred_writes_twenty_faults_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    steps = generate(SEED, NAMES)
    async with open_cluster(tmp_path, NAMES, seed=SEED) as cluster:
        await cluster.converged(CONVERGE_SECONDS)
        player = Player(cluster)
        await player.play(steps)
        found = await player.finish(CONVERGE_SECONDS)
    assert not found, f"{found[0]}\n(and {len(found) - 1} more; seed {SEED})"
    outcomes = Counter(write.outcome for write in player.record.writes)
    assert outcomes[Outcome.ACKNOWLEDGED] > 150, outcomes
    assert len(cluster.healthy) == 4


async def test_a_mesh_that_loses_a_write_is_caught(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, ["laptop"]) as cluster:
        player = Player(cluster)
        await player.play(parse_steps("add laptop\nput laptop 1\nkill laptop 30\nstart laptop\nadd laptop"))
        assert await player.finish(CONVERGE_SECONDS) == []
        lost = player.record.writes[0]
        await cluster.write("laptop", [["remove", BAG, lost.operations[1][2]]])  # behind the record's back
        (difference,) = await player.finish(CONVERGE_SECONDS)
        assert (difference.collection, difference.key, difference.found) == (BAG, "laptop/0", "nothing")


async def test_a_step_that_means_nothing_is_refused(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, ()) as cluster:
        with pytest.raises(ValueError, match="no such step: explode laptop"):
            await Player(cluster).play(parse_steps("explode laptop"))
