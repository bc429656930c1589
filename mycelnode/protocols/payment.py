"""The outbox: what is to be done on chain is done once, whatever crashes or gets lost. docs/protocols/payment.md has the states.

The machine says what to do next (`Outbox.next`), at most one thing for each key; the driver does it and tells what came of it. What
is kept (`Keep`) is on disk before anything else is done with that key. After a crash the machine begins with what was kept.

A signature can be carried out until its nonce is spent or its blocks are over; so nothing else is signed for the same intent before
a *final* block shows one of the two, and another server shows the same, if there is one that answers. Whether it was carried out,
`Check` tells, at a final block. Silence, refusals and "unknown transaction" decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mycelnode.protocols.payment_journal import Entry, Intent, Lane, Outcome, Signature, State

SETTLE_BLOCKS: Final = 20  # final ones, from a spent nonce until its receipts have been carried out, wherever they are
PENDING_BLOCKS: Final = 5_000  # how long who says "it is under way" is believed
BURN_BLOCKS: Final = 100  # then a burn that was not taken is signed on a newer block
BUT_GAS: Final = "nothing was spent but gas"
EXPIRED: Final = "it expired"


# --- what is to be done --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """Look at one final block: the key's nonce, and whether the intent is done. Then call `looked`."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign the intent, or with ``burn`` a transfer of nothing to oneself, with this nonce, on that block. Then call `signed`."""

    entry: Entry
    nonce: int
    sight: Sight
    burn: bool


@dataclass(frozen=True, slots=True)
class Keep:
    """Put the entry on the disk. Then call `kept`, or `not_kept`."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes, and no others. Then call `answered`."""

    entry: Entry
    signature: Signature


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask what became of these, by their hashes. Then call `answered`: with the one that is final, if there is one."""

    entry: Entry
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Confirm:
    """See whether another server shows the same; if not, what was signed is not given up. Then call `confirmed`."""

    entry: Entry
    sight: Sight


Effect = Look | Sign | Keep | Send | Ask | Confirm


# --- what came of it -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sight:
    """What one final block shows. ``nonce``: of the key; None: the account has no such key. ``done``: by `Check`; None if there is
    none, or if the contract cannot answer it. ``passing``: it is done, and the contract may take it back yet. ``over``: what was
    signed was carried out with all that it caused, and no block after this one changes what came of it.

    ``valid``: for how many blocks after this one a transaction on it can be included. ``refusal``: why what was not signed yet need
    not be signed at all, as too little money. ``confirmed``: nobody else is to be asked whether that is so.
    """

    height: int
    hash: bytes
    nonce: int | None
    done: bool | None
    valid: int
    refusal: str = ""
    confirmed: bool = False
    passing: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Reported:
    """The transaction was carried out, with all that it caused, at a final block."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Silent:
    """No answer, or one that decides nothing. ``unknown``: a server says that there is no such transaction."""

    said: str = ""
    unknown: bool = False


Answer = Reported | Silent


class Outbox:
    """All intents that have not ended. ``settle`` and ``pending`` are `SETTLE_BLOCKS` and `PENDING_BLOCKS`."""

    def __init__(
        self, entries: Iterable[Entry] = (), *, settle: int = SETTLE_BLOCKS, pending: int = PENDING_BLOCKS
    ) -> None:
        self._settle, self._pending = settle, pending
        self._entries = {entry.intent.id: entry for entry in entries}
        self._unkept: dict[str, Entry] = {}  # changed, and not on the disk yet
        self._todo: dict[str, Effect] = {}  # what comes next, where that is not a look
        self._seen: dict[str, Sight] = {}  # at the last look
        self._held: dict[
            str, int
        ] = {}  # the height from which on all looks showed it as done, although it may be taken back
        self._busy: set[Lane] = set()  # something is being done there
        self._resting: set[Lane] = set()  # nothing more can be done there for the moment

    @property
    def entries(self) -> list[Entry]:
        """All of them, in the order in which they came."""
        return list(self._entries.values())

    def find(self, name: str) -> Entry | None:
        """The entry of the intent with this id."""
        return self._entries.get(name)

    # --- what a person wants ---------------------------------------------------------------------------------------------------

    def add(self, intent: Intent) -> Entry:
        """Take an intent, which was kept already; one that is there stays as it is."""
        if intent.id not in self._entries:
            self._entries[intent.id] = Entry(intent)
            self._resting.discard(intent.lane)
        return self._entries[intent.id]

    def cancel(self, name: str, why: str) -> None:
        """It is wanted no more. What may have been sent is burnt; if it was carried out meanwhile, it is done all the same."""
        entry = self._entries[name]
        if entry.ended or entry.cancelling:
            return
        self._resting.discard(entry.intent.lane)
        if entry.state is State.WAITING:
            self._end(replace(entry, cancelling=True, why=why), State.CANCELLED, f"{why}; nothing was spent")
        else:
            self._todo.pop(name, None)
            self._change(replace(entry, cancelling=True, why=why))

    def forget(self, name: str) -> None:
        """An entry that has ended, and was kept, is needed no more."""
        entry = self._entries.get(name)
        if entry is not None and entry.ended and name not in self._unkept:
            del self._entries[name]
            self._seen.pop(name, None)
            self._held.pop(name, None)

    def wake(self) -> None:
        """Time has passed, or there is somebody new to ask."""
        self._resting.clear()

    # --- what comes next -------------------------------------------------------------------------------------------------------

    def next(self, now: int) -> list[Effect]:
        """What is to be done at ``now``: one thing at most for each key, as they are independent of each other."""
        effects: list[Effect] = []
        taken = self._busy | self._resting
        for entry in self._in_order():
            lane = entry.intent.lane
            if lane not in taken:
                taken.add(lane)  # whatever else is signed with this key waits
                effects.append(self._next(entry, now))
                self._busy.add(lane)
        return effects

    def _in_order(self) -> list[Entry]:
        """What is to be kept, then what is signed, then what waits."""
        live = [entry for name, entry in self._entries.items() if name in self._unkept or not entry.ended]
        signed = State.SIGNED
        return sorted(live, key=lambda entry: (entry.intent.id not in self._unkept, entry.state is not signed))

    def _next(self, entry: Entry, now: int) -> Effect:
        name = entry.intent.id
        if name not in self._unkept and now >= entry.intent.expires and not entry.cancelling:
            if entry.state is State.WAITING:
                self._end(entry, State.FAILED, f"{EXPIRED} before it was sent; nothing was spent")
            else:
                self._todo.pop(name, None)
                self._change(replace(entry, cancelling=True, why=EXPIRED))
        if name in self._unkept:
            return Keep(self._unkept[name])
        return self._todo.pop(name, None) or Look(entry)

    # --- what came of it -------------------------------------------------------------------------------------------------------

    def looked(self, name: str, sight: Sight | None, said: str = "") -> None:
        """What a final block shows; None: nobody could say, and why."""
        entry = self._free(name)
        if entry.ended:
            return
        if sight is None:
            self._rest(entry.saying(said))
            return
        self._seen[name] = sight
        if not sight.done:
            self._held.pop(name, None)
        if sight.done and (sight.over or not sight.passing):
            self._end(entry, State.DONE, "done")
        elif entry.state is State.SIGNED:
            self._judge(entry, sight)
        elif sight.nonce is None:
            why = f"{entry.intent.account} has no such key on this network; nothing was spent"
            self._end(entry, State.FAILED, sight.refusal or why)
        elif sight.done:
            self._hold(entry, sight)
        elif sight.refusal:
            self._end(entry, State.FAILED, sight.refusal)
        else:
            self._todo[name] = Sign(entry, sight.nonce + 1, sight, burn=False)

    def confirmed(self, name: str, sight: Sight, said: str = "") -> None:
        """Nobody contradicts what a `Confirm` was about; or ``said``: who does. What became of it is asked anew then."""
        if said:
            self._rest(replace(self._free(name), outcome=None).saying(said))
        else:
            self.looked(name, replace(sight, confirmed=True))

    def _judge(self, entry: Entry, sight: Sight) -> None:
        """It is signed, and not known to be done: can that signature still be carried out?"""
        signed, burn, name = entry.signed, entry.burn, entry.intent.id
        assert signed is not None, "what is signed has a signature"
        if sight.nonce is None or sight.nonce >= signed.nonce:
            self._spent(entry, signed, sight)
        elif sight.height > signed.until:
            if self._is_sure(entry, sight):
                self._void(entry)
        elif entry.outcome is not None and not entry.cancelling:
            self._rest(replace(entry, outcome=None))  # told of what no final block shows: it is looked for again, later
        elif sight.done and not entry.cancelling:
            self._hold(entry, sight)
        elif not entry.cancelling:
            self._todo[name] = Send(entry, signed)
        elif burn is not None and burn.base <= sight.height <= burn.base + BURN_BLOCKS:
            self._todo[name] = Send(entry, burn)
        else:  # another burn of the same nonce costs nothing more: one of them at most is carried out
            self._todo[name] = Sign(entry, signed.nonce, sight, burn=True)

    def _spent(self, entry: Entry, signed: Signature, sight: Sight) -> None:
        """The nonce is spent: by the transaction itself, by a burn, or by something else that used the key."""
        if entry.spent_at is None and not self._is_sure(entry, sight):
            return
        since = sight.height if entry.spent_at is None else min(entry.spent_at, sight.height)
        entry = self._note(replace(entry, spent_at=since))
        outcome, patience = entry.outcome, self._pending if entry.outcome is None else self._settle
        if outcome is not None and outcome.hash != signed.hash:
            if self._is_sure(entry, sight):
                self._void(entry)  # the burn has it
        elif outcome is not None and not outcome.success:
            if self._is_sure(entry, sight):
                self._end(entry, State.FAILED, outcome.said)
        elif outcome is not None and sight.done is None:
            self._end(entry, State.DONE, "done")
        elif sight.height - since > patience or (sight.over and not entry.intent.again):
            self._gone(entry, signed, sight)
        elif outcome is not None:
            self._rest(entry)  # the block that shows it is still to come
        else:
            self._todo[entry.intent.id] = Ask(entry, (signed,) if entry.burn is None else (signed, entry.burn))

    def _gone(self, entry: Entry, signed: Signature, sight: Sight) -> None:
        """Its time is over, and nobody says what became of it; unless the check does, nobody ever will."""
        if sight.done:
            self._end(entry, State.DONE, "done")
            return
        if not self._is_sure(entry, sight):
            return
        if sight.done is False and (entry.intent.again or entry.cancelling):
            self._void(entry)
        elif sight.done is False and entry.outcome is not None and entry.outcome.success:
            self._end(entry, State.FAILED, f"the contract took it back; {BUT_GAS}")
        else:
            self._end(entry, State.UNKNOWN, f"whether it was carried out is not known: nobody remembers {signed.hash}")

    def _hold(self, entry: Entry, sight: Sight) -> None:
        """Somebody else has done it, and nobody can be asked what became of that: by then nothing of it is under way."""
        since = min(self._held.setdefault(entry.intent.id, sight.height), sight.height)
        if sight.height - since > self._settle:
            self._end(entry, State.DONE, "done")
        else:
            self._rest(entry.saying("it is done by somebody else, which the contract may take back yet"))

    def _is_sure(self, entry: Entry, sight: Sight) -> bool:
        """May it be given up? One server's word is not enough, as it could be paid for again then."""
        if not sight.confirmed:
            self._todo[entry.intent.id] = Confirm(entry, sight)
        return sight.confirmed

    def _void(self, entry: Entry) -> None:
        """What was signed was not carried out, and never will be."""
        if not entry.cancelling:
            self._change(replace(entry, state=State.WAITING, signed=None, burn=None, spent_at=None, outcome=None))
        elif entry.why == EXPIRED:
            self._end(entry, State.FAILED, f"{EXPIRED} before it was carried out; {BUT_GAS}")
        else:
            self._end(entry, State.CANCELLED, f"{entry.why}; {BUT_GAS}")

    def signed(self, name: str, signature: Signature, *, burn: bool) -> None:
        """It is signed, and nobody has seen the signature: first it is kept."""
        entry = self._free(name)
        if entry.ended:  # cancelled meanwhile
            return
        entry = replace(entry, state=State.SIGNED, signatures=entry.signatures + 1)
        entry = replace(entry, burn=signature) if burn else replace(entry, signed=signature)
        self._change(entry)
        self._todo[name] = Send(entry, signature)

    def not_signed(self, name: str, why: str) -> None:
        """It could not be, as the key is not here."""
        self._rest(self._free(name).saying(why))

    def kept(self, entry: Entry) -> None:
        """This is on the disk."""
        self._busy.discard(entry.intent.lane)
        if self._unkept.get(entry.intent.id) == entry:
            del self._unkept[entry.intent.id]

    def not_kept(self, entry: Entry) -> None:
        """The disk did not take it: it is tried again, and nothing is done that depends on it."""
        self._busy.discard(entry.intent.lane)
        self._resting.add(entry.intent.lane)

    def answered(self, name: str, answer: Answer) -> None:
        """What came back after a `Send` or an `Ask`."""
        entry = self._free(name)
        if entry.ended or entry.signed is None:
            return
        if isinstance(answer, Reported):
            self._note(replace(entry, outcome=answer.outcome))  # kept with what the next look makes of it
        elif answer.unknown and entry.spent_at is not None and self._seen[name].height - entry.spent_at > self._settle:
            self._gone(entry, entry.signed, self._seen[name])
        else:
            self._rest(entry.saying(answer.said))

    # --- inside ----------------------------------------------------------------------------------------------------------------

    def _free(self, name: str) -> Entry:
        entry = self._entries[name]
        self._busy.discard(entry.intent.lane)
        return entry

    def _note(self, entry: Entry) -> Entry:
        self._entries[entry.intent.id] = entry
        return entry

    def _change(self, entry: Entry) -> None:
        self._entries[entry.intent.id] = self._unkept[entry.intent.id] = entry

    def _end(self, entry: Entry, state: State, said: str) -> None:
        self._todo.pop(entry.intent.id, None)
        self._change(replace(entry, state=state).saying(said))

    def _rest(self, entry: Entry) -> None:
        self._note(entry)
        self._resting.add(entry.intent.lane)


def stranded(entry: Entry) -> Entry:
    """An entry whose chain is gone, as a devchain that was thrown away: it ends, and is not done on another one."""
    gone = f"the chain {entry.intent.network} is gone, and another one answers at near.rpc"
    if entry.state is State.WAITING:
        return replace(entry, state=State.FAILED).saying(f"{gone}; nothing was spent")
    return replace(entry, state=State.UNKNOWN).saying(
        f"{gone}; whether it was carried out there is not known, and it is not done again here"
    )
