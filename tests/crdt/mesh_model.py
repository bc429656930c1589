"""Meshes on paper: logs as chains of heads, statements in them, who holds what; and the rules of membership once more, naively."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mycelnode.crdt.changelog import DeviceId, Head, chain, genesis
from mycelnode.crdt.membership import Common, Membership, membership
from mycelnode.crdt.statements import ENROL, FENCE, FORK, REVOKE, OnChain, Statement, derived_fork

ROOT = b"root".ljust(32)

Chain = list[Head]  # from the empty log on
Held = dict[DeviceId, list[int]]  # how many entries of each branch of each log
Rule = Callable[[bytes, Sequence[Statement], OnChain, Common], Membership]


def device(name: str) -> DeviceId:
    return name.encode().ljust(32)


class World:
    """What really happened, seen from above. Signatures are left out: they are checked before membership is asked."""

    def __init__(self) -> None:
        self.logs: dict[DeviceId, list[Chain]] = {}
        self.statements: list[Statement] = []
        self._written = 0

    def branch(self, author: DeviceId, number: int = 0) -> Chain:
        """One version of a log."""
        return self.logs.setdefault(author, [[genesis(ROOT, author)]])[number]

    def head(self, author: DeviceId, number: int = 0) -> Head:
        return self.branch(author, number)[-1]

    def write(self, author: DeviceId, count: int = 1, number: int = 0) -> Head:
        """Some transactions."""
        for _ in range(count):
            self._written += 1
            last = self.head(author, number)
            self.branch(author, number).append(Head(last.seq + 1, chain(last.hash, self._written.to_bytes(4))))
        return self.head(author, number)

    def clone(self, author: DeviceId) -> int:
        """From now on the log has another version; returns its number."""
        self.logs[author].append(list(self.branch(author)))
        return len(self.logs[author]) - 1

    def say(
        self, author: bytes, kind: str, subject: DeviceId, head: Head | None = None, *, number: int = 0
    ) -> Statement:
        """A statement, by the root or as the next entry of its author's log."""
        position = None
        if author != ROOT:
            last = self.head(author, number)
            position = Head(last.seq + 1, last.hash)
        statement = Statement(kind, subject, head, author, position, {"n": len(self.statements)})
        if statement.at is not None:
            self.branch(author, number).append(statement.at)
        self.statements.append(statement)
        return statement

    def enrol(self, author: bytes, *subjects: DeviceId) -> None:
        for subject in subjects:
            self.say(author, ENROL, subject)

    def revoke(self, author: bytes, subject: DeviceId, head: Head | None = None) -> Statement:
        """At ``head``, or at the end of the log."""
        return self.say(author, REVOKE, subject, head or self.head(subject))

    def everything(self) -> Held:
        return {author: [len(path) - 1 for path in paths] for author, paths in self.logs.items()}

    def judge(
        self, rule: Rule = membership, statements: Iterable[Statement] | None = None, held: Held | None = None
    ) -> Membership:
        """The answer of ``rule`` to what somebody holds: everything, unless told."""
        view = View(self.logs, self.everything() if held is None else held)
        known = self.statements if statements is None else list(statements)
        return rule(ROOT, [*known, *view.forks()], view.on_chain, view.common)


class View:
    """The look-ups of a device that holds these parts of the logs."""

    def __init__(self, logs: Mapping[DeviceId, list[Chain]], held: Held) -> None:
        self.paths = {
            author: [logs[author][number][: count + 1] for number, count in enumerate(held[author])] for author in held
        }

    def _path(self, author: DeviceId, head: Head) -> Chain | None:
        found = (
            path
            for path in self.paths.get(author, [[genesis(ROOT, author)]])
            if path[head.seq : head.seq + 1] == [head]
        )
        return next((path[: head.seq + 1] for path in found), None)

    def on_chain(self, author: DeviceId, at: Head, head: Head) -> bool | None:
        if at.seq >= head.seq:
            return at == head
        path = self._path(author, head)
        return None if path is None else path[at.seq] == at

    def common(self, author: DeviceId, one: Head, other: Head) -> Head | None:
        first, second = self._path(author, one), self._path(author, other)
        return None if first is None or second is None else shared(first, second)

    def forks(self) -> list[Statement]:
        """Derived from the versions held, as `Replica` does."""
        forks = []
        for author, paths in self.paths.items():
            different = list(map(list, dict.fromkeys(map(tuple, paths))))
            tips = [path for path in different if not any(path == other[: len(path)] != other for other in different)]
            if len(tips) > 1:
                forks.append(
                    derived_fork(author, min((shared(tips[0], tip) for tip in tips[1:]), key=lambda head: head.seq))
                )
        return forks


def shared(one: Chain, other: Chain) -> Head:
    """The last head of both chains."""
    return [mine for mine, theirs in zip(one, other, strict=False) if mine == theirs][-1]


Summary = tuple[Any, ...]


def summary(answer: Membership) -> Summary:
    """What devices must agree about."""
    fences = {who: fence if fence is not None and fence.seq else None for who, fence in answer.fences.items()}
    return frozenset(answer.enrolled), answer.members, frozenset(answer.revoked), frozenset(fences.items())


def by_the_book(world: World) -> Summary:
    """The rules of docs/protocols/membership.md as literally as can be, for one who sees everything."""
    statements = world.statements
    chains = world.logs

    def prefixes(author: DeviceId, heads: Iterable[Head | None]) -> set[Head]:
        """All entries that lie at or before every one of these heads."""
        common: set[Head] | None = None
        for head in heads:
            path = next((p[: head.seq + 1] for p in chains.get(author, []) if head in p), []) if head else []
            common = set(path) if common is None else common & set(path)
        return common or set()

    def fence(subject: DeviceId, by: Iterable[Statement]) -> list[Head | None]:
        return [s.head for s in by if s.subject == subject and s.kind in (REVOKE, FENCE)]

    by_root = [s for s in statements if s.author == ROOT]

    def in_time(s: Statement, heads: list[Head | None]) -> bool:
        return s.author == ROOT or not heads or s.at in prefixes(s.author, heads)

    def closure(counts: Callable[[Statement], bool]) -> set[DeviceId]:
        reached: set[DeviceId] = {ROOT}
        while True:
            more = {s.subject for s in statements if s.kind == ENROL and s.author in reached and counts(s)} - reached
            if not more:
                return reached - {ROOT}
            reached |= more

    ever = closure(lambda s: in_time(s, fence(s.author, by_root)))
    speaking = [
        s for s in statements if s.author == ROOT or (s.author in ever and in_time(s, fence(s.author, by_root)))
    ]
    revoked = {s.subject for s in speaking if s.kind == REVOKE}

    def fences_of(subject: DeviceId) -> list[Head | None]:
        return fence(subject, by_root) or fence(subject, speaking)

    def counts(s: Statement) -> bool:
        root_fenced = bool(fence(s.author, by_root))
        return in_time(s, fences_of(s.author)) if s.author in revoked or root_fenced else True

    enrolled = closure(counts)
    forks = {
        s.subject: s
        for s in View(chains, world.everything()).forks()
        if s.subject in enrolled and s.subject not in revoked
    }
    fences = {}
    for subject in enrolled:
        heads = fences_of(subject) + ([forks[subject].head] if subject in forks else [])
        if heads:
            last = max(prefixes(subject, heads), key=lambda head: head.seq, default=None)
            fences[subject] = last if last is not None and last.seq else None
    members = frozenset(enrolled - revoked - forks.keys())
    return frozenset(enrolled), members, frozenset(revoked & enrolled), frozenset(fences.items())


# --- random meshes ---------------------------------------------------------------------------------------------------

NAMES = "abcdef"


def random_world(rng: random.Random, steps: int) -> World:
    """A mesh with revocations, also mutual and by the root, clones and thieves, who write whatever they are told."""
    world = World()
    devices = [device(name) for name in NAMES]
    first, *_ = devices
    world.enrol(ROOT, first)
    known = [first]
    for _ in range(steps):
        author = rng.choice(known)
        number = rng.randrange(len(world.logs.get(author, [0])))
        what = rng.random()
        if what < 0.35 and len(known) < len(devices):
            subject = devices[len(known)]
            known.append(subject)
            world.say(author, ENROL, subject, number=number)
        elif what < 0.4:
            world.say(author, ENROL, rng.choice(devices), number=number)  # a second time, or itself
        elif what < 0.7:
            world.write(author, rng.randint(1, 3), number)
        elif what < 0.77 and len(world.logs.get(author, [0])) < 3:
            world.branch(author)
            world.clone(author)
        else:
            subject = rng.choice(known)
            world.branch(subject)
            path = rng.choice(world.logs[subject])
            head = path[-1] if rng.random() < 0.5 else rng.choice(path)
            kind = REVOKE if rng.random() < 0.8 else FENCE
            world.say(
                ROOT if rng.random() < 0.25 else author,
                kind,
                subject,
                None if rng.random() < 0.1 else head,
                number=number,
            )
    return world


def disagreement(world: World, rule: Rule, rng: random.Random, orders: int = 4) -> str | None:
    """The check: what is wrong with ``rule``'s answers about ``world``, to devices that got it in any order; None if nothing is."""
    expected = by_the_book(world)
    for _ in range(orders):
        arriving = world.statements + rng.choices(world.statements, k=3)
        rng.shuffle(arriving)
        found = summary(world.judge(rule, arriving))
        if found != expected:
            return next(
                f"{name}: {mine} instead of {theirs}"
                for name, mine, theirs in zip(
                    ("enrolled", "members", "revoked", "fences"), found, expected, strict=True
                )
                if mine != theirs
            )
    return None


# --- rules that look right and are wrong -----------------------------------------------------------------------------


def revoked_cannot_revoke(
    root: bytes, statements: Sequence[Statement], on_chain: OnChain, common: Common
) -> Membership:
    """Wrong: a revocation is refused because its author is already revoked when it arrives."""
    out: set[bytes] = set()
    kept = []
    for s in statements:
        if s.kind == REVOKE:
            if s.author in out:
                continue
            out.add(s.subject)
        kept.append(s)
    return membership(root, kept, on_chain, common)


def members_enrol(root: bytes, statements: Sequence[Statement], on_chain: OnChain, common: Common) -> Membership:
    """Wrong: an enrolment counts if its author is a member when it arrives."""
    kept: list[Statement] = []
    for s in statements:
        if s.kind != ENROL or s.author == root or s.author in membership(root, kept, on_chain, common).members:
            kept.append(s)
    return membership(root, kept, on_chain, common)


def forks_void(root: bytes, statements: Sequence[Statement], on_chain: OnChain, common: Common) -> Membership:
    """Wrong: a fork voids the enrolments beyond it."""
    forks = {s.subject: s.head for s in statements if s.kind == FORK}

    def beyond(s: Statement) -> bool:
        head = forks.get(s.author)
        return head is not None and s.at is not None and on_chain(s.author, s.at, head) is not True

    return membership(root, [s for s in statements if s.kind != ENROL or not beyond(s)], on_chain, common)


def fences_silence(root: bytes, statements: Sequence[Statement], on_chain: OnChain, common: Common) -> Membership:
    """Wrong: what a device said beyond a device's fence on it is void, whatever it is."""
    heads = [(s.subject, s.head) for s in statements if s.kind in (REVOKE, FENCE)]

    def silenced(s: Statement) -> bool:
        fences = [head for subject, head in heads if subject == s.author]
        return s.at is not None and not all(head is not None and on_chain(s.author, s.at, head) for head in fences)

    return membership(root, [s for s in statements if not silenced(s)], on_chain, common)


WRONG_RULES = (revoked_cannot_revoke, members_enrol, forks_void, fences_silence)
