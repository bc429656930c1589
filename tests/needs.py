"""What tests need of the machine: missing, it skips the test for a user, and fails it in CI, which must have everything."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

from mycel_simnet.namespaces import why_unavailable


def missing(reason: str) -> NoReturn:
    """The test cannot run here."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must have it: see install_programs in .ci/run")
    pytest.skip(reason)


def need_program(name: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    if path is None:
        missing(f"needs the program {name!r}")
    return path


def need_namespaces() -> None:
    """Network namespaces, and the programs to make them."""
    for name in ("ip", "nsenter", "unshare"):
        need_program(name)
    if reason := why_unavailable():
        missing(reason)
