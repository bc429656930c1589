"""A mesh of real node processes, paired with the real commands, on wires that can be cut; and when all of them are in step.

>>> async with open_cluster(folder, ["laptop", "phone", "desk"], seed=7) as cluster:
...     cluster.partition(["laptop"], ["phone", "desk"])
...     await cluster.write("laptop", [["put", "notes", "shopping", "milk"]])
...     cluster.heal()
...     await cluster.converged(30)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from mycel_simnet.links import PLAIN, Network, Shape, State
from mycel_simnet.process import CALL_SECONDS, NoAnswer, NodeProcess
from mycelnode.background import open_background, open_together

POLL_SECONDS = 0.1  # between two looks at nodes that are not in step yet
SHOWN = 8  # characters of a digest or of the end of a peer id, for people


class NotConverged(Exception):
    """The healthy devices were not in step in time; the text says how each of them stands."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one device is: document digest (hex), entries counted of each device, members, and how many entries peers lack.

    Devices are called by their names in the cluster.
    """

    digest: str
    applied: Mapping[str, int]
    members: frozenset[str]
    lags: Mapping[str, int]

    def __str__(self) -> str:
        entries = " ".join(f"{name}:{seq}" for name, seq in sorted(self.applied.items()))
        behind = ", ".join(f"{name} lacks {lag}" for name, lag in sorted(self.lags.items()) if lag)
        members = ",".join(sorted(self.members))
        return f"digest {self.digest[:SHOWN]}, entries {entries}, members {members}{'; ' if behind else ''}{behind}"


class Cluster:
    """The devices of one person. Made by `open_cluster`, which also runs the wires."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder, self.network = folder, network
        self.nodes: dict[str, NodeProcess] = {}
        self.revoked: set[str] = set()
        self._names: dict[str, str] = {}  # peer id → name
        self._servers: dict[str, str] = {}  # that all reach, past the wires

    # --- making it ---------------------------------------------------------------------------------------------------------

    async def add_first(self, name: str) -> dict[str, Any]:
        """The device that begins the mesh: `init` and `run`. Returns what `init` said."""
        node = await self._device(name)
        answer = await node.command("init", "--name", name)
        self._names[answer["device"]] = name
        await self.start(name)
        return answer

    async def add(self, name: str, inviter: str) -> dict[str, Any]:
        """One more device: `invite` on ``inviter``, `join` over the wires, `run`. Returns what `join` said."""
        node = await self._device(name)
        invite = await self.nodes[inviter].command("invite")
        answer = await node.command("join", invite["invite"], "--name", name)
        self._names[answer["device"]] = name
        await self.start(name)
        return answer

    async def _device(self, name: str) -> NodeProcess:
        self.nodes[name] = NodeProcess(self.folder, name)
        await self.network.add(name)
        self._route()
        return self.nodes[name]

    def open_to(self, server: str) -> None:
        """Let all devices reach a server of this machine, ``host:port``, past the wires between them."""
        self._servers[server] = server
        self._route()

    def _route(self) -> None:
        for name, node in self.nodes.items():
            node.change(routes={**self.network.routes(name), **self._servers})

    def name_of(self, peer: str) -> str:
        """The name of a device, by its peer id."""
        return self._names.get(peer, peer)

    def peer_of(self, name: str) -> str:
        """The peer id of a device."""
        return next(peer for peer, known in self._names.items() if known == name)

    @property
    def healthy(self) -> list[str]:
        """The devices that were not revoked."""
        return [name for name in self.nodes if name not in self.revoked]

    # --- processes ---------------------------------------------------------------------------------------------------------

    async def start(self, name: str) -> None:
        """Run a device, and lead the others' wires to where it listens now. Raises `NodeFailed`."""
        await self.nodes[name].start()
        await self.network.attach(name, self.nodes[name].address)
        self._route()

    async def stop(self, name: str) -> None:
        """End a device as a person would; its clean exit is asserted (`NodeFailed`)."""
        await self.nodes[name].stop()

    async def kill(self, name: str) -> None:
        """Kill -9."""
        await self.nodes[name].kill()

    async def restart(self, name: str) -> None:
        """Stop (if it runs) and start."""
        if self.nodes[name].running:
            await self.stop(name)
        await self.start(name)

    def freeze(self, name: str) -> None:
        """Stop the process in its tracks: its connections stay open and silent."""
        self.nodes[name].freeze()

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        self.nodes[name].thaw()

    def skew(self, name: str, seconds: float) -> None:
        """Put a device's wall clock ahead by ``seconds``."""
        self.nodes[name].change(skew=seconds)

    # --- wires -------------------------------------------------------------------------------------------------------------

    def partition(self, *groups: Iterable[str], kind: State = State.RESET) -> None:
        """Devices reach those of their own group only; see `Network.partition`."""
        self.network.partition(*groups, kind=kind)

    def heal(self) -> None:
        """All wires carry again."""
        self.network.heal()

    # --- asking ------------------------------------------------------------------------------------------------------------

    async def write(self, name: str, operations: Sequence[Sequence[Any]]) -> int:
        """Apply operations on a device as one transaction; returns its place in the device's log, once acknowledged.

        Raises `Refused`, or `NoAnswer` if it is unknown whether the write happened.
        """
        answer = await self.nodes[name].call("collection.apply", operations=operations)
        return int(answer["seq"])

    async def read(self, name: str, collection: str, kind: str) -> Any:
        """The value of a collection as a device has it."""
        return (await self.nodes[name].call("collection.get", name=collection, kind=kind))["value"]

    async def status(self, name: str) -> dict[str, Any]:
        """What `mycelnode status` says on a device."""
        return await self.nodes[name].call("status")

    async def standing(self, name: str, *, deadline: float = CALL_SECONDS) -> Standing:
        """How far a device is."""
        node = self.nodes[name]
        digest = await node.call("mesh.digest", deadline=deadline)
        status = await node.call("status", deadline=deadline)
        return Standing(
            digest["digest"],
            {self.name_of(peer): seq for peer, seq in digest["applied"].items()},
            frozenset(self.name_of(peer) for peer in digest["members"]),
            {self.name_of(row["device"]): row["lag"] or 0 for row in status["devices"] if not row["revoked"]},
        )

    async def revoke(self, by: str, name: str) -> int:
        """Put a device out, on the word of another; returns up to which entry its log counts."""
        answer = await self.nodes[by].call("devices.revoke", device=self.peer_of(name))
        self.revoked.add(name)
        return int(answer["head"])

    # --- together ----------------------------------------------------------------------------------------------------------

    async def converged(self, deadline: float, names: Iterable[str] | None = None) -> float:
        """Wait until the healthy devices (or ``names``) have the same digest, entries and members and lack nothing of each other.

        Returns the seconds that it took. Raises `NotConverged` after ``deadline`` seconds.
        """
        waited_for = list(self.healthy if names is None else names)
        began = trio.current_time()
        found: dict[str, Standing | str] = {}
        try:
            with trio.fail_after(deadline):
                while True:
                    async with trio.open_nursery() as nursery:
                        for name in waited_for:
                            nursery.start_soon(self._look, name, found, deadline)
                    if in_step({name: found[name] for name in waited_for}):
                        return trio.current_time() - began
                    await trio.sleep(POLL_SECONDS)
        except trio.TooSlowError:
            lines = [f"  {name}: {found.get(name, 'did not answer')}" for name in waited_for]
            raise NotConverged(f"not in step after {deadline:g} s:\n" + "\n".join(lines)) from None

    async def _look(self, name: str, found: dict[str, Standing | str], deadline: float) -> None:
        try:
            found[name] = await self.standing(name, deadline=deadline)
        except NoAnswer as error:
            found[name] = str(error)


def in_step(found: Mapping[str, Standing | str]) -> bool:
    """Do these devices say the same, and lack nothing of each other? A text stands for a device that did not answer."""
    stands = [standing for standing in found.values() if isinstance(standing, Standing)]
    return (
        len(stands) == len(found)
        and len({standing.digest for standing in stands}) == 1
        and all(standing.applied == stands[0].applied and standing.members == stands[0].members for standing in stands)
        and not any(standing.lags.get(name) for standing in stands for name in found)
    )


@asynccontextmanager
async def open_cluster(
    folder: Path, names: Sequence[str], *, seed: int = 0, shape: Shape = PLAIN
) -> AsyncIterator[Cluster]:
    """A running mesh of the devices ``names``, the first of which began it; without names, an empty one to fill with `add_first`.

    ``seed`` governs the wires' jitter. When the block is left in peace, every running node must end cleanly (`NodeFailed`); when it
    is left by an exception, or cancelled, all are killed.
    """
    async with open_background() as nursery:
        cluster = Cluster(folder, Network(nursery, seed=seed, shape=shape))
        try:
            if names:
                await cluster.add_first(names[0])
                async with open_together() as joining:
                    for name in names[1:]:
                        joining.start_soon(cluster.add, name, names[0])
            yield cluster
            async with open_together() as stopping:
                for name, node in cluster.nodes.items():
                    if node.running:
                        stopping.start_soon(cluster.stop, name)
        finally:
            for node in cluster.nodes.values():
                await node.kill()
