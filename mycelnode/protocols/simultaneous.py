"""Which connections with one peer stay, when there is more than one; both ends come to the same answer without a word.

Nobody dials a peer with which a connection stands: who does it has lost that, or both have dialled at the same moment. Of
simultaneous ones both ends keep those that the smaller peer dialled; of several dialled by one end, as when two of the peer's
addresses answered, that end alone chooses: it keeps the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

SIMULTANEOUS_SECONDS: Final = 2.0  # whose handshake began later after a connection stood: that one is dead
MOST: Final = 4  # that one peer may keep with us by dialling them


class Connected(Protocol):
    """What is to be known of a connection. Times are seconds of one monotonic clock."""

    @property
    def dialled_here(self) -> bool:
        """Was it us who connected?"""

    @property
    def since(self) -> float:
        """When it stood."""

    @property
    def began(self) -> float:
        """When its handshake did."""


C = TypeVar("C", bound=Connected)


def keep(live: Sequence[C], *, smaller: bool, within: float = SIMULTANEOUS_SECONDS, most: int = MOST) -> list[C]:
    """Those of ``live``, the newest last, that stay. ``smaller``: is our id smaller than the peer's?"""
    if not live:
        return []
    recent = [c for c in live if live[-1].began - c.since <= within]
    kept = [c for c in recent if c.dialled_here == smaller] or recent
    return kept[: 1 if kept[0].dialled_here else most]
