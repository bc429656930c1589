"""What tests need of the machine: missing, it skips the test for a user, and fails it in CI, which must have everything."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

from mycel_simnet.namespaces import why_unavailable
from mycelnode.adapters import minilm


def missing(reason: str) -> NoReturn:
    """The test cannot run here."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must have it: see .ci/run")
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


def need_pydp() -> None:
    """PyDP, which computes what we do by other means."""
    if find_spec("pydp") is None:
        missing("needs PyDP (pip install --no-deps -r tests/oracles.txt)")


def need_minilm(patch: pytest.MonkeyPatch) -> Path:
    """The folder of the model's files, where the product finds it for as long as ``patch`` holds.

    CI has it beside the packages, not among them: so all other tests, and the nodes that they start, do what they do for a user.
    """
    beside = Path(sys.prefix) / "minilm"
    if beside.is_dir():
        patch.syspath_prepend(beside)
    folder = minilm.find()
    if folder is None:
        missing(f"needs MiniLM ({minilm.INSTALL})")
    return folder
