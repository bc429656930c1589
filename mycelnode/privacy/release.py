"""The release decision: of what was counted, which habits are released, and with which number. Pure, but for the randomness."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from mycelnode.privacy.accounting import Choice
from mycelnode.privacy.noise import Below, discrete_laplace


def decide(counts: Mapping[bytes, int], choice: Choice, below: Below = secrets.randbelow) -> dict[bytes, int]:
    """key → n = N + Z for each key with n > τ, where Z is drawn anew for each.

    ``counts``: on how many days each key counts, one at least. The draws are made in the order of the keys, whatever comes of them.
    """
    if any(type(days) is not int or days < 1 for days in counts.values()):
        raise ValueError("a habit that is decided on counts on one day at least")
    noisy = {key: counts[key] + discrete_laplace(choice.epsilon, below) for key in sorted(counts)}
    return {key: n for key, n in noisy.items() if n > choice.threshold}
