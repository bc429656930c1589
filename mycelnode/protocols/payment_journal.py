"""What the journal of payments keeps: an intent, what was signed for it, and how it stands; and how that becomes bytes.

An intent is one thing to be done on chain, once. Amounts are yoctoNEAR and decimal strings where they are kept; heights are those
of blocks; times are Unix milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from mycelnode.encoding import as_bytes, as_int, as_list, as_text, decode, encode
from mycelnode.errors import EncodingError

MAX_ID_CHARS: Final = 320  # with the names of a network and two accounts, and a hash
MAX_NAME_CHARS: Final = 128  # of an account, a key, a method, a network
MAX_ARGS_BYTES: Final = 64 << 10  # of JSON; the longest is a page of a domain and a CID
MAX_SAID_CHARS: Final = 1024
MAX_ENTRY_BYTES: Final = 512 << 10  # with a transaction that brings the code of a contract
MAX_YOCTO: Final = (1 << 128) - 1
MAX_DIGITS: Final = 39  # of that
FORMAT: Final = 1  # of an entry as bytes

Lane = tuple[str, str, str]  # network, account, key: what is signed with one key goes one after the other


class State(Enum):
    """How an intent stands. The last four are for ever."""

    WAITING = "waiting"  # nothing is signed that could be carried out
    SIGNED = "signed"  # something is: whether it was, only the chain knows
    DONE = "done"
    FAILED = "failed"  # it was not done, and will not be
    CANCELLED = "cancelled"  # the same, as the person wanted
    UNKNOWN = "unknown"  # carried out or not, the network has forgotten, and nothing else tells


ENDED: Final = frozenset((State.DONE, State.FAILED, State.CANCELLED, State.UNKNOWN))


@dataclass(frozen=True, slots=True)
class Check:
    """A question to a contract whose answer tells whether an intent is done, whoever has done it.

    It is, if the answer's ``field`` (the answer itself, if that is empty) is a number of at least ``least``, or is ``equals``, with
    true and false as JSON has them.
    """

    method: str
    args: bytes
    field: str
    least: int | None = None
    equals: str | None = None

    def met(self, answer: Any) -> bool:
        """Is it done, by this answer?"""
        value = answer
        if self.field:
            value = answer.get(self.field) if isinstance(answer, Mapping) else None
        if self.equals is not None:
            if type(value) is bool:
                value = json.dumps(value)
            return isinstance(value, str) and value == self.equals
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
            value = int(value)
        return type(value) is int and self.least is not None and value >= self.least


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing to be done on chain, once. ``id`` names it: the same id again is the same intent.

    ``method`` of the account ``receiver`` is called with ``args``; without a method, ``deposit`` is sent there. ``check`` tells
    whether it is done. ``again``: the contract refuses to do it twice, so that it may be signed anew when the first signature is
    spent and nobody knows on what. From ``expires`` on it is not wanted any more.
    """

    id: str
    network: str
    account: str
    key: str
    receiver: str
    method: str
    args: bytes
    deposit: int
    gas: int
    expires: int
    check: Check | None = None
    again: bool = False

    @property
    def lane(self) -> Lane:
        """With what it goes one after the other."""
        return (self.network, self.account, self.key)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signed transaction: its hash, its bytes, the height it was signed on, and the last one at which it can be included."""

    hash: str
    data: bytes
    nonce: int
    base: int
    until: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the network says that became of a transaction, at a final block. ``burnt``: tokens that its gas cost."""

    hash: str
    success: bool
    value: bytes
    said: str
    gas: int
    burnt: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal. ``burn`` transfers nothing, with the nonce of ``signed``: only one of the two can be carried out.

    ``spent_at``: the final height at which that nonce was first seen to be spent. ``cancelling``: it is wanted no more, and
    ``why``. ``said``: the last thing that somebody said about it.
    """

    intent: Intent
    state: State = State.WAITING
    signed: Signature | None = None
    burn: Signature | None = None
    spent_at: int | None = None
    outcome: Outcome | None = None
    cancelling: bool = False
    why: str = ""
    said: str = ""
    signatures: int = 0  # made for it so far

    @property
    def ended(self) -> bool:
        """Does nothing more happen to it?"""
        return self.state in ENDED

    @property
    def word(self) -> str:
        """How it stands, in a sentence that is true without asking anybody."""
        match self.state:
            case State.WAITING:
                return f"waits to be sent; nothing was spent{f' ({self.said})' if self.said else ''}"
            case State.SIGNED if self.spent_at is not None:
                return f"was taken by the network at height {self.spent_at}; what became of it is being asked"
            case State.SIGNED if self.signed is not None:
                unknown = f"unknown until height {self.signed.until + 1}"
                if self.cancelling:
                    return (
                        f"{self.why}, and its nonce is to be burnt; whether it was carried out before that is {unknown}"
                    )
                return unknown
            case State.DONE:
                return "done"
            case _:
                return self.said or self.why or self.state.value

    def saying(self, said: str) -> Entry:
        """The same with another last word."""
        return replace(self, said=said[:MAX_SAID_CHARS])


# --- as bytes ------------------------------------------------------------------------------------------------------------------


def encode_entry(entry: Entry) -> bytes:
    """Canonical CBOR. Raises `EncodingError` for what is beyond the bounds."""
    intent, check, outcome = entry.intent, entry.intent.check, entry.outcome
    for amount in (intent.deposit, intent.gas, outcome.burnt if outcome else 0):
        if not 0 <= amount <= MAX_YOCTO:
            raise EncodingError("an amount is out of range")
    data = encode(
        [
            FORMAT,
            [intent.id, intent.network, intent.account, intent.key, intent.receiver, intent.method, intent.args],
            [str(intent.deposit), intent.gas, intent.expires, intent.again],
            None if check is None else [check.method, check.args, check.field, _text(check.least), check.equals],
            entry.state.value,
            _signature(entry.signed),
            _signature(entry.burn),
            entry.spent_at,
            None
            if outcome is None
            else [outcome.hash, outcome.success, outcome.value, outcome.said, outcome.gas, str(outcome.burnt)],
            [entry.cancelling, entry.why, entry.said, entry.signatures],
        ]
    )
    if len(data) > MAX_ENTRY_BYTES:
        raise EncodingError("a line of the journal is too long")
    return data


def decode_entry(data: bytes) -> Entry:
    """The inverse of `encode_entry`. Raises `EncodingError`."""
    said, intent, more, check, state, signed, burn, spent_at, outcome, rest = _fields(data)
    as_int(said, FORMAT, FORMAT)
    *texts, args = as_list(intent, 7)
    name, network, account, key, receiver, method = (as_text(text, MAX_ID_CHARS) for text in texts)
    deposit, gas, expires, again = as_list(more, 4)
    cancelling, why, last, signatures = as_list(rest, 4)
    if {type(cancelling), type(again)} != {bool}:
        raise EncodingError("a yes or no was expected")
    return Entry(
        Intent(
            name,
            network,
            account,
            key,
            receiver,
            method,
            as_bytes(args),
            _amount(deposit),
            as_int(gas),
            as_int(expires),
            None if check is None else _read_check(check),
            again,
        ),
        _state(state),
        _read_signature(signed),
        _read_signature(burn),
        None if spent_at is None else as_int(spent_at),
        None if outcome is None else _read_outcome(outcome),
        cancelling,
        as_text(why, MAX_SAID_CHARS),
        as_text(last, MAX_SAID_CHARS),
        as_int(signatures),
    )


def json_args(**named: Any) -> bytes:
    """Arguments of a contract's method, always the same bytes for the same ones."""
    data = json.dumps(named, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    if len(data) > MAX_ARGS_BYTES:
        raise EncodingError("the arguments of a call are too long")
    return data


def _fields(data: bytes) -> Any:
    return as_list(decode(data, max_bytes=MAX_ENTRY_BYTES, max_depth=4), 10)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _signature(signed: Signature | None) -> list[Any] | None:
    return None if signed is None else [signed.hash, signed.data, signed.nonce, signed.base, signed.until]


def _read_signature(value: Any) -> Signature | None:
    if value is None:
        return None
    name, data, nonce, base, until = as_list(value, 5)
    return Signature(as_text(name, MAX_NAME_CHARS), as_bytes(data), as_int(nonce), as_int(base), as_int(until))


def _read_check(value: Any) -> Check:
    method, args, field, least, equals = as_list(value, 5)
    return Check(
        as_text(method, MAX_NAME_CHARS),
        as_bytes(args),
        as_text(field, MAX_NAME_CHARS),
        None if least is None else _amount(least),
        None if equals is None else as_text(equals, MAX_SAID_CHARS),
    )


def _read_outcome(value: Any) -> Outcome:
    name, success, result, said, gas, burnt = as_list(value, 6)
    if type(success) is not bool:
        raise EncodingError("a yes or no was expected")
    return Outcome(
        as_text(name, MAX_NAME_CHARS),
        success,
        as_bytes(result),
        as_text(said, MAX_SAID_CHARS),
        as_int(gas),
        _amount(burnt),
    )


def _amount(value: Any) -> int:
    digits = as_text(value, MAX_DIGITS)
    if not (digits.isascii() and digits.isdigit()) or str(int(digits)) != digits or int(digits) > MAX_YOCTO:
        raise EncodingError("an amount in decimal digits was expected")
    return int(digits)


def _state(value: Any) -> State:
    try:
        return State(value)
    except ValueError:
        raise EncodingError("a state of a payment was expected") from None
