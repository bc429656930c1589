"""When to dial which member at which addresses: the machine behind devices finding each other again (docs/protocols/finding.md).

Only members are ever dialled, whoever else is heard of. Times are seconds of one monotonic clock; randomness is injected.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MAX_ADDRESSES = 16  # tried at once
MAX_LAN = 8  # of them from the local network, where anybody may claim anything: the register keeps its share
MAX_STRANGERS = 64  # heard of on the local network, kept in case they become members
MAX_REASON_CHARS = 200
FIRST_SECONDS = 1.0  # the first wait; doubled with every failure
LONGEST_SECONDS = 60.0
JITTER = 0.25  # of a wait, added at random: two devices that lost each other must not keep step
LASTING_SECONDS = 10.0  # a connection that was over sooner counts as a failure, else it would be dialled without pause
HINT_GAP_SECONDS = 2.0  # between attempts, however many hints come
LOST_SECONDS = 60.0  # an attempt of which nothing was heard again
FAILURES_TO_EXPLAIN = 3

# What a failed address says, by a word in it (see `describe_failure` of the p2p package), and what that means to people.
_REFUSED, _SILENT, _NO_WAY, _OTHER_DEVICE, _NOT_LET_IN = range(5)
_KINDS: Final = (
    ("does not let us in", _NOT_LET_IN),
    ("does not take us", _NOT_LET_IN),
    ("no member of this mesh", _NOT_LET_IN),
    ("hung up", _NOT_LET_IN),
    ("no device of ours", _REFUSED),
    ("another device", _OTHER_DEVICE),
    ("refused", _REFUSED),
    ("no answer", _SILENT),
    ("no route", _NO_WAY),
    ("no network", _NO_WAY),
)
_HINTS: Final = {
    _REFUSED: "something answers at that address but not mycelnode: is `mycelnode run` running there?",
    _SILENT: "no answer: is the device on the same network, and does its firewall let the port in?",
    _NO_WAY: "no network leads there: is this device connected to one?",
    _OTHER_DEVICE: "another device has that address now: are both on the same network, and is `mycelnode run` running there?",
    _NOT_LET_IN: "it answers but does not talk to this device: do both list each other in `mycelnode devices`?",
}
_HINT_MIXED: Final = (
    "some addresses refuse and others do not answer: is `mycelnode run` running there, on the same network?"
)
_HINT_NO_ADDRESS: Final = "no address of it is known yet: run `mycelnode run` on it while both are on the same network"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Dial ``peer`` at all of ``addrs``; the likeliest comes first."""

    peer: str
    addrs: tuple[str, ...]


@dataclass(slots=True)
class _Member:
    """What is known of one member. It is connected, being tried, or waiting for ``due``."""

    since: float  # when it was last lost
    due: float
    register: tuple[str, ...] = ()
    lan: tuple[str, ...] = ()
    good: str | None = None
    connected_at: float | None = None
    doubtful: bool = False  # the network changed under its connection
    trying: bool = False
    stirred: bool = False  # something new was heard during the attempt
    tried_at: float = -math.inf
    step: int = 0  # how often the wait was doubled
    failures: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def addrs(self) -> tuple[str, ...]:
        first = () if self.good is None else (self.good,)
        return tuple(dict.fromkeys((*first, *self.lan, *self.register)))[:MAX_ADDRESSES]


class Reconnect:
    """The machine. ``random()`` is uniform in [0, 1)."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._members: dict[str, _Member] = {}
        self._strangers: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    # --- what is known -----------------------------------------------------------------------------------------------------

    def members(self, register: Mapping[str, Sequence[str]], good: Mapping[str, str], now: float) -> None:
        """The other members, with their addresses in the mesh's register and the one that answered last, as far as known.

        Whoever is missing is forgotten; whoever is new, or has a new address in the register, is tried soon.
        """
        for peer in self._members.keys() - register.keys():
            del self._members[peer]
        for peer, addrs in register.items():
            member = self._members.get(peer)
            if member is None:
                member = self._members[peer] = _Member(since=now, due=now, lan=self._strangers.pop(peer, ()))
            if not set(addrs) <= set(member.register):
                self._stir(member, now)
            member.register = tuple(addrs)
            member.good = good.get(peer, member.good)

    def hint(self, peer: str, addrs: Sequence[str], now: float) -> None:
        """``peer`` was heard on the local network, as being at ``addrs``: if it is a missing member, it is tried soon."""
        heard = tuple(addrs[:MAX_LAN])
        member = self._members.get(peer)
        if member is not None:
            member.lan = heard
            self._stir(member, now)
            return
        self._strangers.pop(peer, None)
        self._strangers[peer] = heard
        if len(self._strangers) > MAX_STRANGERS:
            self._strangers.popitem(last=False)

    # --- what happens ------------------------------------------------------------------------------------------------------

    def connected(self, peer: str, now: float, addr: str | None = None) -> None:
        """A connection with ``peer`` stands, whoever dialled; ``addr`` is where we reached it, if it was us."""
        member = self._members.get(peer)
        if member is None:
            return
        if member.connected_at is None:
            member.connected_at = now
        member.trying, member.failures, member.reasons, member.due = False, 0, {}, math.inf
        member.doubtful = False
        member.good = addr or member.good

    def disconnected(self, peer: str, now: float) -> None:
        """The connection with ``peer`` is over."""
        member = self._members.get(peer)
        if member is None or member.connected_at is None:
            return
        lasted = now - member.connected_at >= LASTING_SECONDS
        member.connected_at, member.since = None, now
        if member.doubtful:
            member.doubtful, member.due = False, now
            return
        member.step = 0 if lasted else member.step + 1
        member.due = now + (FIRST_SECONDS * self._random() if lasted else self._wait(member))

    def failed(self, peer: str, reasons: Mapping[str, str], now: float) -> None:
        """The attempt on ``peer`` came to nothing; ``reasons`` says why, by address."""
        member = self._members.get(peer)
        if member is None or member.connected_at is not None:
            return
        member.failures += 1
        member.step += 1
        member.reasons = {addr: why[:MAX_REASON_CHARS] for addr, why in list(reasons.items())[:MAX_ADDRESSES]}
        member.due = now + self._wait(member)
        member.trying = False
        if member.stirred:
            self._stir(member, now)

    def network_changed(self, now: float) -> None:
        """This device has other addresses, or slept: what failed before says nothing now; everybody missing is tried at once, and
        whose connection ends now, too."""
        for member in self._members.values():
            member.step, member.tried_at = 0, -math.inf
            member.doubtful = member.connected_at is not None
            self._stir(member, now)

    # --- what to do --------------------------------------------------------------------------------------------------------

    def due(self, now: float) -> list[Attempt]:
        """The attempts to begin now. Each is to be answered with `connected` or `failed`; until then the peer is not due again,
        or only after `LOST_SECONDS`."""
        ready = [peer for peer, member in self._members.items() if member.due <= now and member.addrs]
        return [self.attempt(peer, now) for peer in ready]

    def attempt(self, peer: str, now: float) -> Attempt:
        """An attempt on ``peer`` now, due or not, because a person asked for it; without addresses if none may be dialled."""
        member = self._members.get(peer)
        if member is None:
            return Attempt(peer, ())
        if member.connected_at is None:
            member.trying, member.stirred, member.tried_at, member.due = True, False, now, now + LOST_SECONDS
        return Attempt(peer, member.addrs)

    def untried(self, peer: str) -> bool:
        """Is an address known that the last attempt did not have?"""
        member = self._members.get(peer)
        return member is not None and not set(member.addrs) <= member.reasons.keys()

    def next_due(self, now: float) -> float:
        """When `due` will next have something to do, ``now`` at the earliest; infinity if nothing is waited for."""
        return max(now, min((member.due for member in self._members.values() if member.addrs), default=math.inf))

    def report(self, peer: str, now: float) -> dict[str, Any] | None:
        """Why ``peer`` is missing, or None if it is connected, or no member.

        ``tried`` {address: reason} of the last attempt, ``failures``, ``since`` (monotonic seconds), ``hint`` (a sentence or None).
        """
        member = self._members.get(peer)
        if member is None or member.connected_at is not None:
            return None
        return {
            "tried": dict(member.reasons),
            "failures": member.failures,
            "since": member.since,
            "hint": _explain(member),
        }

    def _wait(self, member: _Member) -> float:
        doubled = FIRST_SECONDS * 2.0 ** min(member.step - 1, 10)
        return min(LONGEST_SECONDS, doubled) * (1 + JITTER * self._random())

    def _stir(self, member: _Member, now: float) -> None:
        """Something new is known of a member: try it soon, but not in step with whoever sends hints."""
        if member.connected_at is not None:
            return
        if member.trying:
            member.stirred = True
        else:
            member.due = min(member.due, max(now, member.tried_at + HINT_GAP_SECONDS))


def _explain(member: _Member) -> str | None:
    if not member.addrs:
        return _HINT_NO_ADDRESS
    if member.failures < FAILURES_TO_EXPLAIN:
        return None
    kinds = {next((kind for word, kind in _KINDS if word in why), None) for why in member.reasons.values()}
    telling = kinds - {_NO_WAY} or kinds  # an address of another network says little
    if len(telling) == 1:
        only = telling.pop()
        return None if only is None else _HINTS[only]
    return _HINT_MIXED if telling == {_REFUSED, _SILENT} else None
