"""`membership(statements)`: who belongs to the mesh, and whose entries count up to where. One pure function.

It reads the *set* of statements held (and, through two look-ups, the chains of hashes held), never the order in which they
came, so that all healthy devices reach the same answer. The rules in prose, with worked examples:
docs/protocols/membership.md; where they go beyond their source: docs/decisions/0003-membership-readings.md.

The rules are stratified: root statements; who was *ever enrolled*; which revocations count; which enrolments count; fences. Each
stratum depends on those before it alone, so each least fixed point is a plain worklist.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.statements import AWAY, ENROL, FENCE, FORK, REVOKE, OnChain, Statement

Common = Callable[[DeviceId, Head, Head], "Head | None"]
"""``common(device, one, other)``: the last entry that lies on both chains, or None while what is held does not tell."""


@dataclass(frozen=True)
class Membership:
    """The answer. ``fences``: device → the last entry that counts, for those of whose log not all counts (None: nothing does)."""

    enrolled: Mapping[DeviceId, Statement] = field(default_factory=dict)
    members: frozenset[DeviceId] = frozenset()
    revoked: Mapping[DeviceId, tuple[Statement, ...]] = field(default_factory=dict)
    forked: Mapping[DeviceId, Head | None] = field(default_factory=dict)
    fences: Mapping[DeviceId, Head | None] = field(default_factory=dict)
    away: frozenset[DeviceId] = frozenset()
    ignored: Mapping[bytes, str] = field(default_factory=dict)

    def reason(self, device: DeviceId) -> str:
        """Why part of a device's log does not count, for people."""
        if device not in self.enrolled:
            return "not enrolled"
        if device in self.revoked:
            return "revoked"
        if device in self.forked:
            return "cloned"
        return "fenced" if device in self.fences else ""


def membership(root: bytes, statements: Iterable[Statement], on_chain: OnChain, common: Common) -> Membership:
    """Fold the statements held. ``root`` is the mesh's root public key; signatures were checked when the statements came in."""
    judge = _Judge(root, statements, on_chain, common)
    return judge.result()


def beyond_root_fences(
    root: bytes, statements: Iterable[Statement], on_chain: OnChain, common: Common
) -> Callable[[DeviceId, Head], bool]:
    """``beyond(author, at)``: is an entry surely or possibly beyond a root-signed fence on its author?"""
    limits = _Judge(root, [s for s in statements if s.author == root], on_chain, common).root_limits
    return lambda author, at: author in limits and not limits[author].within(at)


class _Limit:
    """Several heads of one log, as one question: does an entry lie on the chains that end in all of them?

    Reduced once, so that a flood of statements costs their number and not the product of two. Heads whose chains are held come down
    to their common prefix; of the others nothing is known but their sequence numbers.
    """

    def __init__(self, device: DeviceId, heads: Sequence[Head | None], on_chain: OnChain, common: Common) -> None:
        self.device, self.on_chain = device, on_chain
        self.nothing = any(head is None or head.seq == 0 for head in heads)
        known = [head for head in heads if head is not None and on_chain(device, Head(0, b""), head) is not None]
        self.unknown = {head for head in heads if head is not None} - set(known)
        self.lowest = min((head.seq for head in self.unknown), default=0)
        self.prefix: Head | None = None
        for head in sorted(known):
            self.prefix = head if self.prefix is None else common(device, self.prefix, head)
            self.nothing = self.nothing or self.prefix is None or self.prefix.seq == 0

    def within(self, at: Head | None) -> bool:
        """Surely on all of them: what is not known yet is not."""
        on_prefix = self.prefix is None or (at is not None and self.on_chain(self.device, at, self.prefix) is True)
        return not self.nothing and at is not None and on_prefix and self.unknown <= {at}

    def surely_beyond(self, at: Head | None) -> bool:
        """Surely not on one of them.

        For enrolments the unknown is in favour: else a device that was away while its enroller wrote and was revoked would take
        nobody for a member, itself included, and nobody could bring it the log that tells.
        """
        if self.nothing or at is None:
            return True
        if self.prefix is not None and self.on_chain(self.device, at, self.prefix) is False:
            return True
        same = {head for head in self.unknown if head.seq == at.seq}
        return bool(self.unknown) and (at.seq > self.lowest or not same <= {at})


class _Judge:
    """The strata, in order."""

    def __init__(self, root: bytes, statements: Iterable[Statement], on_chain: OnChain, common: Common) -> None:
        self.root, self.on_chain, self.common = root, on_chain, common
        by_kind: dict[str, dict[bytes, Statement]] = defaultdict(dict)
        for statement in statements:
            by_kind[statement.kind][statement.id] = statement
        self.kinds = {kind: [held[key] for key in sorted(held)] for kind, held in by_kind.items()}
        self.root_fences = self._heads(s for s in self._of(REVOKE, FENCE) if s.author == root)
        self.root_limits = self._limits(self.root_fences)
        self.ever = self._reached(lambda s: not self.beyond_root_fence(s))
        self.revocations = [s for s in self._of(REVOKE) if self.speaks(s)]
        self.device_fences = self._heads(s for s in self._of(REVOKE, FENCE) if s.author != root and self.speaks(s))
        self.device_limits = self._limits(self.device_fences)
        self.revoked = {s.subject for s in self.revocations}

    def _of(self, *kinds: str) -> Iterable[Statement]:
        return (statement for kind in kinds for statement in self.kinds.get(kind, ()))

    def _limits(self, fences: Mapping[DeviceId, Sequence[Head | None]]) -> dict[DeviceId, _Limit]:
        return {device: _Limit(device, heads, self.on_chain, self.common) for device, heads in fences.items()}

    @staticmethod
    def _heads(statements: Iterable[Statement]) -> dict[DeviceId, list[Head | None]]:
        heads: dict[DeviceId, dict[Head | None, None]] = defaultdict(dict)
        for statement in statements:
            heads[statement.subject][statement.head] = None
        return {subject: list(found) for subject, found in heads.items()}

    # --- the rules, one predicate each ---------------------------------------------------------------------------------------

    def beyond_root_fence(self, statement: Statement) -> bool:
        """Is it beyond a root-signed fence on its author? The root's own statements never are."""
        fence = self.root_limits.get(statement.author)
        return fence is not None and not fence.within(statement.at)

    def speaks(self, statement: Statement) -> bool:
        """Rule 2: may this revocation or fence count? Fences by devices never void it."""
        return statement.author == self.root or (
            statement.author in self.ever and not self.beyond_root_fence(statement)
        )

    def enrolment_counts(self, statement: Statement) -> bool:
        """Rule 3, besides that its author's own enrolment counts: not beyond its author's revocation fence."""
        author = statement.author
        if author == self.root or (author not in self.revoked and author not in self.root_fences):
            return True
        fence = self.root_limits.get(author) or self.device_limits.get(author)
        return fence is None or not fence.surely_beyond(statement.at)

    def fence_of(self, device: DeviceId, forked: Mapping[DeviceId, Head | None]) -> list[Head | None]:
        """Rules 4 and 5: the heads whose common prefix is what counts of ``device``'s log; empty: all of it."""
        if self.root_fences.get(device):
            heads = list(self.root_fences[device])
        else:
            heads = list(self.device_fences.get(device, ()))
        if device in forked and device not in self.revoked:
            heads.append(forked[device])
        return heads

    # --- putting them together -------------------------------------------------------------------------------------------------

    def _reached(self, counts: Callable[[Statement], bool]) -> dict[DeviceId, Statement]:
        """The devices that enrolments lead to from the root, through those that ``counts`` accepts; the least fixed point."""
        by_author: dict[bytes, list[Statement]] = defaultdict(list)
        for statement in self._of(ENROL):
            by_author[statement.author].append(statement)
        reached: dict[DeviceId, Statement] = {}
        waiting = [self.root]
        while waiting:
            layer: dict[DeviceId, Statement] = {}
            for author in waiting:
                for statement in by_author.pop(author, ()):
                    subject = statement.subject
                    if subject not in reached and counts(statement):
                        best = layer.get(subject)
                        if best is None or statement.id < best.id:
                            layer[subject] = statement
            reached.update(layer)
            waiting = list(layer)
        return reached

    def _prefix(self, device: DeviceId, heads: Iterable[Head | None]) -> Head | None:
        """The common prefix of several heads; while it is not known how they lie to each other, the shortest."""
        lowest: Head | None = None
        for index, head in enumerate(sorted(heads, key=lambda h: (0, b"") if h is None else (h.seq, h.hash))):
            if head is None or head.seq == 0:
                return None
            if index == 0:
                lowest = head
                continue
            assert lowest is not None
            shared = self.common(device, lowest, head)
            if shared is not None:
                lowest = min(lowest, shared, key=lambda h: h.seq)
        return lowest

    def result(self) -> Membership:
        """All strata, as one value that compares equal when nothing that matters changed."""
        enrolled = self._reached(self.enrolment_counts)
        forked = {s.subject: s.head for s in self._of(FORK) if s.subject in enrolled}
        fences = {}
        for device in enrolled:
            heads = self.fence_of(device, forked)
            if heads:
                fences[device] = self._prefix(device, heads)
        revoked: dict[DeviceId, tuple[Statement, ...]] = {}
        for subject, by in groupby(sorted(self.revocations, key=attrgetter("subject")), attrgetter("subject")):
            if subject in enrolled:
                revoked[subject] = tuple(by)
        members = enrolled.keys() - self.revoked - (forked.keys() - self.revoked)
        away = frozenset(s.subject for s in self._of(AWAY) if s.author == self.root)
        return Membership(enrolled, frozenset(members), revoked, forked, fences, away, self._ignored(enrolled))

    def _ignored(self, enrolled: Mapping[DeviceId, Statement]) -> dict[bytes, str]:
        ignored = {}
        for s in self._of(REVOKE, FENCE):
            if not self.speaks(s):
                ignored[s.id] = "its author was never enrolled, or it lies beyond a fence by the phrase"
        for s in self._of(ENROL):
            if s.author != self.root and (s.author not in enrolled or not self.enrolment_counts(s)):
                ignored[s.id] = "its author could not enrol devices any more"
        return ignored
