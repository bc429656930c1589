"""`/mycel/membership/1`: the first exchange on every mesh connection, one message each way, 64 KiB at most.

Each end shows the statements that lead from the root to its own enrolment, and what the root itself has said; and learns of the
other's what it did not know: a device enrolled while we were away is admitted, a revoked one is handed its revocation, and what the
phrase has healed is known wherever one of its devices knocks. docs/protocols/admission.md has the states.

Messages: ``[version, [statement, …], admitted | null]``; the dialler speaks first and does not judge yet (null).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.statements import ENROL, Statement, decode_statement
from mycelnode.encoding import as_bytes, as_int, as_list, decode, encode
from mycelnode.errors import EncodingError, LogError, PeerMisbehaved
from mycelnode.protocols.replica import Replica

PROTOCOL: Final = "/mycel/membership/1"
VERSION: Final = 1
MAX_MESSAGE = 64 << 10  # bytes
MAX_ITEMS = 4096  # in a message
SHOWN_BYTES = MAX_MESSAGE - 1024  # of statements; what comes first matters most
MAX_SHOWN = 1024  # statements in a message


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one exchange settles: is the peer a member, does it say that we are one, and which statements are worth keeping."""

    admitted: bool
    admits_us: bool | None
    learn: Sequence[Statement]


class Admission:
    """The machine of one exchange with ``peer``, for either end."""

    def __init__(self, replica: Replica, peer: DeviceId) -> None:
        self.replica, self.peer = replica, peer

    def request(self) -> bytes:
        """What the dialler sends."""
        return self._message(self._ourselves(), None)

    def respond(self, message: bytes) -> tuple[bytes, Verdict]:
        """What the responder makes of it, and its answer. Raises `PeerMisbehaved`."""
        shown, _ = self._read(message)
        verdict = self._judge(shown, None)
        about = self._ourselves() if verdict.admitted else statements_about(self.replica, self.peer)
        return self._message(about, verdict.admitted), verdict

    def conclude(self, message: bytes) -> Verdict:
        """What the dialler makes of the answer. Raises `PeerMisbehaved`."""
        shown, admits_us = self._read(message)
        if admits_us is None:
            raise PeerMisbehaved("an answer without a decision")
        return self._judge(shown, admits_us)

    def _judge(self, shown: Sequence[Statement], admits_us: bool | None) -> Verdict:
        try:
            new = self.replica.worth_learning(shown)
        except LogError as error:
            raise PeerMisbehaved(f"a statement shown does not verify: {error}") from error
        held = self.replica.membership_with(new) if new else self.replica.membership
        cloned = self.peer in held.forked and self.peer not in held.revoked  # let in to be shown so; see SyncSession
        admitted = self.peer in held.members or cloned
        return Verdict(admitted, admits_us, new if admitted else self._worth_keeping(new))

    def _worth_keeping(self, new: Sequence[Statement]) -> list[Statement]:
        """Of what a stranger shows: the word of the root; what is said of us, and the enrolments that tell who says so."""
        authors = {s.author for s in new if s.subject == self.replica.device}
        kept = []
        for statement in reversed(new):  # enrolments come before what those enrolled have said
            if statement.author == self.replica.root or statement.subject == self.replica.device:
                kept.append(statement)
            elif statement.kind == ENROL and statement.subject in authors:
                authors.add(statement.author)
                kept.append(statement)
        return kept[::-1]

    def _ourselves(self) -> list[Statement]:
        return enrolment_chain(self.replica, self.replica.device)

    def _message(self, statements: Sequence[Statement], admitted: bool | None) -> bytes:
        """``statements`` and those of the root, as many as fit."""
        by_root = [s for s in self.replica.statements.values() if s.author == self.replica.root]
        shown, size = list[bytes](), 0
        for encoded in dict.fromkeys(s.encoded for s in (*statements, *by_root)):
            size += len(encoded) + 8
            if size > SHOWN_BYTES:
                break
            shown.append(encoded)
        return encode([VERSION, shown, admitted])

    def _read(self, message: bytes) -> tuple[list[Statement], bool | None]:
        try:
            version, items, admitted = as_list(
                decode(message, max_bytes=MAX_MESSAGE, max_depth=3, max_items=MAX_ITEMS), 3
            )
            as_int(version, 1)
            if len(as_list(items)) > MAX_SHOWN or admitted not in (None, True, False):
                raise EncodingError("too many statements, or no clear decision")
            return [decode_statement(as_bytes(item)) for item in items], admitted
        except EncodingError as error:
            raise PeerMisbehaved(f"the other device sent something malformed: {error}") from error


def enrolment_chain(replica: Replica, device: DeviceId) -> list[Statement]:
    """The statements that lead from the root to ``device``'s enrolment, root first, so that each author is known before its
    statement."""
    chain: list[Statement] = []
    enrolled = replica.membership.enrolled
    while device in enrolled:
        chain.append(enrolled[device])
        device = enrolled[device].author
    return chain[::-1]


def statements_about(replica: Replica, device: DeviceId) -> list[Statement]:
    """What is said of ``device``, after the enrolments of those who say so: without them it could not believe it."""
    about = [s for s in replica.statements.values() if s.subject == device]
    said_by = dict.fromkeys(s.author for s in about)
    chains = [statement for author in said_by for statement in enrolment_chain(replica, author)]
    return list({s.id: s for s in (*chains, *about)}.values())
