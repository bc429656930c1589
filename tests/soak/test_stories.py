"""`make soak N=… SEED=…`: random stories of whole meshes, and of releases; what goes wrong is shown, made short."""

from __future__ import annotations

import os

import click
import pytest
from click.testing import CliRunner

from mycel_simnet.virtual.command import releases, virtual

RUNS = int(os.environ.get("MYCEL_SOAK_RUNS", "400"))
SEED = int(os.environ.get("MYCEL_SOAK_SEED", "1"))


@pytest.mark.timeout(60 + RUNS)
@pytest.mark.parametrize("command", [virtual, releases], ids=lambda command: str(command.name))
def test_random_stories_end_well(command: click.Command, capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(command, ["--seed", str(SEED * 1_000_000), "--runs", str(RUNS)])
    with capsys.disabled():
        print(f"\n{command.name}: {done.output.splitlines()[-1] if done.output else done.exception}")
    assert done.exit_code == 0, done.output
