"""`make soak N=… SEED=…`: random stories of whole meshes in memory; what goes wrong is shown with its seed, and made short."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from mycel_simnet.virtual.command import virtual

RUNS = int(os.environ.get("MYCEL_SOAK_RUNS", "400"))
SEED = int(os.environ.get("MYCEL_SOAK_SEED", "1"))


@pytest.mark.timeout(60 + RUNS)
def test_random_stories_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(virtual, ["--seed", str(SEED * 1_000_000), "--runs", str(RUNS)])
    with capsys.disabled():
        print(f"\n{done.output.splitlines()[-1] if done.output else done.exception}")
    assert done.exit_code == 0, done.output
