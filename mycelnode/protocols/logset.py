"""All logs that a device holds: one chain per device, more only when an identity was cloned.

A log is a tree of *branches*. Branch 0 is the chain met first; another branch leaves its parent at a base entry and exists only
because the device key signed two different continuations: holding two branches *is* the fork proof. Branch numbers are local.

Pure: entries already on disk are read through the injected `EntryStore`; what was accepted but is not yet durable is
*tentative* and can be rolled back as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from mycelnode.crdt.changelog import DeviceId, Head, SignedHead, Verify, digest, genesis, verify_batch
from mycelnode.encoding import Digest
from mycelnode.errors import BusyError, LogError

MAX_LOGS = 1024  # devices that ever were in one mesh
MAX_RUN_BYTES = 512 << 10  # of entries under one signature: what one frame of sync takes
ROW_BYTES = 100  # about what a stored entry costs besides its own bytes
MAX_BRANCHES = 4  # versions of one log kept: two prove the fork, the rest is an attacker's noise
MAX_CHOOSING = 16  # while the version that a fence names is not among them


class Row(NamedTuple):
    """One stored entry, or its `Digest` where it was replaced by state; ``signature`` is the device's signature of the head after
    it, where one is known."""

    seq: int
    hash: bytes
    entry: bytes
    signature: bytes | None


class EntryStore(Protocol):
    """Read access to durable entries. A branch holds only the entries after its base."""

    def hash_at(self, device: DeviceId, branch: int, seq: int) -> bytes | None:
        """The chain hash after entry ``seq``, or None if the branch does not hold it."""
        ...

    def read(
        self, device: DeviceId, branch: int, after: int, max_bytes: int
    ) -> Sequence[tuple[int, bytes, bytes, bytes | None]]:
        """The fields of `Row` for the entries after ``after``: one at least if there is one, then as many as fit in
        ``max_bytes``. An entry that was replaced by state is a `Digest`."""
        ...

    def state(self, snapshot: bytes) -> bytes:
        """The encoded state of the snapshot with that id, which was stored."""
        ...


@dataclass(frozen=True, slots=True)
class Branch:
    """One version of a log: it leaves ``parent`` after ``base`` and ends in ``tip`` (None: empty, branch 0 only).

    ``size``: about how many bytes its own entries take on disk. ``pruned``: up to which seq we have replaced them by state.
    """

    parent: int
    base: Head
    tip: SignedHead | None
    size: int = 0
    pruned: int = 0

    @property
    def head(self) -> Head:
        """Where the branch ends."""
        return self.base if self.tip is None else self.tip.head


class Addition(NamedTuple):
    """Entries that continue (or begin) a branch, to be stored; ``branch`` is its new description."""

    device: DeviceId
    number: int
    branch: Branch
    rows: list[Row]
    forks: bool


class Filled(NamedTuple):
    """Entries to be put back in the places of their digests, on one branch; ``size`` is about what they take on disk."""

    device: DeviceId
    number: int
    rows: list[Row]
    size: int


@dataclass(slots=True)
class LogSet:
    """The logs held, durable and tentative. ``root`` is the mesh's root public key."""

    root: bytes
    store: EntryStore
    verify: Verify
    durable: dict[DeviceId, list[Branch]] = field(default_factory=dict)
    _tentative: dict[DeviceId, list[Branch]] = field(default_factory=dict)
    _fresh: dict[tuple[DeviceId, int, int], Row] = field(default_factory=dict)

    # --- looking -----------------------------------------------------------------------------------------------------

    def branches(self, device: DeviceId) -> list[Branch]:
        """The branches of a log, tentative entries included; one empty branch if nothing is held."""
        held = self._tentative.get(device) or self.durable.get(device)
        return held if held is not None else [Branch(0, genesis(self.root, device), None)]

    def tip(self, device: DeviceId, number: int = 0) -> Head:
        """Where branch ``number`` ends, tentative entries included."""
        return self.branches(device)[number].head

    def hash_at(self, device: DeviceId, number: int, seq: int) -> bytes | None:
        """The chain hash after entry ``seq`` on the chain that ends in branch ``number``; None beyond its end."""
        return self._hash_at(device, self.branches(device), number, seq)

    def _hash_at(self, device: DeviceId, branches: Sequence[Branch], number: int, seq: int) -> bytes | None:
        while True:
            branch = branches[number]
            if seq > branch.head.seq:
                return None
            if seq == branch.head.seq:
                return branch.head.hash
            if seq == branch.base.seq:
                return branch.base.hash
            if seq > branch.base.seq:
                row = self._fresh.get((device, number, seq))
                return row.hash if row else self.store.hash_at(device, number, seq)
            number = branch.parent

    def find(self, device: DeviceId, head: Head) -> int | None:
        """A branch whose chain contains ``head``, or None."""
        for number in range(len(self.branches(device))):
            if self.hash_at(device, number, head.seq) == head.hash:
                return number
        return None

    def on_disk(self, device: DeviceId, head: Head) -> bool:
        """Is ``head`` on a chain that is durable here?"""
        branches = self.durable.get(device, ())
        return any(self._hash_at(device, branches, n, head.seq) == head.hash for n in range(len(branches)))

    def signed(self, device: DeviceId, head: Head) -> SignedHead | None:
        """``head`` with its device's signature, if it is durable here and was signed at that very place."""
        for number, branch in enumerate(self.durable.get(device, ())):
            if branch.tip is not None and branch.tip.head == head:
                return branch.tip
            if self._hash_at(device, self.durable[device], number, head.seq) == head.hash:
                row = next(iter(self.rows(device, number, head.seq - 1, 1)), None)
                if row is not None and row.seq == head.seq and row.signature is not None:
                    return SignedHead(row.seq, row.hash, row.signature)
        return None

    def on_chain(self, device: DeviceId, at: Head, head: Head) -> bool | None:
        """Is ``at`` on the chain that ends in ``head``? None if ``head`` is not held, so that it can't be told."""
        if at.seq > head.seq:
            return False
        if at.seq == head.seq:
            return at.hash == head.hash
        number = self.find(device, head)
        return None if number is None else self.hash_at(device, number, at.seq) == at.hash

    def common(self, device: DeviceId, one: int, other: int) -> Head:
        """The last entry that two branches share."""
        branches = self.branches(device)

        def lineage(number: int) -> Iterator[tuple[int, int]]:  # (branch, up to which seq it is followed)
            limit = branches[number].head.seq
            while True:
                yield number, limit
                if number == 0:
                    return
                limit = min(limit, branches[number].base.seq)
                number = branches[number].parent

        reach = dict(lineage(one))
        for number, limit in lineage(other):
            if number in reach:
                seq = min(limit, reach[number])
                digest = self.hash_at(device, number, seq)
                if digest is None:
                    break
                return Head(seq, digest)
        return genesis(self.root, device)

    def fork_point(self, device: DeviceId) -> Head | None:
        """The last entry that *all* branches share, or None if the log has one branch."""
        branches = self.branches(device)
        if len(branches) < 2:
            return None
        return min((self.common(device, 0, other) for other in range(1, len(branches))), key=lambda head: head.seq)

    def rows(self, device: DeviceId, number: int, after: int, max_bytes: int) -> Sequence[Row]:
        """Durable entries after ``after`` on the chain that ends in branch ``number``, through its ancestors; a prefix that
        fits."""
        branches = self.durable.get(device)
        if branches is None or number >= len(branches):
            return []
        limit = branches[number].head.seq
        while after < branches[number].base.seq:
            limit = branches[number].base.seq
            number = branches[number].parent
        rows = self.store.read(device, number, after, max_bytes)
        return [Row(*row) for row in rows if row[0] <= limit]

    # --- growing -----------------------------------------------------------------------------------------------------

    def append(self, device: DeviceId, rows: Sequence[Row], tip: SignedHead) -> Addition:
        """Own entries, already chained and signed, as a tentative addition to branch 0."""
        return self._add(self._longer(device, 0, list(rows), tip))

    def accept(
        self, device: DeviceId, start: Head, entries: Sequence[bytes], head: SignedHead, *, most: int = MAX_BRANCHES
    ) -> Addition | None:
        """Verify a batch from outside and add it tentatively, as one of ``most`` versions at most; None if all of it is held.

        Raises `LogError` if it does not verify or does not connect to what is held, `BusyError` when a bound is reached.
        """
        if sum(map(len, entries)) > MAX_RUN_BYTES:  # else it could be stored here, and passed on to nobody
            raise LogError("more under one signature than any device may write")
        hashes = verify_batch(self.root, device, start, entries, head, self.verify)
        if self.find(device, head.head) is not None:
            return None
        held = self.durable.keys() | self._tentative.keys()
        if device not in held and len(held) >= MAX_LOGS:
            raise BusyError(f"more than {MAX_LOGS} logs in one mesh")
        number, known = self._follow(device, start, hashes)
        rows = [
            Row(
                start.seq + index + 1,
                hashes[index],
                entries[index],
                None if index + 1 < len(entries) else head.signature,
            )
            for index in range(known, len(entries))
        ]
        branches = self.branches(device)
        base = Head(start.seq + known, hashes[known - 1] if known else start.hash)
        for candidate, branch in enumerate(branches):
            if branch.head == base:  # extends this branch (the one found may only run through it)
                return self._add(self._longer(device, candidate, rows, head))
        if len(branches) >= most:
            raise BusyError(f"more than {most} versions of one log")
        while base.seq < branches[number].base.seq:  # the base lies on an ancestor of the branch found
            number = branches[number].parent
        return self._add(Addition(device, len(branches), Branch(number, base, head, _size(rows)), rows, forks=True))

    def _longer(self, device: DeviceId, number: int, rows: list[Row], tip: SignedHead) -> Addition:
        branch = self.branches(device)[number]
        return Addition(device, number, replace(branch, tip=tip, size=branch.size + _size(rows)), rows, forks=False)

    def _follow(self, device: DeviceId, start: Head, hashes: Sequence[bytes]) -> tuple[int, int]:
        """The branch that shares most with a chain from ``start`` through ``hashes``, and how many of them it holds."""
        best: tuple[int, int] | None = None
        for number in range(len(self.branches(device))):
            if self.hash_at(device, number, start.seq) != start.hash:
                continue
            known = 0
            while known < len(hashes) and self.hash_at(device, number, start.seq + known + 1) == hashes[known]:
                known += 1
            if best is None or known > best[1]:
                best = number, known
        if best is None:
            raise LogError("a batch does not connect to the log held here")
        return best

    def _add(self, addition: Addition) -> Addition:
        device, number = addition.device, addition.number
        branches = list(self.branches(device))
        branches[number : number + 1] = [addition.branch]
        self._tentative[device] = branches
        for row in addition.rows:
            self._fresh[device, number, row.seq] = row
        return addition

    # --- shrinking ---------------------------------------------------------------------------------------------------

    def unpruned(self, device: DeviceId, head: Head) -> list[tuple[int, int]]:
        """(branch, up to which seq) of the entries up to ``head`` that may still be held whole."""
        found, limit = list[tuple[int, int]](), head.seq
        for number, branch in self.lineage(device, head):
            if limit > max(branch.base.seq, branch.pruned):
                found.append((number, limit))
            limit = min(limit, branch.base.seq)
        return found

    def lineage(self, device: DeviceId, head: Head) -> Iterator[tuple[int, Branch]]:
        """The branches on disk whose entries lead to ``head``, the one that holds it first; none if it is not on disk."""
        branches = self.durable.get(device, [])  # what is under way to the disk is not on it
        on = (n for n in range(len(branches)) if self._hash_at(device, branches, n, head.seq) == head.hash)
        number = next(on, None)
        while number is not None:
            yield number, branches[number]
            number = branches[number].parent if number else None

    def pruned(self, device: DeviceId, number: int, seq: int, freed: int) -> None:
        """The entries of a branch up to ``seq`` were replaced by state, which freed so many bytes."""
        branches = list(self.durable[device])
        branches[number] = replace(branches[number], pruned=seq, size=max(0, branches[number].size - freed))
        self.durable[device] = branches

    def fill(self, device: DeviceId, start: Head, entries: Sequence[bytes], head: SignedHead) -> list[Filled]:
        """What of a batch that `accept` has verified may take the places of digests that are on disk."""
        branches = self.durable.get(device, [])
        place, known = start.seq, {start.seq + 1 + index: entry for index, entry in enumerate(entries)}
        found: dict[int, list[Row]] = {}
        number = next(
            (n for n in range(len(branches)) if self._hash_at(device, branches, n, start.seq) == start.hash), 0
        )
        for row in self.rows(device, number, place, sum(map(len, entries)) + 1):
            entry = known.get(row.seq)
            if entry is None or not isinstance(row.entry, Digest) or digest(entry) != row.entry or entry == row.entry:
                continue
            owner = number
            while row.seq <= branches[owner].base.seq:
                owner = branches[owner].parent
            found.setdefault(owner, []).append(row._replace(entry=entry))
        return [Filled(device, owner, rows, _size(rows)) for owner, rows in found.items()]

    def filled(self, filled: Filled) -> None:
        """Entries are on disk again."""
        branches = list(self.durable[filled.device])
        branch = branches[filled.number]
        pruned = min(branch.pruned, filled.rows[0].seq - 1)
        branches[filled.number] = replace(branch, size=branch.size + filled.size, pruned=pruned)
        self.durable[filled.device] = branches

    def settle(self) -> None:
        """What was tentative is on disk now."""
        self.durable.update(self._tentative)
        self._tentative.clear()
        self._fresh.clear()

    def rollback(self) -> None:
        """What was tentative could not be written."""
        self._tentative.clear()
        self._fresh.clear()


def _size(rows: Sequence[Row]) -> int:
    return sum(0 if isinstance(row.entry, Digest) else len(row.entry) + ROW_BYTES for row in rows)
