"""Finding devices on the local network: DNS-based service discovery over multicast DNS (RFC 6763, RFC 6762).

Whatever a record says is a hint from anyone on the network; Noise proves the key later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import trio

from mycelnode.p2p._mdns import Engine, Found, dialable

MAX_WAITING = 256  # records waiting to be handed over; the oldest are dropped
STOP_SECONDS = 4.0  # for the thread to end

OFF: Final = ("off", "not looking for devices on the local network")


async def find_on_lan(peer: str, seconds: float) -> list[str]:
    """The multiaddrs of ``peer`` as it announces them on the local network, as soon as it was heard; [] after ``seconds``.

    Nothing is announced about ourselves. Never fails: a machine without multicast finds nobody.
    """
    answer: list[str] = []
    heard = trio.Event()

    def found(who: str, addrs: list[str]) -> None:
        if who == peer:
            answer[:] = addrs
            heard.set()

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LanDiscovery("", lambda: (), found).run)
            await heard.wait()
            nursery.cancel_scope.cancel()
    return answer


class LanDiscovery:
    """Announces ``peer`` at ``addresses()`` (multiaddrs; none: announce nothing) and looks for others.

    ``found(peer, multiaddrs)`` is called in the trio thread for every record heard of another peer, also when it repeats itself.
    """

    def __init__(self, peer: str, addresses: Callable[[], Sequence[str]], found: Found) -> None:
        self._peer, self._addresses, self._found = peer, addresses, found
        self._engine: Engine | None = None

    @property
    def state(self) -> tuple[str, str]:
        """("ok" | "off" | "failed", a sentence that says more)."""
        return OFF if self._engine is None else self._engine.state

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Announce and browse until cancelled; started once the first announcement is out or has failed.

        A failure is told by `state` and tried again; nothing is raised. At the end the network is told that we leave, which takes
        at most `STOP_SECONDS`.
        """
        heard: deque[tuple[str, list[str]]] = deque(maxlen=MAX_WAITING)
        settled = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def hand_over() -> None:
            while heard and not engine.stopping:
                self._found(*heard.popleft())

        def tell(peer: str, addrs: list[str]) -> None:
            heard.append((peer, addrs))
            token.run_sync_soon(hand_over, idempotent=True)

        engine = Engine(self._peer, self._own(), tell, lambda: token.run_sync_soon(settled.set))
        self._engine = engine
        try:
            async with trio.open_nursery() as nursery:
                thread = trio.CancelScope(shield=True)
                nursery.start_soon(_run_thread, engine, thread)
                try:
                    await settled.wait()
                    task_status.started()
                    await trio.sleep_forever()
                finally:
                    engine.stop()
                    thread.deadline = trio.current_time() + STOP_SECONDS
        finally:
            self._engine = None

    async def refresh(self) -> None:
        """Our addresses or interfaces have changed: announce anew and ask anew. Does not wait for answers."""
        if self._engine is not None:
            self._engine.renew(self._own())

    def _own(self) -> list[str]:
        return dialable(list(self._addresses()))


async def _run_thread(engine: Engine, scope: trio.CancelScope) -> None:
    """Run the engine in a thread until it was told to stop; past the deadline of ``scope`` it is left to its own end."""
    with scope:
        await trio.to_thread.run_sync(engine.run, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1))
