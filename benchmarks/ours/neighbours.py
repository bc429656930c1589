"""Nodes of strangers that meet over their second doors, each a `mycelnode run` of its own, asked over its control socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

import mycelnode
from benchmarks.ours.world import DEADLINE, LOOPBACK, child
from mycelnode.control import ControlClient
from mycelnode.paths import DataDir

LOOK_SECONDS = 0.05  # between two looks at who is connected


class Neighbour:
    """A running node; others find it at ``contact``, its address in the swarm."""

    def __init__(self, data: DataDir, contact: str) -> None:
        self._data, self.contact = data, contact

    def call(self, kind: str, **fields: Any) -> dict[str, Any]:
        """One request over the control socket, and its result; blocks."""
        with ControlClient(self._data) as client:
            return client.call(kind, **fields)

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The same in a thread: a node in this process may have to answer meanwhile."""
        return await trio.to_thread.run_sync(partial(self.call, kind, **fields))

    async def meets(self, count: int = 1) -> None:
        """Return once it has so many neighbours. Raises `trio.TooSlowError`."""
        with trio.fail_after(DEADLINE):
            while (await self.ask("status"))["swarm"]["peers"] < count:  # noqa: ASYNC110  # it tells nobody
                await trio.sleep(LOOK_SECONDS)


async def stranger(folder: Path, *bootstrap: str) -> DataDir:
    """A mesh of one device in ``folder``, in the collective by way of the peers of ``bootstrap``."""
    await mycelnode.init(folder, name=folder.name)
    data = DataDir(folder)
    known = ", ".join(f'"{contact}"' for contact in bootstrap)
    settings = f'[mesh]\nlan = false\n\n[swarm]\nenabled = true\nlisten = ["{LOOPBACK[0]}"]\nbootstrap = [{known}]\n'
    await trio.Path(data.config).write_text(settings)
    await trio.Path(data.config).chmod(0o600)
    return data


@asynccontextmanager
async def neighbour(folder: Path, *bootstrap: str) -> AsyncIterator[Neighbour]:
    """The program `mycelnode run` on a new folder, for as long as the block lasts."""
    data = await stranger(folder, *bootstrap)
    arguments = ("run", "--json", "--listen", LOOPBACK[0], "--data-dir", str(folder))
    async with child("mycelnode", *arguments) as (_, said):
        with trio.fail_after(DEADLINE):
            ready = await anext(said)
        swarm = ready["swarm"]
        yield Neighbour(data, f"{swarm['addrs'][0]}/p2p/{swarm['peer']}")


def skill(folder: Path, number: int, **files: bytes) -> Path:
    """A pattern as a person has it: a folder with `SKILL.md`, and ``files`` beside it."""
    name = f"skill-{number}"
    made = folder / name
    made.mkdir(parents=True)
    text = f"---\nname: {name}\ndescription: Measures how far word {word(number)} goes.\n---\nSay it again: {word(number)}.\n"
    (made / "SKILL.md").write_text(text)
    for path, data in files.items():
        (made / path).write_bytes(data)
    return made


def word(number: int) -> str:
    """A word that no other pattern has."""
    return f"zebra{number}quagga"
