"""How a call counts its gas: what it burns itself, and what it gives to its promises (nearcore's `gas_counter.rs`)."""

from __future__ import annotations

from collections import Counter

from mycel_simnet.near.errors import HostError
from mycel_simnet.near.tables import HOST

MAX = (1 << 64) - 1


class GasCounter:
    """``burnt`` and ``used`` never pass what was prepaid, nor what one call may burn.

    ``profile`` says what the gas was burnt for: names of host costs as in the network's tables, and ``action:`` names.
    """

    def __init__(self, prepaid: int, max_burnt: int, is_view: bool = False) -> None:
        self.prepaid = max_burnt if is_view else prepaid
        self.max_burnt, self.is_view = max_burnt, is_view
        self.burnt = self.promised = 0
        self.limit = min(max_burnt, self.prepaid)
        self.profile: Counter[str] = Counter()

    @property
    def used(self) -> int:
        """Burnt, or given away."""
        return self.burnt + self.promised

    @property
    def remaining(self) -> int:
        """What is left to burn."""
        return max(self.limit - self.burnt, 0)

    def burn(self, gas: int) -> None:
        """Burn ``gas``; `HostError` when there is not so much, and then all is burnt that there is."""
        burnt = self.burnt + gas
        if burnt > self.limit:
            self._exhaust(burnt, burnt + self.promised)
        self.burnt = burnt

    def pay(self, cost: str, count: int | None = None) -> None:
        """Burn the host cost of this name, once, or for ``count`` bytes or items."""
        before = self.burnt
        try:
            self.burn(HOST[cost] * (1 if count is None else count))
        finally:
            self.profile[cost] += self.burnt - before

    def pay_action(self, name: str, send: int, execution: int) -> None:
        """Burn what it takes to send an action, and give away what it will take to carry it out."""
        before = self.burnt
        try:
            self._deduct(send, send + execution)
        finally:
            self.profile[f"action:{name}"] += self.burnt - before

    def give(self, gas: int) -> None:
        """Give gas to a call of a promise."""
        self._deduct(0, gas)

    def _deduct(self, burn: int, use: int) -> None:
        promised = self.promised + use - burn
        burnt = self.burnt + burn
        if burnt + promised > MAX:
            raise HostError("IntegerOverflow")
        if burnt > self.max_burnt or burnt + promised > self.prepaid:
            self._exhaust(burnt, burnt + promised)
        if not self.is_view:
            self.limit = min(self.max_burnt, self.prepaid - promised)
        self.burnt, self.promised = burnt, promised

    def _exhaust(self, burnt: int, used: int) -> None:
        self.burnt = min(burnt, self.prepaid, self.max_burnt)
        self.promised = max(min(self.prepaid, used) - self.burnt, 0)
        raise HostError("GasLimitExceeded" if burnt > self.max_burnt else "GasExceeded")
