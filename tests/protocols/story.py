"""Random stories of whole meshes: writes, cut meetings, restarts, newcomers, revocations, clones, wrong clocks, rescues; all heal.

A `Story` is a list of steps made from a seed; `Story.run` plays it on devices in memory and raises `Broken` when, after everybody
has met everybody until nothing moved, members disagree, cannot meet, or anything unforeseen was raised. `shrink` makes it short.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from mycelnode.crdt.changelog import DeviceId, Head, SignedHead
from mycelnode.crdt.clock import to_ms
from mycelnode.crdt.document import from_verb
from mycelnode.crdt.statements import ENROL, FENCE, REVOKE
from mycelnode.errors import MycelError
from mycelnode.protocols import peer_view, state_exchange, sync
from mycelnode.protocols.admission import enrolment_chain
from mycelnode.protocols.state_transfer import StateSource
from mycelnode.rescue import rescuable, rescue
from tests.protocols.crowd import Broken, Key, Link, Node, Shim, admit

HOUR = 3_600_000
DAY = 24 * HOUR
Step = tuple[Any, ...]

VERBS = ("set", "put", "delete", "append", "add", "remove", "count", "assign")


class Story:
    """Steps, playable again and again."""

    def __init__(self, seed: int, steps: Sequence[Step] | None = None, *, tight: bool | None = None) -> None:
        self.seed, self.tight = seed, seed % 2 == 1 if tight is None else tight
        rng = random.Random(seed)
        self.steps = list(steps) if steps is not None else [self._step(rng) for _ in range(rng.randint(6, 40))]

    @staticmethod
    def _step(rng: random.Random) -> Step:
        a, b, n = rng.randrange(9), rng.randrange(9), rng.randrange(1 << 30)
        cut = rng.choice((None, None, 0, 1, 2, 3, 5, 8, 13, 21))
        kinds: dict[Step, int] = {
            ("write", a, rng.choice(VERBS), b % 3, n % 100): 30,
            ("burst", a, rng.choice(VERBS), rng.randint(2, 12)): 6,
            ("meet", a, b, cut, n): 34,
            ("crowd", cut, n): 3,
            ("restart", a, n % 2 == 0): 5,
            ("enrol", a, n % 2): 7,
            ("recover", a, b, n % 5, n % 3 == 0): 2,
            ("revoke", a, b, n % 4 if n % 3 else 0): 3,
            ("fence", a, b, n % 4): 1,
            ("root", (REVOKE, FENCE)[n % 2], a, b, n % 5): 2,
            ("clone", a): 2,
            ("skew", a, rng.choice((-96, -30, -20, -3, 3, 20, 30, 96))): 3,
            ("fix", a): 3,
            ("time", rng.choice((1, 5, 30, 80))): 3,
            ("rescue", a, b): 4,
        }
        return rng.choices(list(kinds), list(kinds.values()))[0]

    def __str__(self) -> str:
        return f"Story({self.seed}, {self.steps!r})"

    # --- playing -------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play, heal, check. Raises `Broken`."""
        with limits(self.tight):
            self._run()

    def _run(self) -> None:
        self.root, self.nodes, self.told = Key("root"), list[Node](), list[str]()
        self.rng = random.Random(self.seed)
        first = self._node(0)
        first.learn(first.root_statement(ENROL, first.id, None))
        self._do("enrol", 0, 0)
        self._do("enrol", 0, 0)
        for step in self.steps:
            self._do(*step)
        self._heal()

    def _node(self, least: int) -> Node:
        number = len(self.nodes)
        node = Node(self.root, Key(f"{number}"), name=f"d{number}")
        node.source = StateSource(node._offer, least=0 if least == 0 else 1 << 40)
        if self.nodes:
            node.wall = max(n.wall for n in self.nodes)
        self.nodes.append(node)
        return node

    def _do(self, what: str, *rest: Any) -> None:
        try:
            getattr(self, f"_do_{what}")(*rest)
        except Broken:
            raise
        except MycelError as error:
            if what in ("meet", "crowd", "restart", "time"):
                raise Broken("refused", f"{what}{rest}: {type(error).__name__}: {error}") from error
        except Exception as error:
            raise Broken("crash", f"{what}{rest}: {type(error).__name__}: {error}") from error

    def _at(self, number: int) -> Node:
        return self.nodes[number % len(self.nodes)]

    def _do_write(self, who: int, verb: str, place: int, value: int) -> None:
        node = self._at(who)
        arguments = {"put": (f"k{place}", value), "delete": (f"k{place}",), "count": (value - 50,)}
        operation = from_verb(node.replica.document, [verb, "c", *arguments.get(verb, (place,))])
        if operation is None:
            return
        node.write(operation)
        bounded = node.id in node.replica.held or node.id in node.replica.membership.fences or abs(node.skew_ms) > DAY
        if verb == "put" and not bounded and node.map("c").get(f"k{place}") != value:
            raise Broken("own write", f"{node.name} wrote c[k{place}] = {value} and reads {node.map('c')}")

    def _do_burst(self, who: int, verb: str, count: int) -> None:
        for number in range(count):
            self._do_write(who, verb, number % 3, self.rng.randrange(100))

    def _do_meet(self, a: int, b: int, cut: int | None, seed: int) -> None:
        one, other = self._at(a), self._at(b)
        if one.id != other.id:
            self._meet(one, other, cut, random.Random(seed))

    def _meet(self, one: Node, other: Node, cut: int | None, rng: random.Random) -> None:
        if admit(one, other):
            link = Link(one, other)
            try:
                while (cut is None or link.frames < cut) and link.step(rng):
                    pass
            finally:
                link.cut()

    def _do_crowd(self, cut: int | None, seed: int) -> None:
        """Several connections at once."""
        rng = random.Random(seed)
        some = rng.sample(self.nodes, min(len(self.nodes), rng.randint(2, 4)))
        pairs = [(a, b) for n, a in enumerate(some) for b in some[n + 1 :] if a.id != b.id]
        links = [Link(a, b) for a, b in pairs if admit(a, b)]
        alive = list(links)
        try:
            moves = 0
            while alive and (cut is None or moves < cut * len(links)):
                link = rng.choice(alive)
                moves += 1
                if not link.step(rng) and (link.left or all(other.done() or other.left for other in alive)):
                    alive.remove(link)
        finally:
            for link in links:
                link.cut()

    def _do_restart(self, who: int, clean: bool) -> None:
        node = self._at(who)
        if clean:
            node.checkpoint()
        node.restart()

    def _do_enrol(self, by: int, least: int) -> None:
        author = self._at(by)
        author.replica.check_writable()
        if len(self.nodes) < 7:
            node = self._node(least)
            author.enrol(node)
            node.learn(*enrolment_chain(author.replica, node.id))

    def _do_recover(self, at: int, whom: int, back: int, only: bool) -> None:
        """A new device by the phrase, which syncs and then puts somebody out."""
        if len(self.nodes) < 7:
            node = self._node(0)
            node.learn(node.root_statement(ENROL, node.id, None))
            self._meet(node, self._at(at), None, self.rng)
            if not only:
                subject = self._at(whom).id
                node.learn(node.root_statement(REVOKE, subject, node.head_of(subject, back)))

    def _do_revoke(self, by: int, whom: int, back: int, kind: str = REVOKE) -> None:
        author, subject = self._at(by), self._at(whom).id
        if author.id != subject and subject in author.replica.membership.enrolled:
            author.replica.declare(kind, subject, author.head_of(subject, back), {}, author.now)
            author.commit()

    def _do_fence(self, by: int, whom: int, back: int) -> None:
        self._do_revoke(by, whom, back, FENCE)

    def _do_root(self, kind: str, at: int, whom: int, back: int) -> None:
        node, subject = self._at(at), self._at(whom).id
        node.learn(node.root_statement(kind, subject, node.head_of(subject, back)))

    def _do_clone(self, who: int) -> None:
        if len(self.nodes) < 7:
            self.nodes.append(self._at(who).twin(f"d{len(self.nodes)}={self._at(who).name}"))

    def _do_skew(self, who: int, hours: int) -> None:
        self._at(who).skew_ms = hours * HOUR

    def _do_fix(self, who: int) -> None:
        self._at(who).skew_ms = 0

    def _do_time(self, hours: int) -> None:
        for node in self.nodes:
            node.wall += hours * HOUR
            node.replica.tick(node.now)

    def _do_rescue(self, by: int, whom: int) -> None:
        node, device = self._at(by), self._at(whom).id
        node.replica.check_writable()
        try:
            rescue(Shim(node), device, rescuable(node.replica, device)).send(None)  # type: ignore[arg-type]
        except StopIteration:
            return

    # --- healing and judging -------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        latest = max(node.wall for node in self.nodes)
        for node in self.nodes:
            node.skew_ms, node.wall = 0, latest + 12 * DAY
            self._do("time", 0)
        for _ in range(15):
            before = [self._holdings(node) for node in self.nodes]
            pairs = [(a, b) for a in self.nodes for b in self.nodes if a is not b and a.id != b.id]
            self.rng.shuffle(pairs)
            for one, other in pairs:
                try:
                    self._meet(one, other, None, self.rng)
                except MycelError as error:
                    raise Broken("refused", f"{one.name}-{other.name}: {type(error).__name__}: {error}") from error
                except Broken:
                    raise
                except Exception as error:
                    raise Broken("crash", f"{one.name}-{other.name}: {type(error).__name__}: {error}") from error
            if before == [self._holdings(node) for node in self.nodes]:
                break
        else:
            raise Broken("loop", "still something new after 15 rounds of all meeting all")
        self._judge()

    @staticmethod
    def _holdings(node: Node) -> tuple[Any, ...]:
        replica = node.replica
        tips = {(d, b.head) for d, branches in replica.logs.durable.items() for b in branches if b.tip is not None}
        return frozenset(tips), frozenset(replica.statements), replica.document.digest()

    def _fold(self, nodes: Sequence[Node]) -> Node:
        """One who never had anything is given all that ``nodes`` hold, and folds it."""
        anybody = Node(self.root, Key("nobody"), name="nobody")
        anybody.wall = self.nodes[0].wall
        statements = {s.id: s for node in nodes for s in node.replica.statements.values()}
        while statements:
            new = anybody.replica.worth_learning(statements.values())
            if not new:
                raise Broken("orphans", "statements of devices that nobody enrolled")
            anybody.learn(*new)
            statements = {key: s for key, s in statements.items() if key not in anybody.replica.statements}
        for node in nodes:
            for device, run in _runs(node):
                start, entries, head = run
                anybody.replica.accept(device, start, entries, head)
                anybody.commit()
        return anybody

    def _judge(self) -> None:
        nodes = self.nodes
        while True:
            reference = self._fold(nodes)
            left = [n for n in nodes if n.id in reference.replica.membership.members]
            if len(left) == len(nodes):
                break
            nodes = left
        if len({node.id for node in nodes}) < 2:
            return  # copies of one key cannot meet
        expected = self._holdings(reference)
        for node in nodes:
            found = self._holdings(node)
            names = ("logs", "statements", "document")
            different = [name for name, mine, theirs in zip(names, found, expected, strict=True) if mine != theirs]
            if node.replica.membership != reference.replica.membership:
                different.append("membership")
            if different:
                refuse = [(a.name, b.name) for a in nodes for b in nodes if a.id != b.id and not admit(a, b)]
                kind = "apart" if refuse else "differ"
                raise Broken(kind, f"{node.name} of {[n.name for n in nodes]}: {different}; do not admit: {refuse}")
            if node.replica.held or node.replica.cloned or to_ms(node.replica.clock.last) > node.now + DAY:
                raise Broken("clock", f"{node.name}: held {node.replica.held}, clock {node.replica.clock.last}")


def _runs(node: Node) -> Iterator[tuple[DeviceId, tuple[Head, list[bytes], SignedHead]]]:
    logs = node.replica.logs
    for device, branches in logs.durable.items():
        for number, branch in enumerate(branches):
            entries: list[bytes] = []
            start = Head(0, logs.hash_at(device, number, 0) or b"")
            while start.seq + len(entries) < branch.head.seq:
                for row in logs.rows(device, number, start.seq + len(entries), 1 << 20):
                    entries.append(row.entry)
                    if row.signature is not None or row.hash == branch.head.hash:
                        signature = row.signature or (branch.tip.signature if branch.tip else b"")
                        yield device, (start, entries, SignedHead(row.seq, row.hash, signature))
                        start, entries = Head(row.seq, row.hash), []


SMALL = (
    ("STATEMENTS_PER_FRAME", 3),
    ("IDS_PER_FRAME", 4),
    ("BATCH_BYTES", 600),
    ("WINDOW_BYTES", 3000),
)


@contextmanager
def limits(tight: bool) -> Iterator[None]:
    """Small limits, so that short stories reach them."""
    if not tight:
        yield
        return
    with (
        mock.patch.multiple(sync, **dict(SMALL), PROBE_FANOUT=2),
        mock.patch.object(peer_view, "PROBE_FANOUT", 2),
        mock.patch.object(state_exchange, "PIECE_BYTES", 150),
    ):
        yield


def failure(story: Story) -> Broken | None:
    try:
        story.run()
    except Broken as error:
        return error
    return None


def shrink(story: Story, kind: str) -> Story:
    """The same failure with fewer steps."""
    size = len(story.steps) // 2
    while size:
        start = 0
        while start < len(story.steps):
            less = Story(story.seed, story.steps[:start] + story.steps[start + size :], tight=story.tight)
            error = failure(less)
            if error is not None and error.kind == kind:
                story = less
            else:
                start += size
        size //= 2
    return story


def tell(seed: int) -> str:
    """What went wrong in a story, as short as it can be told; nothing if all is well."""
    story = Story(seed)
    error = failure(story)
    if error is None:
        return ""
    short = shrink(story, error.kind)
    return f"seed {seed}: {failure(short)}\n    {short}"
