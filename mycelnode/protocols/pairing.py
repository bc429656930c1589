"""`/mycel/pair/1`: one paste makes a new device a member. docs/protocols/pairing.md has the states.

An invite is `mycel:` + base32 of CBOR ``[version, root key, inviter's device key, [address, …], secret (16 bytes), expiry (Unix
s)]``.

    joiner  → inviter   [1, nonce]
    inviter → joiner    [2, nonce]
    joiner  → inviter   [3, proof, name]
    inviter → joiner    [4, proof, [statement, …], inviter's name]   or   [5, why, name of the device that used it]
    joiner  → inviter   [6]                                              stored: both screens may say so

A proof is HMAC-SHA-256 keyed with the one-time secret, over the protocol id, the role, both device keys (which Noise has
authenticated), both nonces and what the message says: neither end can be replayed, reflected or stood between. The secret
itself never moves. The first key that proves it is enrolled; the same key asking again gets the same answer, another is told
who used it.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mycelnode.crdt.changelog import DeviceId
from mycelnode.crdt.statements import MAX_NAME, Statement, decode_statement
from mycelnode.encoding import (
    as_bytes,
    as_int,
    as_list,
    as_text,
    base32,
    blake2b,
    decode,
    encode,
    from_base32,
)
from mycelnode.errors import EncodingError, InviteError, PairingRefused, PeerMisbehaved

PROTOCOL: Final = "/mycel/pair/1"
VERSION: Final = 1
PREFIX: Final = "mycel:"
SECRET_BYTES: Final = 16
NONCE_BYTES: Final = 32
MAX_ADDRESSES: Final = 16
MAX_ADDRESS: Final = 128  # characters of one multiaddr
MAX_MESSAGE: Final = 64 << 10  # bytes
MAX_ITEMS: Final = 4096  # in a message
MAX_OPEN: Final = 8  # invites open at a time
WRONG_PER_MINUTE: Final = 10  # wrong proofs answered per minute; a 128-bit secret is not guessed, but CPU is not free
USED_KEPT_SECONDS: Final = 24 * 3600  # how long a used invite still answers its own device, and tells others

HELLO: Final = 1
HELLO_BACK: Final = 2
PROOF: Final = 3
WELCOME: Final = 4
REFUSED: Final = 5
DONE: Final = 6

JOINER: Final = "\u200d"  # ZERO WIDTH JOINER (Unicode Technical Standard 51, emoji sequences)
EMOJI_STYLE: Final = "\ufe0f"  # VARIATION SELECTOR-16, which may stand before it

WRONG, USED, EXPIRED, BUSY = "wrong", "used", "expired", "busy"


@dataclass(frozen=True, slots=True)
class Invite:
    """What one paste carries. ``expires`` is Unix seconds by the inviter's clock.

    >>> invite = await node.invite(ttl=600)
    >>> print(invite)  # the text to paste on the other device
    """

    root: bytes
    inviter: DeviceId
    addresses: tuple[str, ...]
    secret: bytes = field(repr=False)
    expires: int

    @property
    def id(self) -> bytes:
        """16 bytes that name the invite without giving its secret away."""
        return blake2b(b"mycel-invite" + self.secret, 16)

    def __str__(self) -> str:
        fields = [VERSION, self.root, self.inviter, list(self.addresses), self.secret, self.expires]
        return PREFIX + base32(encode(fields))


def parse_invite(text: str) -> Invite:
    """Read a pasted invite; spaces and line breaks that a chat program put in are ignored. Raises `InviteError`."""
    compact = "".join(text.split())
    if not compact.lower().startswith(PREFIX):
        raise InviteError(f"an invite starts with `{PREFIX}`; copy the whole line that `mycelnode invite` printed")
    try:
        value = as_list(decode(from_base32(compact[len(PREFIX) :]), max_bytes=4096, max_depth=3))
        if not value or as_int(value[0], 1) != VERSION:
            raise InviteError("the invite was made by a newer mycelnode; update this one")
        _, root, inviter, addresses, secret, expires = as_list(value, 6)
        if len(as_list(addresses)) > MAX_ADDRESSES:
            raise EncodingError("too many addresses")
        texts = tuple(as_text(address, MAX_ADDRESS) for address in addresses)
        return Invite(as_bytes(root, 32), as_bytes(inviter, 32), texts, as_bytes(secret, SECRET_BYTES), as_int(expires))
    except EncodingError as error:
        raise InviteError(
            "the invite is damaged or not complete; copy the whole line that `mycelnode invite` printed"
        ) from error


@dataclass(slots=True)
class OpenInvite:
    """An invite as its inviter remembers it."""

    invite: Invite
    used_by: DeviceId | None = None
    used_name: str = ""


@dataclass(frozen=True, slots=True)
class Enrol:
    """Proposal: enrol ``device`` as ``name`` and mark the invite used, in one transaction; then call `Inviter.enrolled`."""

    invite: Invite
    device: DeviceId
    name: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Who used an invite: ``device`` is its key.

    >>> (await node.joined(invite)).name
    'phone'
    """

    invite: Invite
    device: DeviceId
    name: str


@dataclass(slots=True)
class InviteBook:
    """All invites of one device, and the rate limit they share."""

    invites: dict[bytes, OpenInvite] = field(default_factory=dict)
    _wrong: list[float] = field(default_factory=list)

    def open(self, invite: Invite, wall_seconds: float) -> None:
        """Add an invite; raises `InviteError` when too many are open."""
        self.prune(wall_seconds)
        if sum(entry.used_by is None for entry in self.invites.values()) >= MAX_OPEN:
            raise InviteError(
                f"{MAX_OPEN} invites are open already; wait for one to expire or withdraw one with Ctrl-C"
            )
        self.invites[invite.id] = OpenInvite(invite)

    def prune(self, wall_seconds: float) -> None:
        """Forget what expired unused, and used ones after a day."""
        for key, entry in list(self.invites.items()):
            grace = 0 if entry.used_by is None else USED_KEPT_SECONDS
            if wall_seconds >= entry.invite.expires + grace:
                del self.invites[key]

    def any_open(self, wall_seconds: float) -> bool:
        """Should strangers be let in to pair at all?"""
        self.prune(wall_seconds)
        return bool(self.invites)

    def claim(self, enrol: Enrol) -> OpenInvite | None:
        """The first key wins: the invite, now marked as used by it, or None if it already was."""
        entry = self.invites[enrol.invite.id]
        if entry.used_by is not None:
            return None
        entry.used_by, entry.used_name = enrol.device, enrol.name
        return entry

    def release(self, entry: OpenInvite) -> None:
        """The enrolment could not be stored: the invite is good again."""
        entry.used_by, entry.used_name = None, ""

    def limited(self, now: float) -> bool:
        """Were too many wrong proofs seen in the last minute?"""
        self._wrong = [at for at in self._wrong if now - at < 60]
        return len(self._wrong) >= WRONG_PER_MINUTE

    def note_wrong(self, now: float) -> None:
        """A wrong proof came: the invite stays good, the next ones wait."""
        self._wrong.append(now)


def proof(
    secret: bytes, role: str, joiner: DeviceId, inviter: DeviceId, nonces: tuple[bytes, bytes], said: bytes
) -> bytes:
    """HMAC-SHA-256 over who, in which role, in which exchange, said what."""
    message = encode([PROTOCOL, role, joiner, inviter, nonces[0], nonces[1], said])
    return hmac.new(secret, message, hashlib.sha256).digest()


class Inviter:
    """The inviter's machine for one stream; ``joiner`` is the key that Noise authenticated."""

    def __init__(self, book: InviteBook, device: DeviceId, joiner: DeviceId, nonce: bytes) -> None:
        self.book, self.device, self.joiner = book, device, joiner
        self._nonces = (b"", nonce)
        self._expects = HELLO
        self._secret = b""

    def receive(self, frame: bytes, *, wall_seconds: float, now: float) -> bytes | Enrol | None:
        """A frame to send back, an `Enrol` to carry out, or None at the end. Raises `PeerMisbehaved`."""
        message = _read(frame, self._expects)
        if self._expects == HELLO:
            self._nonces = (_field(message, 1, NONCE_BYTES), self._nonces[1])
            self._expects = PROOF
            return encode([HELLO_BACK, self._nonces[1]])
        if self._expects == PROOF:
            return self._judge(message, wall_seconds, now)
        self._expects = 0
        return None

    def enrolled(self, statements: Sequence[Statement], name: str) -> bytes:
        """The welcome, once the enrolment is on disk: ``statements`` lead from the root to the joiner, ``name`` is ours."""
        said = encode([[s.encoded for s in statements], name])
        code = proof(self._secret, "inviter", self.joiner, self.device, self._nonces, said)
        self._expects = DONE
        return encode([WELCOME, code, [s.encoded for s in statements], name])

    @property
    def done(self) -> bool:
        """Has the joiner confirmed?"""
        return self._expects == 0

    def _judge(self, message: Sequence[Any], wall_seconds: float, now: float) -> bytes | Enrol:
        try:
            name = clean_name(as_text(message[2], MAX_NAME))
        except EncodingError as error:
            raise PeerMisbehaved("the other device sent a name that is too long") from error
        shown = _field(message, 1, 32)
        entry = self._proven(shown, name)
        if (
            entry is None
        ):  # only a wrong proof is refused for those before it: else anybody could keep the right one out
            limited = self.book.limited(now)
            if not limited:
                self.book.note_wrong(now)
            return encode([REFUSED, BUSY if limited else WRONG, ""])
        if entry.used_by is None and wall_seconds >= entry.invite.expires:
            return encode([REFUSED, EXPIRED, ""])
        if entry.used_by not in (None, self.joiner):
            return encode([REFUSED, USED, entry.used_name])
        self._secret = entry.invite.secret
        return Enrol(entry.invite, self.joiner, entry.used_name or name)

    def _proven(self, shown: bytes, name: str) -> OpenInvite | None:
        for entry in self.book.invites.values():
            said = encode(name)
            expected = proof(entry.invite.secret, "joiner", self.joiner, self.device, self._nonces, said)
            if hmac.compare_digest(expected, shown):
                return entry
        return None


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the joiner must store before it confirms: the statements that make it a member, and who let it in."""

    statements: Sequence[Statement]
    inviter_name: str


class Joiner:
    """The joiner's machine for one stream to the device that the invite names."""

    def __init__(self, invite: Invite, device: DeviceId, name: str, nonce: bytes) -> None:
        self.invite, self.device, self.name = invite, device, clean_name(name)
        self._nonces = (nonce, b"")
        self._expects = HELLO_BACK

    def start(self) -> bytes:
        """The first frame."""
        return encode([HELLO, self._nonces[0]])

    def receive(self, frame: bytes) -> bytes | Welcome:
        """A frame to send, or the welcome to store. Raises `PairingRefused`, `PeerMisbehaved`."""
        if self._expects == HELLO_BACK:
            message = _read(frame, HELLO_BACK)
            self._nonces = (self._nonces[0], _field(message, 1, NONCE_BYTES))
            self._expects = WELCOME
            said = encode(self.name)
            code = proof(self.invite.secret, "joiner", self.device, self.invite.inviter, self._nonces, said)
            return encode([PROOF, code, self.name])
        message = _read(frame, WELCOME, REFUSED)
        if message[0] == REFUSED:
            raise PairingRefused(_refusal(message))
        return self._welcome(message)

    def confirm(self) -> bytes:
        """Say that the welcome is stored."""
        return encode([DONE])

    def _welcome(self, message: Sequence[Any]) -> Welcome:
        try:
            items = [as_bytes(item) for item in as_list(message[2])]
            name = clean_name(as_text(message[3], MAX_NAME))
            said = encode([items, message[3]])
            expected = proof(self.invite.secret, "inviter", self.device, self.invite.inviter, self._nonces, said)
            if not hmac.compare_digest(expected, _field(message, 1, 32)):
                raise PeerMisbehaved(
                    "the inviter does not know the invite's secret: this may be an attack; make a new invite"
                )
            return Welcome([decode_statement(item) for item in items], name)
        except EncodingError as error:
            raise PeerMisbehaved(f"the other device sent something malformed: {error}") from error


def clean_name(name: str) -> str:
    """A device's name as it may be shown on a screen: one line, printable, at most `MAX_NAME` characters.

    Cleaning a clean name changes nothing: both ends of a pairing prove the same one. Of what is not printable, only the joiner
    between two symbols stays, which makes one emoji of them.
    """
    shown = "".join(
        char if char.isprintable() or (char == JOINER and _is_symbol(before) and _is_symbol(after)) else " "
        for before, char, after in zip(" " + name, name, name[1:] + " ", strict=False)
    )
    return " ".join(shown.split())[:MAX_NAME].rstrip(f" {JOINER}") or "unnamed"


def _is_symbol(char: str) -> bool:
    return unicodedata.category(char) in ("So", "Sk") or char == EMOJI_STYLE


_LENGTHS: Final = {HELLO: 2, HELLO_BACK: 2, PROOF: 3, WELCOME: 4, REFUSED: 3, DONE: 1}


def _read(frame: bytes, *codes: int) -> Sequence[Any]:
    try:
        message = as_list(decode(frame, max_bytes=MAX_MESSAGE, max_depth=4, max_items=MAX_ITEMS))
        if not message or message[0] not in codes:
            raise EncodingError("a message out of turn")
        return as_list(message, _LENGTHS[message[0]])
    except EncodingError as error:
        raise PeerMisbehaved(f"the other device sent something malformed: {error}") from error


def _field(message: Sequence[Any], index: int, size: int) -> bytes:
    try:
        return as_bytes(message[index], size)
    except EncodingError as error:
        raise PeerMisbehaved(f"the other device sent something malformed: {error}") from error


def _refusal(message: Sequence[Any]) -> str:
    name = clean_name(message[2]) if isinstance(message[2], str) else "another device"
    return {
        WRONG: "the inviter does not know this invite: it was withdrawn, has expired, or was not copied whole",
        USED: f"this invite was already used by {name}; make a new one with `mycelnode invite`",
        EXPIRED: "this invite has expired; make a new one with `mycelnode invite`",
        BUSY: "the inviter refused too many wrong attempts in the last minute; wait a minute and try again",
    }.get(message[1] if isinstance(message[1], str) else "", "the inviter refused")
