"""Releases on a running node: other devices are answered and met, our own part is taken when a window ends, and, if the person
wants that, windows are decided on a schedule. What leaves the devices is confirmed by a person all the same."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Final

import trio

from mycelnode.background import open_background
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import key_of_peer
from mycelnode.errors import BudgetBroken, MycelError
from mycelnode.mesh import Mesh
from mycelnode.p2p.host import Host
from mycelnode.p2p.release_driver import ReleaseDriver, open_release_driver
from mycelnode.protocols.release_window import Window
from mycelnode.releasing.deciding import Decider
from mycelnode.releasing.releases import open_releases
from mycelnode.turns import Turns

LOOK_SECONDS: Final = 60.0  # between two looks at whether a window has ended, or something is due
AGAIN_SECONDS: Final = 3_600.0  # before a window that waits for somebody is tried again by itself
SCHEDULE: Final = "privacy.schedule"

_log = logging.getLogger(__name__)


class Releasing:
    """The releases of one node. ``problem``: why there are none; empty if there are."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.problem = ""
        self._decider: Decider | None = None
        self._driver: ReleaseDriver | None = None
        self._met: set[str] = set()  # with whom there is nothing to compare since the line came up
        self._linked: set[str] = set()
        self._untold: set[str] = set()  # who may not have the newest records
        self._agreed: set[tuple[DeviceId, Window]] = (
            set()
        )  # of which windows' terms we have heard since the line came up
        self._changed = trio.Event()
        self._tried = -inf
        self.publish_due: Callable[[], Awaitable[object]] | None = None  # what is confirmed, and due

    async def decider(self) -> Decider:
        """What decides here. Raises `BudgetBroken`."""
        if self._decider is None:
            raise BudgetBroken(self.problem)
        return self._decider

    def link_changed(self, peer: str, connected: bool) -> None:
        """A device came or went."""
        (self._linked.add if connected else self._linked.discard)(peer)
        for these in (self._met, self._untold):
            these.discard(peer)
        self._agreed = {one for one in self._agreed if one[0] != key_of_peer(peer)}
        self._changed.set()

    def _kept(self) -> None:
        """There are new records: whoever is linked is to have them."""
        self._untold |= self._linked
        self._met.clear()
        self._changed.set()

    async def hear(self, peer: str) -> None:
        """Have the same records as a device that is linked; whatever keeps that from being is no error."""
        if self._driver is not None:
            await self._driver.meet(key_of_peer(peer))

    async def run(self) -> None:
        """For as long as the node runs."""
        while True:
            self._changed = trio.Event()
            for step in (self._meet, self._agree, self._publish, self._take, self._decide):
                try:
                    await step()
                except MycelError as error:  # such as a passphrase that nobody has given yet: it holds up nothing else
                    _log.debug("releases: %s", error)
            with trio.move_on_after(LOOK_SECONDS):
                await self._changed.wait()

    async def _meet(self) -> None:
        """Have the same records and marks as the devices that came."""
        decider, driver = self._decider, self._driver
        if decider is None or driver is None:
            return
        await decider.releases.refresh()
        for peer in sorted(self._linked - self._met):
            # one of two devices asks, the other answers; but for who has something new
            if (self._mesh.device < peer or peer in self._untold) and await driver.meet(key_of_peer(peer)):
                self._met.add(peer)
                self._untold.discard(peer)

    async def _agree(self) -> None:
        """Hear from the device that decides a window by which dictionary it is read."""
        decider, driver = self._decider, self._driver
        if decider is None or driver is None:
            return
        for device in map(key_of_peer, sorted(self._linked)):
            for window in decider.releases.part.untaken(device, decider.releases.now()):
                if (device, window) not in self._agreed and await driver.agree(device, window):
                    self._agreed.add((device, window))

    async def _publish(self) -> None:
        """Make public what is confirmed and due: no turn is read for that."""
        if self._decider is not None and self.publish_due is not None:
            await self.publish_due()

    async def _take(self) -> None:
        """Take our own part of a window that ended, and see to it that there is a witness."""
        if self._decider is not None and not self._decider.releases.clock_doubted():
            await self._decider.tend()
            await self._decider.releases.take_own()

    async def _decide(self) -> None:
        """Decide, if that is to be done by itself."""
        if self._decider is None:
            return
        releases = self._decider.releases
        wanted = self._mesh.settings.get(SCHEDULE) and releases.part.due(releases.now()) is not None
        if wanted and trio.current_time() >= self._tried + AGAIN_SECONDS:
            self._tried = trio.current_time()
            await self._decider.decide()


@asynccontextmanager
async def open_releasing(mesh: Mesh, turns: Turns, host: Host) -> AsyncIterator[Releasing]:
    """Answer and meet the other devices for as long as the block lasts."""
    releasing = Releasing(mesh)
    try:
        releases = await open_releases(mesh, turns)
    except BudgetBroken as error:
        releasing.problem = str(error)
        _log.error("releases: %s", error)
        yield releasing
        return
    async with open_release_driver(releases, host) as driver, open_background() as nursery:
        releasing._decider, releasing._driver = Decider(releases, driver), driver
        releases.on_kept = releasing._kept
        nursery.start_soon(releasing.run)
        yield releasing
