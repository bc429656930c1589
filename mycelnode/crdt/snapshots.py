"""Snapshots: a proposal to replace history by state, the confirmations of those asked, and when it is complete.

A proposal names a *cut* (device → head), the digest of the canonical state folded up to it, whom it asks, and what it knew of the
membership: the root's statements by id, the fences in force, and the logs held in two versions. All of them and the confirmations
are entries of logs, and signed by themselves (`carried`), so that a device which lacks the logs can be shown a complete snapshot.

Bodies: ``["snapshot", author, position, cut, root statements, fences, forks, beside, asked, digest, size]`` and
``["confirm", author, position, proposal id]``. docs/protocols/snapshots.md has the rules and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from mycelnode.crdt.carried import Carried, head_from_wire, head_to_wire, open_wire
from mycelnode.crdt.changelog import MAX_ENTRY, MAX_SEQ, DeviceId, Head
from mycelnode.crdt.membership import Common, Membership, membership
from mycelnode.crdt.statements import OnChain, Statement, derived_fork
from mycelnode.encoding import as_bytes, as_int, as_list, as_map
from mycelnode.errors import EncodingError

SNAPSHOT: Final = "snapshot"
CONFIRM: Final = "confirm"

MAX_RECORD = MAX_ENTRY - 256  # bytes: it must fit in an entry
MAX_DEVICES = 1024  # in a cut, and asked

_CONTEXT: Final = b"mycel-snapshot"


@dataclass(frozen=True)
class Proposal(Carried):
    """That the state with this digest stand for all entries up to ``cut``. ``size`` is its length in bytes.

    ``root``: ids of the root's statements that the author knew. ``fences``: those in force. ``forked``: the logs of which it held
    two versions, with the last entry that these share. ``beside``: ids of statements that stand on a version of a log beside the
    cut, for those who lack the logs that would tell.
    """

    CONTEXT: ClassVar[bytes] = _CONTEXT

    author: DeviceId
    position: Head
    cut: Mapping[DeviceId, Head]
    root: frozenset[bytes]
    fences: Mapping[DeviceId, Head | None]
    forked: Mapping[DeviceId, Head | None]
    beside: frozenset[bytes]
    asked: frozenset[DeviceId]
    digest: bytes
    size: int
    signature: bytes = field(default=b"")

    def __hash__(self) -> int:
        return hash(self.id)

    def fields(self) -> list[Any]:
        """See `Carried`."""
        return [
            SNAPSHOT,
            self.author,
            head_to_wire(self.position),
            {device: head_to_wire(head) for device, head in self.cut.items()},
            sorted(self.root),
            {device: head_to_wire(head) for device, head in self.fences.items()},
            {device: head_to_wire(head) for device, head in self.forked.items()},
            sorted(self.beside),
            sorted(self.asked),
            self.digest,
            self.size,
        ]


@dataclass(frozen=True)
class Confirmation(Carried):
    """That its author holds the cut of that proposal, that all of it counts, and that it folds to the same state."""

    CONTEXT: ClassVar[bytes] = _CONTEXT

    author: DeviceId
    position: Head
    proposal: bytes
    signature: bytes = field(default=b"")

    def fields(self) -> list[Any]:
        """See `Carried`."""
        return [CONFIRM, self.author, head_to_wire(self.position), self.proposal]


Record = Proposal | Confirmation


def decode_record(data: bytes) -> Record:
    """Read a wire form. Raises `EncodingError`; the signature is checked by `Carried.verify_signature`, not here."""
    fields, signature = open_wire(data, MAX_RECORD, 4)
    if len(as_list(fields)) < 3:
        raise EncodingError("neither a snapshot nor a confirmation")
    kind, author, position, *rest = fields
    place = head_from_wire(position)
    if place is None or place.seq < 1:
        raise EncodingError("a snapshot and its confirmations stand in logs")
    author = as_bytes(author, 32)
    if kind == CONFIRM:
        (proposal,) = as_list(rest, 1)
        return Confirmation(author, place, as_bytes(proposal, 32), signature)
    if kind != SNAPSHOT:
        raise EncodingError("neither a snapshot nor a confirmation")
    cut, root, fences, forked, beside, asked, digest, size = as_list(rest, 8)
    heads = {device: head for device, head in _heads(cut).items() if head is not None and 1 <= head.seq <= MAX_SEQ}
    if len(heads) != len(as_map(cut)):
        raise EncodingError("a cut names entries")
    return Proposal(
        author,
        place,
        heads,
        _keys(root),
        _heads(fences),
        _heads(forked),
        _keys(beside),
        _keys(asked),
        as_bytes(digest, 32),
        as_int(size),
        signature,
    )


def _heads(value: Any) -> dict[DeviceId, Head | None]:
    if len(as_map(value)) > MAX_DEVICES:
        raise EncodingError("more devices than one mesh holds")
    return {as_bytes(device, 32): head_from_wire(head) for device, head in as_map(value).items()}


def _keys(value: Any) -> frozenset[bytes]:
    keys = [as_bytes(item, 32) for item in as_list(value)]
    if keys != sorted(set(keys)):
        raise EncodingError("a list of keys is sorted and names each once")
    return frozenset(keys)


# --- judging -----------------------------------------------------------------------------------------------------------------


def extends(cut: Mapping[DeviceId, Head], other: Mapping[DeviceId, Head], on_chain: OnChain) -> bool:
    """Does ``cut`` surely reach at least as far as ``other``, on the same versions of the logs?"""
    return all(device in cut and on_chain(device, head, cut[device]) is True for device, head in other.items())


def compatible(cut: Mapping[DeviceId, Head], other: Mapping[DeviceId, Head], on_chain: OnChain) -> bool:
    """Do both cuts lie on the same versions of the logs, as far as is known?"""
    shared = cut.keys() & other.keys()
    return all(on_chain(d, *sorted((cut[d], other[d]), key=lambda head: head.seq)) is not False for d in shared)


def membership_at(
    root: bytes,
    proposal: Proposal,
    confirmations: Mapping[DeviceId, Confirmation],
    statements: Iterable[Statement],
    on_chain: OnChain,
    common: Common,
) -> Membership:
    """The membership that a snapshot stands on: a function of the proposal and of statements that are kept for ever.

    What counts: the root's statements that the proposal names; of those asked, all that they said before they agreed; of the
    others, what lies within the cut. So nobody can leave out whom it has itself enrolled, and no later statement changes it.
    """
    said = {device: confirmation.at for device, confirmation in confirmations.items()}
    return membership_within(root, proposal, {**said, proposal.author: proposal.at}, statements, on_chain, common)


def membership_within(
    root: bytes,
    proposal: Proposal,
    agreed: Mapping[DeviceId, Head | None],
    statements: Iterable[Statement],
    on_chain: OnChain,
    common: Common,
) -> Membership:
    """The same, if those asked agree at these places in their logs."""
    asked = {device: at for device, at in agreed.items() if device in proposal.asked or device == proposal.author}
    reach: dict[DeviceId, Head | None] = {**proposal.cut, **asked}

    def on_known_chain(device: DeviceId, at: Head, head: Head) -> bool:
        """A newcomer lacks the logs: numbers tell, but for logs in two versions. Once it has them, they do."""
        known = on_chain(device, at, head)
        return at.seq <= head.seq if known is None else known

    def known_common(device: DeviceId, one: Head, other: Head) -> Head:
        return common(device, one, other) or min(one, other)

    def counts(statement: Statement) -> bool:
        if statement.author == root:
            return statement.id in proposal.root
        limit = reach.get(statement.author)
        if limit is None or statement.at is None:
            return False
        if statement.id in proposal.beside and on_chain(statement.author, statement.at, limit) is None:
            return False
        return on_known_chain(statement.author, statement.at, limit)

    forks = [derived_fork(device, head) for device, head in proposal.forked.items()]
    return membership(root, [*filter(counts, statements), *forks], on_known_chain, known_common)


def asks_rightly(proposal: Proposal, held: Membership) -> bool:
    """Is everybody asked who must be, by the first of them, and is nothing in the cut of one who was not enrolled?"""
    asked = held.members - held.away
    return (
        bool(asked)
        and proposal.asked == asked
        and proposal.author == min(asked)
        and proposal.cut.keys() <= held.enrolled.keys()
    )
