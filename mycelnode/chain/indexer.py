"""Follows the registry: keeps a local copy in step with its changes, so that search works while no server answers.

Each look is at one final block, and each page is written whole or not at all, with the number from which to go on. The copy is made
anew when the chain or the contract is another one, or has fewer changes than are here. docs/chain.md has the picture.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from mycelnode.chain import copied
from mycelnode.chain.copied import State
from mycelnode.chain.near import Block, Near
from mycelnode.chain.registry import Changes, Info, Registry
from mycelnode.chain.reputation import Reputation
from mycelnode.database import Database
from mycelnode.errors import ConfigError, ContractWrong, MycelError, NearRpcWrong, first
from mycelnode.ports import Clock

LOOK_SECONDS: Final = 30.0  # between two looks
FIRST_PAUSE: Final = 5.0  # after a look that failed, longer each time
LONGEST_PAUSE: Final = 60.0
FRESH_MS: Final = 1_000  # after which a search has it looked at again
MAX_PAGES: Final = 200  # of one look: its block is forgotten some time
PATIENT_LOOKS: Final = 3  # that a server may be behind before it is believed that the chain is what it says
SCORES: Final = 50  # that are asked for after a look
SCORE_MS: Final = 60 * 60_000  # after which one is asked for again
UNRATED_MS: Final = 5 * 60_000  # the same where nobody had rated the account

Sleep = Callable[[float], Awaitable[None]]
_log = logging.getLogger(__name__)


class Indexer:
    """The copy of ``registry()``, which raises `ConfigError` while none is set."""

    def __init__(
        self,
        near: Near,
        registry: Callable[[], Registry],
        database: Database,
        clock: Clock,
        *,
        sleep: Sleep = trio.sleep,
    ) -> None:
        self._near, self._registry, self._database, self._clock, self._sleep = near, registry, database, clock, sleep
        self._lock = trio.Lock()
        self._behind = 0  # looks in a row at which a server was
        self._wrong = ("", "")  # why the last look failed, and at which registry
        self._broken = ""  # why there will be no other look
        self.changed = trio.Event()  # set, and another one, whenever patterns have come

    @property
    def _contract(self) -> str:
        """What the settings name; nothing if they name none."""
        try:
            return self._registry().contract
        except ConfigError:
            return ""

    @property
    def problem(self) -> str:
        """Why the last look failed, if it was one at the registry that the settings name now."""
        why, contract = self._wrong
        return self._broken or (why if contract == self._contract else "")

    @property
    def state(self) -> State | None:
        """How the copy stands, if there is one of what the settings name."""
        held = partial(copied.held, network=self._near.rpc.network, contract=self._contract)
        return self._database.look(held) if self._contract else None

    def services(self) -> dict[str, tuple[str, str]]:
        """For `mycelnode status`; nothing while no registry is set."""
        if not (contract := self._contract):
            return {}
        if problem := self.problem:
            return {"registry": ("failed", problem)}
        held = self.state
        if held is None:
            return {"registry": ("ok", f"nothing of {contract} has come yet")}
        return {
            "registry": ("ok", f"{held.next_seq:,} of {held.seq:,} changes of {contract}, at block {held.height:,}")
        }

    async def run(self) -> None:
        """Look now and then, until cancelled. A fault of ours ends that, and not the node."""
        try:
            failures = 0
            while True:
                try:
                    whole = await self.look()
                    await self.ask_scores()
                except MycelError as error:
                    failures += 1
                    _log.info("the registry: %s", error)
                    await self._sleep(min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE))
                else:
                    failures = 0
                    await self._sleep(LOOK_SECONDS if whole else 0)
        except Exception as error:
            _log.exception("following the registry has failed")
            self._broken = f"following it has failed ({first(error)}); it goes on with the next start"

    async def fresh(self) -> None:
        """Have the copy looked at, unless that was just done, or a look failed and is not due again; `problem` says how it went."""
        held = self.state
        resting = self._wrong[0] and self._wrong[1] == self._contract
        if resting or (held is not None and held.is_whole and self._clock.wall() - held.looked < FRESH_MS):
            return
        try:
            await self.look()
        except MycelError as error:
            _log.debug("the registry: %s", error)

    async def look(self) -> bool:
        """Take in what has changed, at most `MAX_PAGES` of it; was that all?

        Raises what `Registry.info` raises, and `DiskFull` and the like. Cancelled, what was written until then stays.
        """
        async with self._lock:
            contract = self._contract
            try:
                whole = await self._look()
            except MycelError as error:
                self._wrong = str(error), contract
                raise
            self._wrong, self._broken = ("", ""), ""
            return whole

    async def _look(self) -> bool:
        registry = self._registry()
        block = await self._near.block()
        chain = await self._near.rpc.identify()  # after it: the block may be the first that we see of another chain
        info = await registry.info(block.hash)
        held = self._database.look(copied.state)
        state = State(
            chain, registry.contract, info.instance, info.reputation, 0, info.seq, block.height, self._clock.wall()
        )
        anew = held is None or not state.is_of(held) or self._has_begun_anew(held, info, block)
        if held is not None and not anew:
            state = replace(state, next_seq=held.next_seq)
        if await self._database.scan(copied.count) > copied.MAX_PATTERNS:
            raise ContractWrong(f"{registry.contract} has more patterns than a copy can have")
        for _ in range(MAX_PAGES):
            page = await self._page(registry, state, block)
            state = replace(state, next_seq=page.next_seq)
            patterns = [pattern for _, pattern in page.items]
            await self._database.write(partial(copied.put, state=state, patterns=patterns, anew=anew))
            anew = False
            if patterns:
                self.changed.set()
                self.changed = trio.Event()
            if state.is_whole:
                break
        return state.is_whole

    async def _page(self, registry: Registry, state: State, block: Block) -> Changes:
        """The next changes at a block. Raises `ContractWrong` for what would never end, or goes further than there is."""
        if state.is_whole:
            return Changes((), state.next_seq)
        page = await registry.changes(state.next_seq, at=block.hash)
        if not state.next_seq < page.next_seq <= state.seq:
            raise ContractWrong(f"{registry.contract} does not say from where its changes go on")
        return page

    def _has_begun_anew(self, held: State, info: Info, block: Block) -> bool:
        """Are there fewer changes than we have? Of a server that is only behind that is not believed at once."""
        if info.seq >= held.next_seq:
            self._behind = 0
            return False
        self._behind += block.height < held.height
        if block.height < held.height and self._behind < PATIENT_LOOKS:
            raise NearRpcWrong(
                f"the RPC server is behind: its last final block is {block.height:,}, and another one's was {held.height:,}"
            )
        self._behind = 0
        return True

    async def ask_scores(self) -> None:
        """Of creators whose patterns are in the library, whatever is searched for: a server learns nothing of that."""
        held, now = self._database.look(copied.state), self._clock.wall()
        due = partial(copied.unrated, before=now - SCORE_MS, unrated=now - UNRATED_MS, limit=SCORES)
        creators = await self._database.scan(due)
        if held is None or not creators:
            return
        try:
            reputation = Reputation(self._near, held.reputation)
            scores = [(creator, await reputation.of(creator)) for creator in creators]
        except MycelError as error:
            _log.info("the scores of creators: %s", error)
            return
        await self._database.write(partial(copied.put_scores, scores=scores, now=now))
