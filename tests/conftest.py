"""What all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest


def require_program(name: str) -> str:
    """The path of a program; without it the test is skipped for a user, and fails in CI."""
    path = shutil.which(name)
    if path is not None:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"the program {name!r} is missing, and CI must have it: see install_programs in .ci/run")
    pytest.skip(f"needs the program {name!r}")


@pytest.fixture
def need_program() -> Callable[[str], str]:
    """``need_program("ip")``: the path of a program this test cannot do without."""
    return require_program
