"""The accounts that this device has made or taken in, and the one that is about to pay: known before money is on its way to it.

Settings say who publishes and who pays now; whoever did before may still have money, and be paid. A crash at any moment leaves no
account with money that nobody remembers: first the key is on the disk, then the account is kept here, then what it is given is
wanted, and only then a setting names it. What broke off in between goes on with the next start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from mycelnode.chain.journal import Journal
from mycelnode.config_keys import on
from mycelnode.mesh import Mesh
from mycelnode.protocols.payment_journal import State

FACT: Final = "near.accounts."  # with the name of the network
MAX_KNOWN: Final = 1_000  # accounts; the oldest ones go first
ON_ITS_WAY: Final = (State.WAITING, State.SIGNED, State.DONE, State.UNKNOWN)
SETTINGS: Final = ("near.account", "near.spender")


@dataclass(frozen=True, slots=True)
class _Kept:
    """``coming``: who is about to pay, in the place of ``before``; empty: nobody."""

    coming: str = ""
    before: str = ""
    known: tuple[str, ...] = ()


class Accounts:
    """Those of one network."""

    def __init__(self, mesh: Mesh, journal: Journal, network: str) -> None:
        self._mesh, self._journal, self._network = mesh, journal, network
        self._spender = on(network, "near.spender")

    @property
    def known(self) -> tuple[str, ...]:
        """All of them, the oldest first."""
        return self._kept.known

    @property
    def former(self) -> tuple[str, ...]:
        """Those that no setting names any more."""
        now = {self._mesh.settings.get(on(self._network, key)) for key in SETTINGS}
        return tuple(account for account in self.known if account not in now)

    @property
    def coming(self) -> str:
        """Who is about to pay, and has been given nothing yet, as far as the journal knows."""
        return self._kept.coming

    async def remember(self, *accounts: str) -> None:
        """Keep accounts; the empty name is none."""
        kept = self._kept
        await self._keep(replace(kept, known=(*kept.known, *(name for name in accounts if name))))

    async def expect(self, account: str) -> None:
        """From `arrive` on it pays; with the next start, if what it is given is wanted by then."""
        before, kept = str(self._mesh.settings.get(self._spender)), self._kept
        known = (*kept.known, *(name for name in (before, account) if name))
        await self._keep(_Kept(account, before, known))

    async def arrive(self) -> None:
        """Who is coming pays from now on."""
        if coming := self._kept.coming:
            self._mesh.settings.set_local(self._spender, coming)
            await self._keep(replace(self._kept, coming="", before=""))

    async def go_back(self, before: str) -> None:
        """Who has just arrived was given nothing in the end: ``before`` pays as before, and that one is the next to come."""
        settings = self._mesh.settings
        failed = str(settings.get(self._spender))
        if before:
            settings.set_local(self._spender, before)
        else:
            settings.unset_local(self._spender)
        await self.expect(failed)

    async def go_on(self) -> None:
        """After a crash: who is coming pays from now on, if money is on its way there, and nobody has said otherwise since."""
        kept = self._kept
        if not kept.coming or not self.is_given(kept.coming):
            return
        if self._mesh.settings.get(self._spender) in (kept.before, kept.coming):
            await self.arrive()
        else:
            await self._keep(replace(kept, coming="", before=""))

    def is_given(self, account: str) -> bool:
        """Is money on its way to an account, or there already?"""
        return any(line.entry.intent.receiver == account for line in self._journal.calls("", ON_ITS_WAY))

    @property
    def _kept(self) -> _Kept:
        found: list[Any] = self._mesh.fact(FACT + self._network, ["", ""])
        coming, before, *known = (str(name) for name in found)
        return _Kept(coming, before, tuple(known))

    async def _keep(self, kept: _Kept) -> None:
        known = tuple(dict.fromkeys(reversed(kept.known)))[:MAX_KNOWN][::-1]
        await self._mesh.keep_fact(FACT + self._network, [kept.coming, kept.before, *known])
