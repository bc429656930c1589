"""One session's part in passing on states: where a newcomer may begin, and what stands for entries that were replaced.

A part of `SyncSession`, which asks it for frames when it may say something, and hands it the frames about states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mycelnode.crdt.changelog import DeviceId, Head, SignedHead
from mycelnode.crdt.snapshots import Proposal as Snapshot
from mycelnode.crdt.snapshots import decode_record
from mycelnode.encoding import as_bytes, as_int, as_list, as_map
from mycelnode.errors import EncodingError
from mycelnode.protocols.logset import MAX_LOGS
from mycelnode.protocols.replica import Replica
from mycelnode.protocols.snapshots import MAX_COMPLETE
from mycelnode.protocols.state_transfer import PIECE_BYTES, Draft, Offer, Partial, StateSource
from mycelnode.protocols.sync_frames import (
    MAX_QUEUED,
    SNAPSHOT,
    STATE,
    WANT,
    LearnRecords,
    LearnState,
    Proposal,
    StartFrom,
    Unproved,
)


class StateExchange:
    """``source`` and ``partial`` (None: takes no state to begin with) are the node's, shared by its sessions."""

    def __init__(self, replica: Replica, peer: bytes, source: StateSource, partial: Partial | None) -> None:
        self.replica, self.peer, self.source = replica, peer, source
        self._partial: Partial | None = None
        if partial is not None and replica.new and partial.sender is None:  # two senders would undo each other's work
            self._partial, partial.sender = partial, self
        self._said: dict[
            bytes, bool
        ] = {}  # snapshots that the peer was shown, or has; and whether it knows that we have the state
        self._there = set[bytes]()  # snapshots whose state the peer has
        self._base = replica.base  # that we had when this began
        self._fetches: bytes | None = None  # the snapshot whose state we asked for
        # Asked for once each time that we are told of it: what came may not have been kept, as on a full disk.
        self._asked = set[bytes]()
        self._wanted: tuple[bytes | None, int] | None = None  # by the peer: a state to begin with
        self._sending: tuple[Offer, int] | None = None
        self.drafting = (
            False  # is that state being made? Then `next_state` is to be called again at once, and no entries sent
        )

    def over(self) -> None:
        """The connection has ended: somebody else may send what we were fetching."""
        for partial in (self._partial, self.replica.snapshots.fetching):
            if partial is not None and partial.sender is self:
                partial.sender = None

    # --- greeting ------------------------------------------------------------------------------------------------------

    def greeting(self) -> list[Any]:
        """``[want, snapshots]`` of our HELLO."""
        want = None if self._partial is None else [self._partial.digest, len(self._partial.data)]
        return [want, [[p.id, here] for p, here in self._complete()]]

    def greeted(self, want: Any, snapshots: Any) -> None:
        """The same of the peer's. Raises `EncodingError`."""
        if len(as_list(snapshots)) > 2 * MAX_COMPLETE:
            raise EncodingError("more snapshots than one mesh has")
        for key, there in (as_list(item, 2) for item in snapshots):
            self._hears(as_bytes(key, 32), there is True)
        if want is not None and self._member():
            digest, offset = as_list(want, 2)
            self._wanted = (None if digest is None else as_bytes(digest, 32), as_int(offset))

    def shown(self, tips: Mapping[DeviceId, Sequence[Head]]) -> list[Proposal]:
        """How far the peer's logs reach. Did it give us a state whose logs it has not any more, so that nothing will prove that?"""
        base, replica = self._base, self.replica
        member = self._member() and replica.device in replica.membership.members  # else it does not show us all
        if member and base is not None and base is replica.base and base.giver == self.peer:
            here = {device: max((head.seq for head in heads), default=0) for device, heads in tips.items()}
            if any(here.get(device, 0) < head.seq for device, head in base.cut.items()):
                return [Unproved(self.peer)]
        return []

    # --- sending, to a member that has said what it has ------------------------------------------------------------------

    def next_snapshot(self) -> list[Any] | None:
        """What stands for entries that we have no more: to be said before any log that has lost some."""
        for proposal, here in self._complete():
            if proposal.id not in self._said or (here and not self._said[proposal.id]):
                self._said[proposal.id] = here
                confirmations = self.replica.snapshots.records(proposal)
                return [SNAPSHOT, proposal.encoded, [c.encoded for c in confirmations], here]
        return None

    def say_again(self, device: DeviceId, after: Head) -> None:
        """The peer lacks what comes after that entry: it may have let go of a snapshot, which counts again."""
        for key, proposal in self.replica.snapshots.proposals.items():
            if proposal.cut.get(device, after) > after:
                self._said.pop(key, None)

    def _complete(self) -> list[tuple[Snapshot, bool]]:
        """The complete snapshots, and whether we have their state; also an earlier one, if it is from its state that we fold."""
        snapshots = self.replica.snapshots
        found = {p.id: p for p in (*snapshots.complete, *snapshots.grounds())}
        return [(p, key in snapshots.states) for key, p in found.items()]

    def _hears(self, snapshot: bytes, there: bool) -> None:
        """The peer has that snapshot, and its state if it is ``there``."""
        self._said[snapshot] = self._said.get(snapshot, False) or there  # it needs no state of ours if it has it
        if there:
            self._there.add(snapshot)

    def next_want(self, idle: Callable[[], bool]) -> list[Any] | None:
        """Ask for a state without which we cannot fold, one peer at a time: entries were replaced, or have not come though the
        connection is ``idle``."""
        partial = self.replica.snapshots.fetching
        if self._fetches is not None or partial.sender is not None:
            return None
        for proposal in self.replica.snapshots.missing():
            lacks = proposal.id in self._there - self._asked and not self.replica.covers(proposal)
            if lacks and (self.replica.holes or idle()):
                partial.sender, self._fetches = self, proposal.id
                self._asked.add(proposal.id)
                partial.begin(proposal.digest, proposal.size, {})
                return [WANT, proposal.id, len(partial.data)]
        return None

    def stands_for(self, device: DeviceId) -> bool:
        """Is a state on its way, or to be had from the peer, for what was replaced in that log?"""
        snapshots = self.replica.snapshots
        return snapshots.fetching.sender is not None or any(
            p.id in self._there and device in p.cut for p in snapshots.missing()
        )

    def next_state(self, *, informed: bool, now: float) -> list[Any] | None:
        """The next piece of what the peer asked for; to begin with, only once we are ``informed`` of all statements it knows."""
        self.drafting = False
        if self._wanted is not None and informed:
            self._offer(*self._wanted, now)
        if self._sending is None:
            return None
        offer, offset = self._sending
        piece = offer.state[offset : offset + PIECE_BYTES]
        end = offset + len(piece)
        self._sending = (offer, end) if end < len(offer.state) else None
        cut = {device: head.to_wire() for device, head in offer.cut.items()}
        return [STATE, offer.digest, len(offer.state), offset, piece, cut]

    def _offer(self, digest: bytes | None, start: int, now: float) -> None:
        """Not a state that is not proved itself, nor where a snapshot will be sent anyhow."""
        unfit = self.replica.base is not None or self.replica.snapshots.grounds()
        offer = None if unfit else self.source.offer(self.peer, digest, now)
        self.drafting = isinstance(offer, Draft)
        if self.drafting:
            return
        self._wanted = None
        if isinstance(offer, Offer):
            self._sending = (offer, min(start, len(offer.state)) if digest == offer.digest else 0)

    # --- receiving -------------------------------------------------------------------------------------------------------

    def on_state(self, message: Sequence[Any]) -> list[Proposal]:
        """A piece of a state."""
        _, digest, size, offset, piece, cut = as_list(message, 6)
        if self._fetches is not None and as_bytes(digest, 32) == self.replica.snapshots.fetching.digest:
            return self._on_fetched(as_int(offset), as_bytes(piece))
        if self._partial is None:
            raise EncodingError("a state that was not asked for")
        if not self._member() or not self.replica.new:
            return []
        if len(as_map(cut)) > MAX_LOGS:
            raise EncodingError("more logs than one mesh holds")
        heads = {as_bytes(device, 32): SignedHead.from_wire(head) for device, head in as_map(cut).items()}
        if heads != self._partial.cut:
            for device, head in heads.items():
                self.replica.verify_head(device, head)
        self._partial.begin(as_bytes(digest, 32), as_int(size), heads)
        state = self._partial.add(as_int(offset), as_bytes(piece))
        if state is None:
            return []
        return [StartFrom(state, {device: head.head for device, head in heads.items()}, self.peer)]

    def _on_fetched(self, offset: int, piece: bytes) -> list[Proposal]:
        partial, wanted = self.replica.snapshots.fetching, self._fetches
        if wanted is None or partial.sender is not self:
            return []
        state = partial.add(offset, piece)
        if state is None:
            return []
        self._fetches = partial.sender = None
        return [LearnState(wanted, state)]

    def on_snapshot(self, message: Sequence[Any]) -> list[Proposal]:
        """A snapshot, with those who confirmed it."""
        _, proposal, confirmations, there = as_list(message, 4)
        if not self._member():
            return []
        if len(as_list(confirmations)) > MAX_LOGS:
            raise EncodingError("more confirmations than devices in one mesh")
        records = [decode_record(as_bytes(item)) for item in (proposal, *confirmations)]
        self._hears(records[0].id, there is True)
        self._asked.discard(records[0].id)
        if len(self._said) > MAX_QUEUED:
            raise EncodingError("more snapshots than one mesh has")
        return [LearnRecords(records)]

    def on_want(self, message: Sequence[Any], now: float) -> list[Proposal]:
        """The peer asks for the state of a snapshot."""
        _, key, offset = as_list(message, 3)
        found = [p for p in self.replica.snapshots.grounds() if p.id == as_bytes(key, 32)]
        if found and self._member():
            offer = self.source.kept(found[0].digest, lambda: self.replica.logs.store.state(found[0].id), now)
            self._sending = (offer, min(as_int(offset), len(offer.state)))
        return []

    def _member(self) -> bool:
        return self.peer in self.replica.membership.members
