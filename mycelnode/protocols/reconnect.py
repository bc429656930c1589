"""When to dial which member, and where: a pure machine. docs/protocols/finding.md has its states.

A member that is not connected is always due again within `MAX_WAIT` (and jitter). What promises more comes sooner: a record on the local
network, a changed register or a change of our own network makes it due at once. ``now`` is in monotonic seconds throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

FIRST_WAIT: Final = 1.0  # seconds after the first failure; doubled with each further one
MAX_WAIT: Final = 60.0
JITTER: Final = 0.25  # of a wait, so that devices that lost each other do not dial in step
HINT_GAP: Final = 2.0  # between attempts that hints cause: anybody on the local network can send them
MAX_TRIED: Final = 16  # addresses in one attempt
PATIENCE: Final = 3  # failures in a row before a person is given a hint


class Attempt(NamedTuple):
    """Dial ``peer`` at ``addrs``, most promising first."""

    peer: str
    addrs: list[str]


@dataclass(slots=True)
class _Member:
    """What is known of one member."""

    good: str | None = None  # the address that answered last
    register: Sequence[str] = ()
    nearby: Sequence[str] = ()  # from the local network
    connected: bool = False
    trying: bool = False
    due: float = 0.0
    began: float = float("-inf")  # the last attempt
    failures: int = 0
    failing_since: float | None = None
    tried: Mapping[str, str] = field(default_factory=dict)

    def addresses(self) -> list[str]:
        """All, most promising first."""
        first = [self.good] if self.good else []
        return list(dict.fromkeys([*first, *self.nearby, *self.register]))[:MAX_TRIED]


class Reconnect:
    """The machine of one device. ``random`` returns numbers in [0, 1)."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._members: dict[str, _Member] = {}
        self._nearby: dict[str, Sequence[str]] = {}  # records of peers that are no members (yet)

    # --- what is learned -------------------------------------------------------------------------------------------------

    def members(self, known: Mapping[str, Sequence[str]], good: Mapping[str, str], now: float) -> None:
        """The other members, with their addresses in the mesh register, and where some answered last."""
        for peer in self._members.keys() - known.keys():
            del self._members[peer]
        for peer, register in known.items():
            member = self._members.get(peer)
            if member is None:
                member = self._members[peer] = _Member(nearby=self._nearby.pop(peer, ()), due=now)
            elif list(register) != list(member.register):
                self._sooner(member, now)
            member.register = list(register)
            member.good = good.get(peer, member.good)

    def hint(self, peer: str, addrs: Sequence[str], now: float) -> None:
        """Somebody on the local network says that ``peer`` is at ``addrs``."""
        member = self._members.get(peer)
        if member is None:
            if peer in self._nearby or len(self._nearby) < 256:
                self._nearby[peer] = list(addrs)
            return
        member.nearby = list(addrs)
        self._sooner(member, now)

    def network_changed(self, now: float) -> None:
        """Our own addresses changed, or we slept: forget how long to wait, and try everybody now."""
        for member in self._members.values():
            member.failures, member.due = 0, now

    @staticmethod
    def _sooner(member: _Member, now: float) -> None:
        member.due = min(member.due, max(now, member.began + HINT_GAP))

    # --- what happened ---------------------------------------------------------------------------------------------------

    def connected(self, peer: str, now: float) -> None:
        """A session with ``peer`` began."""
        member = self._members.get(peer)
        if member is not None:
            member.connected, member.trying = True, False
            member.failures, member.failing_since, member.tried = 0, None, {}

    def disconnected(self, peer: str, now: float) -> None:
        """The session ended: try again at once, the line may only have hiccuped."""
        member = self._members.get(peer)
        if member is not None:
            member.connected, member.due = False, max(now, member.began + FIRST_WAIT)

    def failed(self, peer: str, tried: Mapping[str, str], now: float) -> None:
        """An attempt is over without a session; ``tried``: what each address answered."""
        member = self._members.get(peer)
        if member is None:
            return
        member.trying, member.tried = False, dict(tried)
        member.failures += 1
        if member.failing_since is None:
            member.failing_since = now
        wait = min(MAX_WAIT, FIRST_WAIT * 2 ** min(member.failures - 1, 16))
        member.due = now + wait * (1 + JITTER * self._random())

    # --- what to do ------------------------------------------------------------------------------------------------------

    def due(self, now: float) -> list[Attempt]:
        """Whom to dial now. Each attempt ends with `connected` or `failed`."""
        peers = [peer for peer, m in self._members.items() if m.due <= now and not (m.connected or m.trying)]
        return [self.attempt(peer, now) for peer in peers]

    def attempt(self, peer: str, now: float) -> Attempt:
        """The attempt for a peer, due or not."""
        member = self._members.get(peer)
        if member is None:
            return Attempt(peer, [])
        member.trying, member.began = True, now
        return Attempt(peer, member.addresses())

    def next_due(self, now: float) -> float:
        """When `due` should be asked again, if nothing happens before."""
        waiting = [m.due for m in self._members.values() if not (m.connected or m.trying)]
        return max(now, min(waiting, default=now + MAX_WAIT))

    # --- what to tell people ---------------------------------------------------------------------------------------------

    def report(self, peer: str, now: float) -> dict[str, Any] | None:
        """``{"tried": {address: answer}, "failures", "seconds": since the first failure, "hint": sentence | None}``; None: all well."""
        member = self._members.get(peer)
        if member is None or member.connected or not member.failures:
            return None
        since = now if member.failing_since is None else member.failing_since
        hint = self._hint_for(member) if member.failures >= PATIENCE else None
        return {"tried": dict(member.tried), "failures": member.failures, "seconds": round(now - since, 1), "hint": hint}

    @staticmethod
    def _hint_for(member: _Member) -> str:
        answers = set(member.tried.values())
        if not member.tried:
            return "no address of it is known: run `mycelnode run` on it, on the same network as this device"
        if "" in member.tried:
            return f"it answered and then: {member.tried['']}"
        if answers == {"refused"}:
            return "something answers at its address, but not mycelnode: is `mycelnode run` running there?"
        if "another device answers there" in answers:
            return "another device has its address now: are both devices on the same network?"
        return "no answer: is it switched on, on the same network as this device, and does its firewall let mycelnode's port in?"
