"""Registries to follow: one on a devchain, and one that answers as a test says, rightly or not; and who follows them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
import trio.lowlevel

from mycelnode.chain import copied
from mycelnode.chain.copied import State
from mycelnode.chain.indexer import Indexer
from mycelnode.chain.near import Near
from mycelnode.chain.registry import MAX_LIMIT, Registry
from mycelnode.chain.rpc import open_rpc
from mycelnode.clock import SystemClock
from mycelnode.database import Database, open_database
from mycelnode.encoding import base58
from mycelnode.paths import DataDir
from mycelnode.ports import Clock
from tests.chain.known import PATTERN, cid_of
from tests.chain.servers import Server, a_server, told

CONTRACT = "registry.near"


@dataclass
class Follower:
    """What keeps a copy of ``contract``, which the settings could change. ``slept`` has what it waited for."""

    contract: str
    database: Database
    slept: list[float] = field(default_factory=list)
    indexer: Indexer = field(init=False)

    @property
    def state(self) -> State:
        held = self.database.look(copied.state)
        assert held is not None, "there is no copy"
        return held

    def rows(self) -> list[tuple[Any, ...]]:
        """(number, creator, price, retired or not, seq) of all patterns, by their numbers."""
        asked = "SELECT id, creator, price, retired IS NOT NULL, seq FROM registry_patterns ORDER BY id"
        return self.database.look(lambda connection: connection.execute(asked).fetchall())


@asynccontextmanager
async def a_follower(folder: Path, contract: str, *urls: str, clock: Clock | None = None) -> AsyncIterator[Follower]:
    """Of ``contract``, asking ``urls``; again on the same folder it goes on."""
    data = DataDir(folder / "data")
    if not data.path.exists():
        data.create()
    async with open_database(data) as database, open_rpc("devchain", urls, clock=clock) as rpc:
        near, one = Near(rpc), Follower(contract, database)

        async def sleep(seconds: float) -> None:
            one.slept.append(seconds)
            await trio.lowlevel.checkpoint()

        one.indexer = Indexer(near, lambda: Registry(near, one.contract), database, clock or SystemClock(), sleep=sleep)
        yield one


def pattern(number: int, seq: int, *, creator: str = "alice.near", **more: Any) -> dict[str, Any]:
    """As the contract tells it."""
    digest, cid = cid_of(f"pattern {number}")
    named = {"id": number, "seq": seq, "creator": creator, "pattern_hash": digest, "metadata_cid": cid}
    return {**PATTERN, **named, **more}


@dataclass
class Told:
    """What a made-up contract answers; ``changes`` is given the number from which it is asked."""

    patterns: dict[int, dict[str, Any]] = field(default_factory=dict)  # by seq
    instance: int = 7
    seq: int | None = None  # else as many as there are
    height: int = 100
    info: dict[str, Any] = field(default_factory=dict)
    changes: Callable[[int], Any] | None = None
    asked: list[int] = field(default_factory=list)  # from where, of each page
    watch: Callable[[int], None] = lambda from_seq: None

    @classmethod
    def of(cls, count: int) -> Told:
        """With so many patterns."""
        return cls({seq: pattern(seq + 1, seq) for seq in range(count)})

    @property
    def next_seq(self) -> int:
        return max(self.patterns, default=-1) + 1 if self.seq is None else self.seq

    def answer(self, method: str, args: dict[str, Any]) -> Any:
        if method == "info":
            prices = {"pattern": "1", "deposit": "1"}
            known = {"instance": str(self.instance), "state_version": 1, "seq": self.next_seq, "owner": "owner.near"}
            known |= {"reputation": "reputation.near", "paused": False, "fee_bps": 500, "prices": prices}
            known |= {"pending_ratings": 0, "ledger": {"in_flight": "0"}}
            return {**known, **self.info}
        if method != "changes":
            return {"score": 700, "successes": 3, "failures": 0}
        self.asked.append(args["from_seq"])
        self.watch(args["from_seq"])
        if self.changes is not None:
            return self.changes(args["from_seq"])
        found = [seq for seq in sorted(self.patterns) if seq >= args["from_seq"]]
        page = found[:MAX_LIMIT]
        next_seq = page[-1] + 1 if len(found) > MAX_LIMIT else self.next_seq
        return {"items": [{"seq": seq, "pattern": self.patterns[seq]} for seq in page], "next_seq": next_seq}


@asynccontextmanager
async def a_registry(contract: Told) -> AsyncIterator[Server]:
    """A server that has it."""

    def where() -> dict[str, Any]:
        return {"block_hash": base58(contract.height.to_bytes(32, "big")), "block_height": contract.height}

    async def block(server: Server, stream: trio.SocketStream, request: dict[str, Any]) -> None:
        now = str(SystemClock().wall() * 1_000_000)
        header = {"height": contract.height, "hash": where()["block_hash"], "timestamp_nanosec": now, "gas_price": "1"}
        await server.send(stream, told({"header": header}, request["id"]))

    async def call(server: Server, stream: trio.SocketStream, request: dict[str, Any]) -> None:
        params = request["params"]
        found = contract.answer(params["method_name"], json.loads(base64.b64decode(params["args_base64"])))
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        await server.send(stream, told({"result": list(data), "logs": [], **where()}, request["id"]))

    async with a_server(block=block, call_function=call) as server:
        yield server
