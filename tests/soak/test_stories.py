"""`make soak N=… SEED=…`: random stories of whole meshes, and of releases; what goes wrong is shown, made short."""

from __future__ import annotations

import os

import click
import pytest
from click.testing import CliRunner

from mycel_simnet.virtual.command import releases, virtual

RUNS = int(os.environ.get("MYCEL_SOAK_RUNS", "400"))
RELEASES = max(RUNS, 2_000)  # however few are asked for: 150 to 230 s
SEED = int(os.environ.get("MYCEL_SOAK_SEED", "1"))


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        pytest.param(virtual, RUNS, id="virtual", marks=pytest.mark.timeout(60 + RUNS)),
        pytest.param(releases, RELEASES, id="releases", marks=pytest.mark.timeout(60 + RELEASES)),
    ],
)
def test_random_stories_end_well(command: click.Command, runs: int, capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(command, ["--seed", str(SEED * 1_000_000), "--runs", str(runs)])
    with capsys.disabled():
        print(f"\n{command.name}: {done.output.splitlines()[-1] if done.output else done.exception}")
    assert done.exit_code == 0, done.output
