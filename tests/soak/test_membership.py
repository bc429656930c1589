"""`make soak N=… SEED=…`: membership over many random meshes; each is shown by its number, and made again from seed and number."""

from __future__ import annotations

import pytest

from mycelnode.crdt.membership import membership
from tests.crdt.mesh_model import WRONG_RULES, Rule
from tests.crdt.test_membership import SOAK_RUNS, SOAK_SEED, soak

pytestmark = pytest.mark.timeout(60 + SOAK_RUNS // 20)


def test_healthy_devices_agree() -> None:
    assert soak(membership, SOAK_RUNS, SOAK_SEED) == []


@pytest.mark.parametrize("rule", WRONG_RULES, ids=lambda rule: rule.__name__)
def test_wrong_rules_are_caught(rule: Rule) -> None:
    assert soak(rule, max(SOAK_RUNS, 150), SOAK_SEED)
