"""Whole meshes heal from whatever happens to them: a few hundred random stories here, as many as you like in `make soak`."""

from __future__ import annotations

import os

import pytest

from tests.protocols.story import Story, failure, shrink

RUNS = int(os.environ.get("MYCEL_SOAK_RUNS", "300"))
SEED = int(os.environ.get("MYCEL_SOAK_SEED", "1"))
FOUND = [  # stories that once went wrong, each for a reason of its own
]


def tell(seed: int) -> str:
    """What went wrong in a story, as short as it can be told; nothing if all is well."""
    story = Story(seed)
    error = failure(story)
    if error is None:
        return ""
    short = shrink(story, error.kind)
    return f"seed {seed}: {failure(short)}\n    {short}"


@pytest.mark.timeout(60 + RUNS)
def test_random_stories_end_well() -> None:
    wrong = [text for number in range(RUNS) if (text := tell(SEED * 1_000_000 + number))]
    assert not wrong, "\n".join(wrong)
