"""NEAR's JSON-RPC: several servers, of which none is believed to be the right one before it has shown it.

A call goes to the first server that is well; the next one is asked when it is silent, busy, broken or behind. What the network
itself says no to is raised as it is, by whoever says it. Cancelled, a call ends at once; the server may have acted on it all the
same.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import trio

from mycelnode.chain.answers import Answer
from mycelnode.chain.replies import Passing, read_reply
from mycelnode.clock import SystemClock
from mycelnode.errors import MycelError, NearRefused, NearRpcWrong, NearUnreachable

if TYPE_CHECKING:
    from mycelnode.chain.posting import Poster
    from mycelnode.ports import Clock

ANSWER_BYTES: Final = 4 << 20
PATIENCE: Final = 10.0  # seconds for one answer of one server
FIRST_PAUSE: Final = 0.5  # seconds until a server that failed is asked again
LONGEST_PAUSE: Final = 60.0
MAX_ROUNDS: Final = 3  # in which a busy server is asked again for the same call
ABSENT_SECONDS: Final = 60.0  # for which nobody has listened at an address, each time that it was asked
ABSENT_TIMES: Final = 3  # in a row, at least
MAX_LAG_MS: Final = 5 * 60_000  # of the last final block of a network that never sleeps
FINAL: Final = {"finality": "final"}
WORD: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")  # of names of networks, and of hashes

# Of the networks that everybody knows; of a devchain it is what the first server says.
GENESIS: Final[Mapping[str, str]] = {
    "mainnet": "EPnLgE7iEq9s7yTkos96M3cWymH5avBAPm3qx3NXqR8H",
    "testnet": "FWJ9kR6KFWoyMoNjpLXXGHeuiy7tEY6GmoFeCA5yuc6b",
}
URLS: Final[Mapping[str, Sequence[str]]] = {
    "mainnet": ("https://archival-rpc.mainnet.fastnear.com", "https://rpc.mainnet.fastnear.com"),
    "testnet": ("https://archival-rpc.testnet.fastnear.com", "https://test.rpc.fastnear.com"),
    "devchain": (),
}


Judge = Callable[["Server", Any, float], Awaitable[None]]


@dataclass(slots=True)
class Server:
    """One address, and how it does. ``name`` is what may be shown of it: a path may hold a secret."""

    url: str
    name: str
    checked: bool = False
    tells: str = ""  # the first block of its chain
    tells_since: float = 0.0
    ours: bool = False  # it has been of this chain, if only before its own was begun anew
    wrong: str = ""  # why it is not asked any more
    said: str = ""  # the last thing that went wrong
    failures: int = 0
    rests_until: float = 0.0
    aside_until: float = 0.0  # although it answers
    absences: int = 0  # in a row
    absent_since: float = 0.0
    absent_at: float = 0.0  # the last time

    @property
    def absent(self) -> bool:
        """Has nobody been there for so long that its word is not waited for?"""
        return self.absences >= ABSENT_TIMES and self.absent_at - self.absent_since >= ABSENT_SECONDS

    def failed(self, error: Passing) -> None:
        """It is left alone for a while, longer each time."""
        self.failures += 1
        self.checked = self.checked and bool(error.kind)  # if it broke, another one may answer there next time
        self.said = str(error)
        self.absent_at = trio.current_time()
        if not self.absences:
            self.absent_since = self.absent_at
        self.absences = self.absences + 1 if error.absent else 0
        pause = max(FIRST_PAUSE * 2 ** min(self.failures - 1, 10), error.pause)
        self.rests_until = trio.current_time() + min(pause, LONGEST_PAUSE)

    def put_aside(self, why: str) -> None:
        """It answers, and is asked last for a while all the same."""
        self.said, self.aside_until = why, trio.current_time() + LONGEST_PAUSE

    def well(self) -> None:
        """It answered."""
        self.failures, self.rests_until, self.absences = 0, 0.0, 0
        if self.aside_until <= trio.current_time():
            self.said = ""


class Rpc:
    """The servers of one network. ``genesis``: the hash of its first block, once it is known. Made by `open_rpc`.

    Of a network that is not known to everybody, ``genesis`` becomes another one when all its servers, but for where nobody is, are
    those of another chain, as a devchain that was thrown away and begun anew. Whoever has to do with one chain looks at it after
    each final block.
    """

    def __init__(self, network: str, servers: Sequence[Server], genesis: str, clock: Clock) -> None:
        self._poster: Poster | None = None  # made when somebody is asked: that takes a while
        self.network, self.genesis, self.chain_id = network, genesis, ""
        self.servers, self._clock = servers, clock
        self._held = bool(genesis)  # to this very chain
        self._count = 0

    async def aclose(self) -> None:
        """Close all connections."""
        if self._poster is not None:
            await self._poster.aclose()

    async def identify(self) -> str:
        """Names the very chain: the network, and the hash of its first block. Raises as `call` does."""
        if not self.genesis:
            await self.call("status", [])
        return f"{self.network}/{self.genesis}"

    def each(self) -> list[Rpc]:
        """Every server by itself, but for those that are wrong. For as long as this one is open."""
        found = []
        for server in self.servers:
            if not server.wrong:
                one = Rpc(self.network, [server], self.genesis, self._clock)
                one.chain_id, one._poster, one._held = self.chain_id, self._post, True
                found.append(one)
        return found

    async def final_block(self) -> Any:
        """The last final block, of a server that is not behind, and that is one of this chain after its answer as well.

        Raises as `call` does.
        """
        return await self.call("block", FINAL, judge=self._judge)

    async def call(
        self,
        method: str,
        params: Any,
        *,
        patience: float = PATIENCE,
        rounds: int = MAX_ROUNDS,
        judge: Judge | None = None,
    ) -> Any:
        """The result, as the first server that can answers it, each within ``patience`` seconds; who is busy is asked again.

        Raises `NearRefused` with what the network says, `NearUnreachable` when nobody answers, `NearRpcWrong` when nobody is left
        who could. ``judge`` raises `Passing` for what is not to be taken.
        """
        said: dict[str, str] = {}
        last: Passing | None = None
        for left in reversed(range(rounds)):
            for server in self._by_health():
                try:
                    if not server.checked:
                        await self._check(server, patience)
                    result = await self._ask(server, method, params, patience)
                    if judge is not None:
                        await judge(server, result, patience)
                except Passing as error:
                    server.failed(error)
                    said[server.name], last = str(error), error
                except NearRpcWrong as error:
                    server.wrong = str(error)
                else:
                    server.well()
                    return result
            if not left or last is None or not last.busy or not (pause := self._pause()):
                break
            await trio.sleep(pause)
        raise self._gave_up(said, last)

    def _by_health(self) -> list[Server]:
        """Those that are well, and then those that should be left alone but are all there is."""
        now = trio.current_time()
        usable = [server for server in self.servers if not server.wrong]
        if not self._held and all(server.absent for server in usable):
            for server in self.servers:  # they may have come back, or be of one and the same new chain
                if server.wrong:
                    server.wrong, server.checked = "", False
            usable = list(self.servers)
        return sorted(usable, key=lambda server: max(server.rests_until, server.aside_until) > now)

    def _pause(self) -> float:
        """Seconds until a server may be asked again; 0: not soon enough."""
        waits = [server.rests_until - trio.current_time() for server in self.servers if not server.wrong]
        least = max(min(waits, default=0.0), FIRST_PAUSE)
        return least if least <= PATIENCE else 0.0

    def _gave_up(self, said: Mapping[str, str], last: Passing | None) -> MycelError:
        if not self.servers:
            return NearUnreachable(f"no RPC server of {self.network} is known here; set near.rpc to the address of one")
        if last is None:
            return NearRpcWrong("; ".join(server.wrong for server in self.servers))
        whole = [f"{name} {why}" for name, why in said.items()]
        if last.kind:
            return NearRefused("; ".join(whole), last.kind)
        whole += [server.wrong for server in self.servers if server.wrong]
        return NearUnreachable(f"no NEAR RPC server {'keeps up' if last.behind else 'answers'}: {'; '.join(whole)}")

    async def _judge(self, server: Server, told: Any, patience: float) -> None:
        """Raises `Passing` for a final block that is old, where blocks are made by the clock; `NearRpcWrong`."""
        if (
            self.network not in GENESIS
        ):  # it stands still while there is nothing to do; but it may be another one by now
            await self._check(server, patience)
            return
        try:
            made = Answer(told, "block", NearRpcWrong).inside("header").nanoseconds("timestamp_nanosec")
        except NearRpcWrong:  # as whoever reads it will say
            return
        lag = self._clock.wall() - made // 1_000_000
        if lag > MAX_LAG_MS:
            old = f"is behind, as its last final block is {lag // 60_000:,} minutes old (unless this device's clock is wrong)"
            raise Passing(old, pause=LONGEST_PAUSE, behind=True)

    async def _check(self, server: Server, patience: float) -> None:
        """Raises `NearRpcWrong` unless it is a server of this very network."""
        told = await self._ask(server, "status", [], patience)
        chain_id = told.get("chain_id") if isinstance(told, dict) else None
        genesis = told.get("genesis_hash") if isinstance(told, dict) else None
        if not isinstance(genesis, str) or not isinstance(chain_id, str) or not WORD.fullmatch(f"{chain_id}{genesis}"):
            raise Passing("does not say of which network it is")
        wanted = self.network if self.network in GENESIS else self.chain_id
        if (wanted and chain_id != wanted) or (not wanted and chain_id in GENESIS):
            raise NearRpcWrong(
                f"{server.name} is a server of {chain_id}, and near.network says {self.network}; one of the two settings,"
                " near.rpc or near.network, is wrong"
            )
        if server.tells != genesis:
            server.tells, server.tells_since = genesis, trio.current_time()
        if self.genesis and genesis != self.genesis and not self._has_begun_anew(server, genesis):
            raise NearRpcWrong(f"{server.name} is a server of another {self.network}, which began with another block")
        self.genesis, self.chain_id, server.checked, server.ours = genesis, chain_id, True, True

    def _has_begun_anew(self, asked: Server, genesis: str) -> bool:
        """Was the chain thrown away? So all servers must say, as one of them may just be that of another chain.

        Where nobody is, for long and still, is not waited for, if one of the others was of this chain itself: then that is gone.
        """

        def counts(server: Server) -> bool:
            return server is not asked and not (server.absent and server.absent_at >= asked.tells_since)

        others = [server for server in self.servers if counts(server)]
        agree = [asked, *(server for server in others if server.tells == genesis)]
        if self._held or len(agree) <= len(others):
            return False
        if len(agree) < len(self.servers) and not any(server.ours for server in agree):
            return False
        for server in self.servers:
            server.ours = server in agree
            if server.ours:
                server.wrong = ""
        return True

    async def _ask(self, server: Server, method: str, params: Any, patience: float) -> Any:
        """The result of one server. Raises `Passing`, `NearRefused`."""
        self._count += 1
        number = f"mycelnode-{self._count}"
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        with trio.move_on_after(patience) as scope:
            answer = await self._post.post(server.url, body, ANSWER_BYTES)
        if scope.cancelled_caught:
            raise Passing(f"did not answer within {patience:g} s")
        return read_reply(
            answer.body, number, method, status=answer.status, kind=answer.kind, retry_after=answer.retry_after
        )

    @property
    def _post(self) -> Poster:
        if self._poster is None:
            from mycelnode.chain.posting import Poster

            self._poster = Poster()
        return self._poster


@contextmanager
def within(deadline: float) -> Iterator[None]:
    """Who has not answered all that is asked in the block by then, on trio's clock, is as good as silent: `NearUnreachable`."""
    with trio.move_on_at(deadline) as scope:
        yield
    if scope.cancelled_caught:
        raise NearUnreachable("no NEAR RPC server has answered in time")


@asynccontextmanager
async def open_rpc(
    network: str, urls: Sequence[str] = (), *, genesis: str = "", clock: Clock | None = None
) -> AsyncIterator[Rpc]:
    """The servers of the settings ``near.network`` and ``near.rpc``; without any, the network's usual ones. None is asked yet.

    ``genesis``: of a network that is not known to everybody, the hash of its first block, where it must be that one.
    """
    servers = [Server(url, _name(url)) for url in dict.fromkeys(urls or URLS[network])]
    rpc = Rpc(network, servers, GENESIS.get(network, genesis), clock or SystemClock())
    try:
        yield rpc
    finally:
        await rpc.aclose()


def _name(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return "an address that is none"
