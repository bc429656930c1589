"""A mesh of devices that decide releases, in memory, for the tests of the machine and of its records."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import blake2b
from mycelnode.protocols.release import Part
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import Plan, Record, Seen, Spend
from mycelnode.protocols.release_steps import Call, Freeze, Keep, Kept, Open, Terms
from mycelnode.protocols.release_window import Window, quarter_begins

TERMS = Terms(b"v" * 32, b"d" * 32)
OTHER_TERMS = Terms(b"w" * 32, b"d" * 32)
OTHER_WORDS = Terms(b"v" * 32, b"e" * 32)
SECRETS = b"s" * 32
FIRST = Window.called("2026-Q2")
NOW = FIRST.opens + 1000
OVER = FIRST.closes + 1000


class Author:
    """A key that costs no CPU: everybody could forge, nobody here does."""

    def __init__(self, name: str) -> None:
        self.public = blake2b(name.encode())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return blake2b(self.public + message) * 2


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Is it what that `Author` signs?"""
    return blake2b(key + message) * 2 == signature


ROOT = Author("root")
A, B, C, D = (Author(name) for name in "abcd")


def plan_of_root(
    releaser: Author, witness: Author | None = None, *, number: int = 0, since: int = FIRST.start, **more: Any
) -> Plan:
    """A plan by the phrase."""
    fields = {"quarters": 1, "choice": "standard", **more}
    seen = None if witness is None else witness.public
    made = Plan(ROOT.public, number, since, fields["quarters"], fields["choice"], releaser.public, seen)
    return made.signed(ROOT.public, ROOT.sign)


def plan_after(last: Plan, by: Author, *, releaser: Author, witness: Author | None, since: int, **more: Any) -> Plan:
    """A plan by a device."""
    seen = None if witness is None else witness.public
    number = more.get("number", last.number + 1)
    made = Plan(by.public, number, since, 1, more.get("choice", "standard"), releaser.public, seen, last.id)
    return made.signed(ROOT.public, by.sign)


def seen(record: Record, by: Author) -> Seen:
    """A word."""
    return Seen(by.public, record.id).signed(ROOT.public, by.sign)


def spend(by: Author, window: Window = FIRST, nonce: bytes = bytes(16), **more: Any) -> Spend:
    """A spend."""
    digest = more.get("digest", bytes(32))
    return Spend(by.public, window, more.get("choice", "standard"), TERMS.version, digest, nonce).signed(
        ROOT.public, by.sign
    )


_nonces = itertools.count()


def part(
    author: Author, records: Iterable[Record] = (), kept: Kept | None = None, *, mesh: Iterable[Author] = ()
) -> Part:
    """A device's machine, as it begins. ``mesh``: the members (default: all four)."""
    made = Part(
        ROOT.public,
        author.public,
        author.sign,
        verify,
        Ledger(ROOT.public, records),
        Kept() if kept is None else kept,
        lambda count: next(_nonces).to_bytes(count, "big"),
    )
    members: frozenset[DeviceId] = frozenset(one.public for one in mesh or (A, B, C, D))
    made.membership(members, members)
    return made


def begun(author: Author, records: Iterable[Record], *, at: int = NOW, mesh: Iterable[Author] = ()) -> Part:
    """The same, for which a window has opened."""
    made = part(author, records, mesh=mesh)
    opened = made.open(at, TERMS)
    assert isinstance(opened, Open)
    made.opened(opened)
    return made


def call(plan: Plan, window: Window = FIRST, terms: Terms = TERMS) -> Call:
    """The releaser's question."""
    return Call(window, plan.id, terms, SECRETS)


def take(device: Part, releaser: Part, plan: Plan, window: Window = FIRST, at: int = OVER) -> None:
    """A device's part comes to the releaser."""
    answer = device.call(call(plan, window), releaser.me, at, TERMS.version, SECRETS)
    if isinstance(answer, Freeze):
        device.froze(answer)
    releaser.got(window, device.me)


def word(witness: Part, record: Spend | Plan, caller: Author, at: int = OVER) -> Seen:
    """The witness keeps it, and gives its word."""
    answer = witness.asked(record, caller.public, at)
    assert isinstance(answer, Keep), answer
    witness.kept(answer)
    return next(one for one in answer.records if isinstance(one, Seen))


def quarter(window: str) -> int:
    """The first millisecond of a window."""
    return quarter_begins(Window.called(window).start)
