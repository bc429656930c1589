"""`make soak N=… SEED=…`: every decoder under coverage-guided fuzzing, in a process of its own; N inputs, for a machine a tenth."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.__main__ import run
from tests.fuzz.bitswap import BITSWAP_MACHINES
from tests.fuzz.targets import DECODERS, MACHINES

RUNS = int(os.environ.get("MYCEL_SOAK_RUNS", "400"))
SEED = int(os.environ.get("MYCEL_SOAK_SEED", "1"))

pytestmark = pytest.mark.timeout(120 + RUNS // 10)


@pytest.mark.parametrize("name", [target.name for target in DECODERS])
def test_no_decoder_breaks_a_promise(name: str) -> None:
    found = run(name, RUNS, SEED)
    assert "error" not in found, found["error"]
    assert found["inputs"] == RUNS


@pytest.mark.parametrize("name", [target.name for target in (*MACHINES, *BITSWAP_MACHINES)])
def test_no_machine_breaks_a_promise(name: str) -> None:
    found = run(name, -(-RUNS // 10), SEED)
    assert "error" not in found, found["error"]
