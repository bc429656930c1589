"""One started device on the network: who it talks to, whom it looks for, whom it lets in.

What is decided here is what `mycelnode.p2p` decides outside the machines: that a newer session replaces an older one
(`sync_driver.py`), and when members are looked up anew (`node.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from mycel_simnet.virtual.device import Device
from mycel_simnet.virtual.network import Cut, Ear, Line, Network
from mycel_simnet.virtual.talk import Talk
from mycelnode.crdt.changelog import DeviceId
from mycelnode.protocols import tending
from mycelnode.protocols.folding import Progress
from mycelnode.protocols.reconnect import Reconnect
from mycelnode.protocols.simultaneous import keep


class Node:
    """``at(key)`` says where devices with that key listen, ``name_of`` what people call it."""

    def __init__(
        self,
        device: Device,
        network: Network,
        rng: random.Random,
        at: Callable[[DeviceId], list[Node]],
        name_of: Callable[[DeviceId], str],
    ) -> None:
        self.device, self.network, self.rng = device, network, rng
        self.name, self.clock = device.name, device.clock
        self.links: dict[DeviceId, Talk] = {}
        self.talks: list[Talk] = []
        self.pairing: Callable[[Line, Any], Ear | None] = lambda line, dialler: None
        self._at, self.name_of = at, name_of
        self._trying: set[DeviceId] = set()

    @property
    def lives(self) -> bool:
        """Is it running?"""
        return self.device.up

    @property
    def reachable(self) -> bool:
        """Does it listen?"""
        return self.device.up

    def boot(self) -> None:
        """Start, from disk."""
        self.links, self.talks, self._trying = {}, [], set()
        self._met = self._tending = False
        self.device.crashed = self._died
        self.device.boot()
        self.device.listeners.append(self._on_progress)
        self.reconnect = Reconnect(self.rng.random)
        self._look_again()

    def _died(self, power: bool) -> None:
        """With the machine nobody is told; a killed process' connections are reset by the system."""
        for talk in list(self.talks):
            if power:
                talk.line.cut("lost")
                talk.end_it("power cut")
            else:
                talk.line.cut("reset")

    # --- connections ---------------------------------------------------------------------------------------------------------

    def accept(self, line: Line, dialler: Any) -> Ear | None:
        """Somebody connects: a device, or one that wants to become one."""
        if not isinstance(dialler, Node):
            return self.pairing(line, dialler)
        if dialler.device.id == self.device.id:
            return None
        return self._enter(Talk(self, line, 1, dialler.device.id))

    def connect(
        self,
        place: Node,
        tried: Callable[[str | None], None] = lambda why: None,
        *,
        budget: int | None = None,
        cut: Cut = "reset",
        odd: bool = False,
    ) -> None:
        """Dial, and begin a session. ``tried`` hears None when that has begun, or why not."""
        peer, life = place.device.id, self.device.lives

        def connected(line: Line) -> Ear:
            if not self.device.up or self.device.lives != life:
                return _Nobody()
            talk = Talk(self, line, 0, peer, tried)
            self.clock.at(0.0, talk.greet)
            return self._enter(talk)

        self.network.dial(self, place, connected, lambda: tried("no answer"), budget=budget, cut=cut, odd=odd)

    def _enter(self, talk: Talk) -> Talk:
        """As `Guard.enter`."""
        self.talks.append(talk)
        live = [t for t in self.talks if t.peer == talk.peer and not t.ended]
        kept = keep(live, smaller=self.device.id < talk.peer)
        for loser in live:
            if loser not in kept:
                self.clock.at(0.0, lambda loser=loser: loser.end_it("another connection is kept"))  # type: ignore[misc]
        return talk

    def session_began(self, talk: Talk) -> None:
        """A newer session replaces an older one."""
        old = self.links.get(talk.peer)
        self.links[talk.peer] = talk
        if old is not None:
            old.end_it("replaced")
        self.reconnect.connected(talk.peer.hex(), self.clock.now)

    def talk_over(self, talk: Talk) -> None:
        """A connection is over."""
        if talk in self.talks:
            self.talks.remove(talk)
        if self.links.get(talk.peer) is talk:
            del self.links[talk.peer]
            self.reconnect.disconnected(talk.peer.hex(), self.clock.now)
            self._plan()

    # --- upkeep --------------------------------------------------------------------------------------------------------------

    def shown(self) -> None:
        """A peer may have shown how much it holds of our log."""
        if not self._met and self.device.replica.own_log_shown:
            self._met = True
            self.tend()

    def tend(self, least: int | None = None) -> None:
        """As `mycelnode.p2p.upkeep`: its part in snapshots."""
        replica, device = self.device.replica, self.device
        if not device.up or self._tending:
            return
        if least is None and not tending.needed(replica):
            return
        self._tending, life = True, device.lives

        def begin() -> None:
            if device.up and device.lives == life:
                device.tend(over, least=least)

        def over() -> None:
            self._tending = False

        self.clock.at(0.01, begin)

    # --- finding each other ------------------------------------------------------------------------------------------------------

    def _on_progress(self, progress: Progress) -> None:
        for talk in list(self.talks):
            talk.moved(progress)
        self.tend()
        if (progress.refolded or progress.membership_changed) and self.device.up:
            self._look_again()

    def _look_again(self) -> None:
        """As `Finder.look_again`: only members are looked for, and only by a member."""
        members = self.device.replica.membership.members
        others = members - {self.device.id} if self.device.id in members else ()
        self.reconnect.members({peer.hex(): [f"/virtual/{peer.hex()}"] for peer in sorted(others)}, {}, self.clock.now)
        self._plan()

    def network_changed(self) -> None:
        """There may be somebody now."""
        if self.device.up:
            self.reconnect.network_changed(self.clock.now)
            self._plan(work=True)

    def _plan(self, *, work: bool = False) -> None:
        if not self.network.free or not self.device.up:
            return
        delay, life = self.reconnect.next_due(self.clock.now) - self.clock.now, self.device.lives
        if delay < 1e6:
            self.clock.at(delay, lambda: self._look(life), work=work or delay < 0.1)

    def _look(self, life: int) -> None:
        if not self.network.free or not self.device.up or self.device.lives != life:
            return
        for attempt in self.reconnect.due(self.clock.now):
            self._attempt(bytes.fromhex(attempt.peer))
        self._plan()

    def _attempt(self, peer: DeviceId) -> None:
        """As `Finder._attempt`."""
        places = [place for place in self._at(peer) if self.network.sees(self, place)]
        if peer in self._trying:
            return
        if any(talk.peer == peer for talk in self.talks):  # it has dialled us; if nothing comes of that, we look again
            self.clock.at(1.0, lambda: self._failed(peer, "no answer"), work=False)
            return
        if not places:
            self._failed(peer, "no answer")
            return
        self._trying.add(peer)

        def tried(why: str | None) -> None:
            self._trying.discard(peer)
            if why is not None:
                self._failed(peer, why)

        self.connect(self.rng.choice(places), tried)

    def _failed(self, peer: DeviceId, why: str) -> None:
        if self.device.up:
            self.reconnect.failed(peer.hex(), {f"/virtual/{peer.hex()}": why}, self.clock.now)
            self._plan()


class _Nobody:
    """The dialler died while it dialled."""

    ended = True

    def heard(self, kind: str, payload: bytes) -> None:
        """Nobody listens."""

    def over(self) -> None:
        """Nobody cares."""
