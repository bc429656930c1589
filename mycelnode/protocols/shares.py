"""How much each device may say about who belongs to the mesh, so that one of them cannot use up what is kept for all.

What is kept of an author is a function of what it said, not of the order in which that came: of more than its share, first what
stands in its log as it is held here, in the order of the log; then what is not known to stand there, in the order of the
hashes. Devices in step hold the same logs, so they keep the same statements. An author cannot push out what it once wrote: an
earlier place in its log is taken. And what it only claims to have written it cannot renew for ever: each lower hash is harder to
find than the one before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.statements import ENROL, Statement

MAX_ENROLMENTS = 100  # by one device
MAX_OTHERS = 400  # statements of one device besides: it can put out whom several others have let in
MAX_BY_ROOT = 500  # of either kind: the phrase heals what a flood has clogged
MAX_STATEMENTS = 10_000  # of all devices: kept for ever, so bounded
ALWAYS = 16  # of each author, whatever the others have used up, unless it lets devices in: a flood must not silence who stops it
MAX_LEFT_OUT = 2 * MAX_STATEMENTS  # ids remembered of statements that found no place

Account = tuple[bytes, bool]  # author, and is it for enrolments?


class Shares:
    """What is held, by author; and the ids of what was left out, as long as somebody may still ask for it.

    ``in_log(device, head)``: is that entry held? ``tips(device)``: what changes whenever more of the device's log is held.
    """

    def __init__(
        self, root: bytes, in_log: Callable[[DeviceId, Head], bool], tips: Callable[[DeviceId], object]
    ) -> None:
        self.root, self._in_log, self._tips = root, in_log, tips
        self._held: dict[Account, dict[bytes, Statement]] = defaultdict(dict)
        self._count = 0  # by devices
        self._standing: set[bytes] = set()  # of those held: ids of what surely stands in its author's log
        self._missing: dict[bytes, object] = {}  # of those held: not in the log, when it had these tips
        self.left_out: dict[bytes, None] = {}

    def add(self, statement: Statement) -> None:
        """It is held now."""
        self._held[_account(statement)][statement.id] = statement
        self._count += statement.author != self.root
        self.left_out.pop(statement.id, None)

    def remove(self, statement: Statement) -> None:
        """It is held no more."""
        self._count -= self._held[_account(statement)].pop(statement.id, None) is not None
        self._standing.discard(statement.id)
        self._missing.pop(statement.id, None)
        self.leave_out([statement])

    def leave_out(self, statements: Iterable[Statement]) -> None:
        """These found no place."""
        self.left_out.update((statement.id, None) for statement in statements)
        while len(self.left_out) > MAX_LEFT_OUT:
            del self.left_out[next(iter(self.left_out))]

    def by(self, author: bytes) -> int:
        """How many statements of ``author`` are held."""
        return sum(len(self._held.get((author, enrols), ())) for enrols in (True, False))

    def admit(self, waiting: Sequence[Statement], new: Sequence[Statement]) -> tuple[list[Statement], list[Statement]]:
        """(those of ``new`` for which there is a place, those held or ``waiting`` that have to go for them)."""
        before: dict[Account, list[Statement]] = defaultdict(list)
        for statement in waiting:
            before[_account(statement)].append(statement)
        coming: dict[Account, list[Statement]] = defaultdict(list)
        for statement in new:
            coming[_account(statement)].append(statement)
        fitting: list[Statement] = []
        going: list[Statement] = []
        count = self._count + sum(statement.author != self.root for statement in waiting)
        for account, fresh in coming.items():
            held = [*self._held.get(account, {}).values(), *before[account]]
            out: set[bytes] = set()
            if len(held) + len(fresh) > self._most(account):
                out = {s.id for s in sorted((*held, *fresh), key=self._rank)[self._most(account) :]}
                fresh = [statement for statement in fresh if statement.id not in out]
            if account[0] != self.root:
                fresh = _within_all(fresh, len(held), count)
                count += len(fresh)
            fitting += fresh
            if fresh:
                going += [statement for statement in held if statement.id in out]
        return fitting, going

    def full(self, author: bytes, kind: str) -> bool:
        """Has ``author`` said as much of that kind as it may?"""
        account = (author, kind == ENROL)
        return len(self._held.get(account, ())) >= self._most(account)

    def _most(self, account: Account) -> int:
        author, enrols = account
        return MAX_BY_ROOT if author == self.root else MAX_ENROLMENTS if enrols else MAX_OTHERS

    def _rank(self, statement: Statement) -> tuple[int, int, bytes]:
        if statement.author == self.root or statement.position is None:
            return 0, 0, statement.id
        return (0, statement.position.seq, statement.id) if self._stands(statement) else (1, 0, statement.id)

    def _stands(self, statement: Statement) -> bool:
        if statement.id in self._standing:
            return True
        tips = self._tips(statement.author)
        if self._missing.get(statement.id) == tips or statement.at is None:
            return False
        stands = self._in_log(statement.author, statement.at)
        if statement.id in self._held[_account(statement)]:
            if stands:
                self._standing.add(statement.id)
            else:
                self._missing[statement.id] = tips
        return stands


def _account(statement: Statement) -> Account:
    return statement.author, statement.kind == ENROL


def _within_all(fresh: Sequence[Statement], before: int, count: int) -> list[Statement]:
    """Those that fit into what all devices together may say, or that are never refused."""
    room = max(0, MAX_STATEMENTS - count)
    kept = list(fresh[:room])
    few = max(0, ALWAYS - before - len(kept))
    return kept + [statement for statement in fresh[room:] if statement.kind != ENROL][:few]
