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

from mycelnode.crdt.statements import ENROL, Statement

MAX_BY_DEVICE = 200  # statements of one device: it lets in, puts out and fences a few in its life
MAX_STATEMENTS = 10_000  # of all devices: kept for ever, so bounded
MAX_BY_ROOT = 500  # besides those: the phrase heals what a flood has clogged
ALWAYS = 16  # of each author, whatever the others have used up, unless it lets devices in: a flood must not silence who stops it
MAX_LEFT_OUT = 2 * MAX_STATEMENTS  # ids remembered of statements that found no place


class Shares:
    """What is held, by author; and the ids of what was left out, as long as somebody may still ask for it."""

    def __init__(self, root: bytes, in_log: Callable[[Statement], bool]) -> None:
        self.root, self._in_log = root, in_log
        self._held: dict[bytes, dict[bytes, Statement]] = defaultdict(dict)
        self._count = 0  # by devices
        self.left_out: dict[bytes, None] = {}

    def add(self, statement: Statement) -> None:
        """It is held now."""
        self._held[statement.author][statement.id] = statement
        self._count += statement.author != self.root
        self.left_out.pop(statement.id, None)

    def remove(self, statement: Statement) -> None:
        """It is held no more."""
        self._count -= self._held[statement.author].pop(statement.id, None) is not None
        self.leave_out([statement])

    def leave_out(self, statements: Iterable[Statement]) -> None:
        """These found no place."""
        self.left_out.update((statement.id, None) for statement in statements)
        while len(self.left_out) > MAX_LEFT_OUT:
            del self.left_out[next(iter(self.left_out))]

    def by(self, author: bytes) -> int:
        """How many statements of ``author`` are held."""
        return len(self._held.get(author, ()))

    def admit(self, waiting: Sequence[Statement], new: Sequence[Statement]) -> tuple[list[Statement], list[Statement]]:
        """(those of ``new`` for which there is a place, those held or ``waiting`` that have to go for them)."""
        taken: dict[bytes, list[Statement]] = defaultdict(list)
        for statement in (*waiting, *new):
            taken[statement.author].append(statement)
        fitting: list[Statement] = []
        going: list[Statement] = []
        count = self._count + sum(statement.author != self.root for statement in waiting)
        for author in dict.fromkeys(statement.author for statement in new):
            most = MAX_BY_ROOT if author == self.root else MAX_BY_DEVICE
            everything = [*self._held.get(author, {}).values(), *taken[author]]
            out = {s.id for s in sorted(everything, key=self._rank)[most:]} if len(everything) > most else frozenset()
            fresh = [statement for statement in new if statement.author == author and statement.id not in out]
            if author != self.root:
                before = len(everything) - sum(statement.author == author for statement in new)
                fresh = self._within_all(fresh, before, count)
                count += len(fresh)
            fitting += fresh
            if fresh:
                names = {statement.id for statement in new}
                going += [statement for statement in everything if statement.id in out - names]
        return fitting, going

    @staticmethod
    def _within_all(fresh: Sequence[Statement], before: int, count: int) -> list[Statement]:
        """Those that fit into what all devices together may say, or that are never refused."""
        room = max(0, MAX_STATEMENTS - count)
        kept = list(fresh[:room])
        few = max(0, ALWAYS - before - len(kept))
        return kept + [statement for statement in fresh[room:] if statement.kind != ENROL][:few]

    def _rank(self, statement: Statement) -> tuple[int, int, bytes]:
        if statement.author == self.root or statement.position is None:
            return 0, 0, statement.id
        return (0, statement.position.seq, statement.id) if self._in_log(statement) else (1, 0, statement.id)
