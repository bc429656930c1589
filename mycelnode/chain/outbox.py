"""The outbox at work: it carries out what `protocols.payment.Outbox` says, over the journal, the key files and a network.

It goes on for as long as the node runs. What it cannot do now, as nobody answers, waits; it can be ended at any moment.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Final

import trio

from mycelnode.chain import batches
from mycelnode.chain.journal import Journal
from mycelnode.chain.keys import Credentials, NearKey
from mycelnode.chain.near import Near, Signed, Transfer, sign
from mycelnode.chain.policy import Spent
from mycelnode.chain.rpc import GENESIS
from mycelnode.chain.sights import UNKNOWN_TRANSACTION, disputed, newest, sight
from mycelnode.errors import MycelError, NearRefused, NearRpcWrong, OutcomeUnknown, first
from mycelnode.ports import Clock
from mycelnode.protocols.payment import (
    Answer,
    Ask,
    Confirm,
    Effect,
    Keep,
    Look,
    Outbox,
    Reported,
    Send,
    Sight,
    Sign,
    Silent,
    stranded,
)
from mycelnode.protocols.payment_journal import Entry, Intent, Signature

POLL_SECONDS: Final = (
    1.0  # until it is asked again what became of something, and twice as long each time; about that of a block
)
LONGEST_POLL: Final = 60.0

_log = logging.getLogger(__name__)


class Payments:
    """What this device does on one chain. ``poll``: see `POLL_SECONDS`."""

    def __init__(
        self, near: Near, journal: Journal, credentials: Credentials, clock: Clock, *, poll: float = POLL_SECONDS
    ) -> None:
        self.near, self.journal = near, journal
        self._credentials, self._clock, self._poll = credentials, clock, poll
        self._machine: Outbox | None = None  # until it is known which chain this is
        self._network = ""
        self._validity = 0
        self._height = 0  # of the block of the last look
        self._pause = poll
        self._problem = ""  # why it is not known yet
        self._poked, self._changed = trio.Event(), trio.Event()

    # --- what a person wants ---------------------------------------------------------------------------------------------------

    async def want(
        self,
        intent: Intent,
        *,
        about: str = "",
        creator: str | None = None,
        judge: Callable[[Sequence[Spent]], None] = lambda spent: None,
    ) -> Entry:
        """Keep an intent, and see to it. See `Journal.add` for the arguments and what it raises."""
        entry = await self.journal.add(intent, about=about, creator=creator, judge=judge)
        line = self.journal.find(entry.intent.id)  # it may have ended meanwhile
        if line is not None and not line.entry.ended:
            if self._machine is not None and entry.intent.network == self._network:
                self._machine.add(entry.intent)
            self._hurry()
        return entry

    def entry(self, name: str) -> Entry | None:
        """How an intent stands, with the last word that was said about it."""
        found = None if self._machine is None else self._machine.find(name)
        if found is None and (line := self.journal.find(name)) is not None:
            found = line.entry if line.entry.ended or not self._problem else line.entry.saying(self._problem)
        return found

    async def wait(self, name: str, seconds: float) -> Entry:
        """The entry of an intent once it has ended; raises `OutcomeUnknown`, with how it stands, after ``seconds`` without that."""
        with trio.move_on_after(seconds):
            while True:
                changed, line = self._changed, self.journal.find(name)
                if line is not None and line.entry.ended:
                    return line.entry
                await changed.wait()
        entry = self.entry(name)
        if entry is None:
            raise NearRefused(f"the outbox has nothing called {name}")
        told = f" ({entry.said})" if entry.signed is None and entry.said and entry.said not in entry.word else ""
        raise OutcomeUnknown(f"{entry.word}{told}")

    @property
    def waiting(self) -> list[Entry]:
        """What has not ended on the network that the settings name, as the journal has it."""
        here, lines = f"{self.near.rpc.network}/", self.journal.lines(ended=False)
        return [line.entry for line in lines if line.entry.intent.network.startswith(here)]

    async def settle(self) -> None:
        """Return once all that waits has ended, but for what cannot be signed here. `run` is to run."""
        self._hurry()
        while True:
            poked = self._poked
            if not any(entry.signed is not None or self._has_key(entry.intent) for entry in self.waiting):
                return
            await poked.wait()

    def _has_key(self, intent: Intent) -> bool:
        try:
            self._key(intent)
        except MycelError:
            return False
        return True

    async def cancel(self, name: str, why: str) -> Entry:
        """It is not wanted any more; see `protocols.payment.Outbox.cancel`. That is kept when this returns."""
        line = self.journal.find(name)
        if line is None:
            raise NearRefused(f"the outbox has nothing called {name}")
        if line.entry.ended:
            return line.entry
        entry = self._cancelled(self._machine, name, why)
        if entry is None:  # of another chain, or nobody has said yet which one this is
            entry = self._cancelled(Outbox([line.entry]), name, why)
        assert entry is not None, "it is there"
        await self.journal.keep(entry)
        self._cancelled(self._machine, name, why)  # it may have begun meanwhile
        self._hurry()
        return entry

    def _cancelled(self, machine: Outbox | None, name: str, why: str) -> Entry | None:
        if machine is None or machine.find(name) is None:
            return None
        machine.cancel(name, why)
        return machine.find(name)

    # --- at work ---------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled. Nobody is asked anything while there is nothing to do."""
        while not self.journal.lines(ended=False, most=1):
            await self._poked.wait()
        while True:
            machine = await self._begin()
            async with trio.open_nursery() as nursery:
                while await self.near.rpc.identify() == self._network:
                    poked = self._poked
                    for effect in machine.next(self._clock.wall()):
                        nursery.start_soon(self._carry_out, machine, effect)
                    with trio.move_on_after(self._pause if machine.entries else inf) as scope:
                        await poked.wait()
                    if scope.cancelled_caught:
                        self._pause = min(2 * self._pause, LONGEST_POLL)
                        machine.wake()
                nursery.cancel_scope.cancel()  # the chain was begun anew, and nothing of before goes on

    async def _begin(self) -> Outbox:
        """Which chain it is, and what is under way there."""
        while True:
            try:
                self._network, self._validity, self._height = await self.near.rpc.identify(), 0, 0
                await self._end_stranded()
                self._machine = Outbox(self.journal.live(self._network))
            except MycelError as error:
                self._problem = str(error)
                with trio.move_on_after(self._pause):
                    await self._poked.wait()
                self._pause = min(2 * self._pause, LONGEST_POLL)
            else:
                self._problem, self._pause = "", self._poll
                return self._machine

    async def _end_stranded(self) -> None:
        """What was wanted on a chain of this name that was thrown away: never done on the one that is there now."""
        if self.near.rpc.network in GENESIS:
            return
        for line in self.journal.lines(ended=False):
            network = line.entry.intent.network
            if network != self._network and network.startswith(f"{self.near.rpc.network}/"):
                await self.journal.keep(stranded(line.entry))
        self._tell()

    def _hurry(self) -> None:
        """Something new is wanted."""
        self._pause = self._poll
        if self._machine is not None:
            self._machine.wake()
        self._poke()

    def _poke(self) -> None:
        self._poked.set()
        self._poked = trio.Event()

    async def _carry_out(self, machine: Outbox, effect: Effect) -> None:
        try:
            match effect:
                case Look(entry):
                    await self._look(machine, entry)
                case Confirm(entry, seen):
                    await self._confirm(machine, entry, seen)
                case Sign():
                    self._sign(machine, effect)
                case Keep(entry):
                    await self._keep(machine, entry)
                case Send(entry, signature):
                    answer = await self._answer(self._send(entry, signature))
                    machine.answered(entry.intent.id, answer)
                case Ask(entry, signatures):
                    answer = await self._answer(self._ask(entry, signatures))
                    machine.answered(entry.intent.id, answer)
        finally:
            self._poke()

    # --- each step ---------------------------------------------------------------------------------------------------------------

    async def _look(self, machine: Outbox, entry: Entry) -> None:
        try:
            seen = await self._sight(entry)
        except MycelError as error:
            machine.looked(entry.intent.id, None, str(error))
        except Exception as error:
            _log.exception("a look at %s failed", entry.intent.id)
            machine.looked(entry.intent.id, None, str(error))
        else:
            machine.looked(entry.intent.id, seen)

    async def _sight(self, entry: Entry) -> Sight:
        if not self._validity:
            _, self._validity = await self.near.protocol()
        block = await self.near.block()
        if entry.signed is not None and block.height <= self._height:
            block = await newest(self.near, block)
        if await self.near.rpc.identify() != entry.intent.network:
            raise NearRpcWrong(f"the servers of near.rpc are of another chain than {entry.intent.network} by now")
        self._height = block.height
        return await sight(self.near, entry, block, self._validity)

    async def _confirm(self, machine: Outbox, entry: Entry, seen: Sight) -> None:
        try:
            said = await disputed(self.near, entry, seen)
        except Exception as error:
            _log.exception("what other servers show of %s could not be compared", entry.intent.id)
            said = str(error)
        if said:
            self._pause = self._poll  # while whoever was contradicted is left alone, the other one is asked
        machine.confirmed(entry.intent.id, seen, said)

    def _sign(self, machine: Outbox, effect: Sign) -> None:
        intent, sight = effect.entry.intent, effect.sight
        try:
            signed = self._signature(intent, effect)
        except Exception as error:
            machine.not_signed(intent.id, str(first(error)))
        else:
            made = Signature(signed.hash, signed.data, effect.nonce, sight.height, sight.height + sight.valid)
            machine.signed(intent.id, made, burn=effect.burn)

    def _signature(self, intent: Intent, effect: Sign) -> Signed:
        key = self._key(intent)
        block = effect.sight.hash
        if effect.burn:
            return sign(key, intent.account, intent.account, effect.nonce, block, [Transfer(0)])
        return sign(key, intent.account, intent.receiver, effect.nonce, block, batches.actions_of(intent))

    def _key(self, intent: Intent) -> NearKey:
        return self._credentials.find(self.near.rpc.network, intent.account, intent.key).key

    async def _keep(self, machine: Outbox, entry: Entry) -> None:
        try:
            await self.journal.keep(entry)
        except MycelError as error:
            _log.warning("the journal of payments cannot be written: %s", error)
            machine.not_kept(entry)
            return
        machine.kept(entry)
        if entry.ended:
            machine.forget(entry.intent.id)
            self._pause = self._poll
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _answer(self, asked: Awaitable[Answer]) -> Answer:
        try:
            return await asked
        except NearRefused as error:
            return Silent(str(error), unknown=error.kind == UNKNOWN_TRANSACTION)
        except MycelError as error:
            return Silent(str(error))
        except Exception as error:
            _log.exception("a question about a payment failed")
            return Silent(str(error))

    async def _send(self, entry: Entry, signature: Signature) -> Answer:
        outcome = await self.near.send(Signed(signature.hash, signature.data), entry.intent.account)
        return Silent("it is under way") if outcome is None else Reported(outcome)

    async def _ask(self, entry: Entry, signatures: Sequence[Signature]) -> Answer:
        unknown = True
        for signature in signatures:
            try:
                outcome = await self.near.outcome(signature.hash, entry.intent.account)
            except NearRefused as error:
                unknown = unknown and error.kind == UNKNOWN_TRANSACTION
                continue
            if outcome is not None:
                return Reported(outcome)
            unknown = False
        return Silent("no server knows of it" if unknown else "it is under way", unknown=unknown)
