"""`make soak N=… SEED=…`: inputs as large as each decoder takes them, up to 1 MiB: a round of shapes for each 5,000 of N."""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz.guard import Target, traced
from tests.fuzz.sizes import enlarged
from tests.fuzz.targets import DECODERS

RUNS = int(os.environ.get("MYCEL_SOAK_RUNS", "400"))
SEED = int(os.environ.get("MYCEL_SOAK_SEED", "1"))
ROUNDS = -(-RUNS // 5000)
WATCHED = 3  # inputs of a round whose memory is traced, which takes long


@pytest.mark.timeout(600 * ROUNDS)
@pytest.mark.parametrize("target", DECODERS, ids=str)
def test_no_input_of_the_largest_size_breaks_a_promise(target: Target) -> None:
    seeds, unhurried = list(target.seeds()), target.unhurried()
    for number in range(ROUNDS):
        rng = random.Random(f"{target} {SEED} {number}")
        made = [data for _, data in enlarged(seeds, target.largest, rng)]
        for data in made:
            target.feed(data)
        with traced():
            for data in rng.sample(made, WATCHED):
                unhurried.feed_within_memory(data)
