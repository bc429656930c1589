"""`make soak N=… SEED=…`: random stories of whole meshes in memory; what goes wrong is shown with its seed, and made short."""

from __future__ import annotations

import os

import pytest

from tests.protocols.story import tell

RUNS = int(os.environ.get("MYCEL_SOAK_RUNS", "400"))
SEED = int(os.environ.get("MYCEL_SOAK_SEED", "1"))


@pytest.mark.timeout(60 + RUNS)
def test_random_stories_end_well() -> None:
    wrong = [text for number in range(RUNS) if (text := tell(SEED * 1_000_000 + number))]
    assert not wrong, "\n".join(wrong)
