"""What others computed for the same purpose agrees: Google's partition selection, through PyDP. `make soak` asks two more."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from mycelnode.privacy.accounting import CHOICES
from tests import needs
from tests.privacy.table import TABLE, Line


@pytest.mark.parametrize("name", CHOICES)
def test_no_decision_keeps_more_than_the_best_there_is(name: str) -> None:
    """Its truncated geometric mechanism is the optimum for an ε and a δ (Desfontaines et al., 2020): 16 days where we want 17."""
    needs.need_pydp()
    from pydp.algorithms import partition_selection as theirs

    choice = CHOICES[name]
    epsilon, delta = float(choice.epsilon), float(choice.delta)
    best = theirs.create_truncated_geometric_partition_strategy(epsilon, delta, 1)
    assert best.probability_of_keep(1) == pytest.approx(delta, rel=1e-9)
    for days in range(1, 60):
        assert choice.probability(days) <= Decimal(best.probability_of_keep(days)) + Decimal("1e-12"), days
    least = next(days for days in range(1, 60) if best.probability_of_keep(days) >= 0.95)
    assert least <= choice.support <= least + 3
    if name == "standard":
        assert (least, choice.support) == (16, 17)


@pytest.mark.parametrize("line", TABLE, ids=lambda line: str(line.choice.epsilon))
def test_the_best_there_is_has_the_figures_of_an_independent_table(line: Line) -> None:
    """And is the optimum of Desfontaines et al., by its own recursion: so both are asked about the same thing."""
    needs.need_pydp()
    from pydp.algorithms import partition_selection as theirs

    epsilon, delta = float(line.choice.epsilon), float(line.choice.delta)
    best = theirs.create_truncated_geometric_partition_strategy(epsilon, delta, 1)
    kept = 0.0
    for days in range(1, 60):
        kept = min(math.exp(epsilon) * kept + delta, 1 - math.exp(-epsilon) * (1 - kept - delta), 1)
        assert best.probability_of_keep(days) == pytest.approx(kept, rel=1e-13), days
    assert next(days for days in range(1, 60) if best.probability_of_keep(days) >= 0.95) == line.best
