"""A device without a network, for tests of what is private on it."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import trio

from mycelnode import clock, joining
from mycelnode.paths import DataDir


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a first device, to be copied."""
    data = DataDir(tmp_path_factory.mktemp("begun") / "data")
    trio.run(partial(joining.init_mesh, data, "fox", clock=clock.system()))
    return data.path


@pytest.fixture
def device(begun: Path, tmp_path: Path) -> DataDir:
    """The folder of a first device, whose key for turns is kept in a file."""
    shutil.copytree(begun, tmp_path / "data")
    (tmp_path / "data" / "config.toml").write_text('[privacy]\nturns_key = "file"\n')
    return DataDir(tmp_path / "data")
