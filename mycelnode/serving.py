"""What the control socket can ask of a running node, besides what needs no network; and the services of other packages."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from mycelnode.collective.commands import PatternCommands
from mycelnode.collective.consent_commands import ConsentCommands
from mycelnode.commands import Handler, MeshCommands, Request, rfc3339
from mycelnode.encoding import peer_id
from mycelnode.errors import ControlError, InviteError
from mycelnode.extensions import SERVICES, found
from mycelnode.market.commands import ChainCommands
from mycelnode.ports import Service
from mycelnode.protocols.pairing import Invite
from mycelnode.release_commands import ReleaseCommands
from mycelnode.releasing import dictionary
from mycelnode.streaming import with_progress
from mycelnode.turn_commands import TurnCommands

if TYPE_CHECKING:
    from mycelnode.node import Node

DEFAULT_INVITE_SECONDS = 600.0
MAX_INVITE_SECONDS = 7 * 24 * 3600.0
DEFAULT_SYNC_SECONDS = 30.0
MAX_SECONDS = MAX_INVITE_SECONDS  # that a request may name
_log = logging.getLogger(__name__)


class NodeCommands:
    """The requests of one node: ``commands`` have one answer, ``streams`` several."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.commands: dict[str, Handler] = {
            **MeshCommands(node.mesh).table(),
            "status": self._status,
            "invite": self._invite,
            "invite.withdraw": self._withdraw,
            "sync": self._sync,
            "stop": self._stop,
        }
        streams: dict[str, Callable[[Request], AsyncIterator[dict[str, Any]]]] = {"invite.wait": self._invite_and_wait}
        patterns = PatternCommands(lambda: node.patterns, partial(dictionary.owner, node.mesh))
        for kind in ("config.set", "config.unset"):
            self.commands[kind] = self._with_chain(self.commands[kind])
        turns, releases = (
            TurnCommands(node.turns),
            ReleaseCommands(node.mesh, node.releasing.decider, node.releasing.publish_due),
        )
        for some in (patterns, turns, releases):
            self.commands |= some.table()
            streams |= {name: with_progress(handler) for name, handler in some.long().items()}
        self.commands |= ChainCommands(node.chain.in_force).table()
        self.commands |= ConsentCommands(node.mesh, node.turns, lambda: node.patterns, node.confirming).table()
        for name, service in node.services.items():
            for kind, handler in service.commands.items():
                self.commands.setdefault(f"{name}.{kind}", handler)
        self.streams: Mapping[str, Callable[[Request], AsyncIterator[dict[str, Any]]]] = streams

    def _with_chain(self, change: Handler) -> Handler:
        """A change of the settings, which says so if the node goes on with what was set before."""

        async def handle(request: Request) -> dict[str, Any]:
            before = self.node.chain.outdated
            answer, why = await change(request), self.node.chain.outdated
            return {**answer, "note": why} if why and why != before else answer

        return handle

    async def _status(self, request: Request) -> dict[str, Any]:
        return self.node.status()

    async def _invite(self, request: Request) -> dict[str, Any]:
        return self._describe(await self.node.invite(_seconds(request, "ttl", DEFAULT_INVITE_SECONDS)))

    def _describe(self, invite: Invite) -> dict[str, Any]:
        return {
            "invite": str(invite),
            "id": invite.id.hex(),
            "expires": rfc3339(invite.expires * 1000),
            "mesh": self.node.mesh_id,
            "device": self.node.device,
            "name": self.node.name,
        }

    async def _withdraw(self, request: Request) -> dict[str, Any]:
        key = request.get("id")
        try:
            await self.node.pairing.withdraw(bytes.fromhex(key if isinstance(key, str) else "?"))
        except ValueError:
            raise ControlError("the request needs the invite's id") from None
        return {"id": key}

    async def _invite_and_wait(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        """The invite, then who joined with it; withdrawn when the client goes away."""
        invite = await self.node.invite(_seconds(request, "ttl", DEFAULT_INVITE_SECONDS))
        try:
            yield {"type": "event", "event": "invite", **self._describe(invite)}
            try:
                joined = await self.node.joined(invite)
                who = {"device": peer_id(joined.device), "name": joined.name}
            except InviteError:
                who = None
            yield {"type": "result", "joined": who, "mesh": self.node.mesh_id}
        finally:
            with trio.CancelScope(shield=True):
                await self.node.pairing.withdraw(invite.id)

    async def _sync(self, request: Request) -> dict[str, Any]:
        return asdict(await self.node.sync(_seconds(request, "wait", DEFAULT_SYNC_SECONDS)))

    async def _stop(self, request: Request) -> dict[str, Any]:
        self.node.stopping.set()
        return {"stopping": True}


def _seconds(request: Request, key: str, default: float) -> float:
    value = request.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_SECONDS:
        raise ControlError(f"the field {key!r} is a number of seconds, at most {MAX_SECONDS:.0f}")
    return float(value)


# --- services of other packages ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Failed:
    """Stands for a service that did not open."""

    state: tuple[str, str]
    commands: Mapping[str, Handler] = field(default_factory=dict)


@asynccontextmanager
async def open_services(node: Node) -> AsyncIterator[Mapping[str, Service]]:
    """Open what other packages add, in the order of their names, and close it in reverse.

    If one does not open, `status` says why, and the node runs without it.
    """
    services: dict[str, Service] = {}
    async with AsyncExitStack() as stack:
        for name, point in found(SERVICES).items():
            try:
                services[name] = await stack.enter_async_context(point.load()(node))
            except Exception as error:
                _log.exception("the service %s of %s did not open", name, point.module)
                services[name] = _Failed(("failed", str(error) or type(error).__name__))
        yield services
