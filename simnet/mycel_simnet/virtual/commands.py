"""Running the product's own commands, which are coroutines that commit, on a virtual device."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any

from mycel_simnet.virtual.device import Device
from mycelnode.errors import MycelError
from mycelnode.protocols.replica import Replica


class Waiting:
    """Awaited by a coroutine of the product that commits; see `drive`."""

    def __init__(self, begin: Callable[[Callable[[Any], None], Callable[[MycelError], None]], None]) -> None:
        self.begin = begin

    def __await__(self) -> Generator[Waiting, Any, Any]:
        return (yield self)


class MeshOf:
    """What the product's own commands need of a `mycelnode.mesh.Mesh`, on a virtual device."""

    def __init__(self, device: Device) -> None:
        self.device, self.clock = device, device.clock

    @property
    def replica(self) -> Replica:
        """The machine."""
        return self.device.replica

    def now(self) -> int:
        """The wall clock, in Unix ms."""
        return self.device.now

    async def commit(self, propose: Callable[[Replica], Any], store: object = None, *, size: int = 1024) -> Any:
        """As `Mesh.commit`; what else would be stored (the audit's notes) is left out."""
        return await Waiting(lambda done, failed: self.device.commit(propose, size=size, done=done, failed=failed))


def drive(coroutine: Coroutine[Waiting, Any, Any], answer: Any = None, error: MycelError | None = None) -> None:
    """Run a coroutine that waits for commits only. What the product refuses ends it."""
    try:
        waiting = coroutine.send(answer) if error is None else coroutine.throw(error)
    except (StopIteration, MycelError):
        return
    waiting.begin(lambda result: drive(coroutine, result), lambda failure: drive(coroutine, None, failure))
