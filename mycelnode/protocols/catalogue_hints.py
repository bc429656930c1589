"""Whose hints are worth following: what peers claimed to exist, and whether it did.

A digest that a session has found is a claim until its manifest was fetched and verified. An honest peer's claims may fail as well,
when what it held is gone; a liar's nearly always do, and cost a fetch each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FREE_FAILURES: Final = 16  # of a peer, before it must have had something that was there
FAILURES_EACH: Final = 0.25  # beyond, for each claim of it that held
SHUNNED_SECONDS: Final = 3600.0
MAX_PEERS: Final = 1024  # of whom it is remembered; beyond, who was heard of first is forgotten


@dataclass(slots=True)
class _Record:
    held: int = 0
    failed: int = 0
    until: float = 0.0  # shunned


class HintBook:
    """The record of each peer, by its peer id. ``now`` is seconds of a clock that never jumps."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def hint_held(self, peer: str) -> None:
        """A manifest was there, and is what its digest says."""
        self._record(peer).held += 1

    def hint_failed(self, peer: str, now: float) -> bool:
        """Nobody had it, or it was nothing. False if the peer is shunned from now on: what else it claimed is to be dropped."""
        record = self._record(peer)
        record.failed += 1
        if record.failed <= FREE_FAILURES + FAILURES_EACH * record.held:
            return True
        self.shun(peer, now)
        return False

    def shun(self, peer: str, now: float) -> None:
        """It has broken the protocol, or too many of its claims failed: nothing is asked of it for a while."""
        record = self._record(peer)
        record.held, record.failed, record.until = 0, 0, now + SHUNNED_SECONDS

    def shuns(self, peer: str, now: float) -> bool:
        """Is nothing to be asked of it now?"""
        record = self._records.get(peer)
        return record is not None and now < record.until

    def __len__(self) -> int:
        return len(self._records)

    def _record(self, peer: str) -> _Record:
        if peer not in self._records and len(self._records) >= MAX_PEERS:
            del self._records[next(iter(self._records))]
        return self._records.setdefault(peer, _Record())
