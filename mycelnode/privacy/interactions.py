"""A turn: one request, its answer and its outcome. What makes two turns the same one, and what becomes of what both say.

Pure: no file, no clock, no randomness.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum, IntFlag
from math import isfinite
from typing import Any, Final

from mycelnode.encoding import encode
from mycelnode.errors import TurnRefused, shown

MAX_TURN_BYTES: Final = 1 << 20  # of request and answer together, as UTF-8
MAX_SOURCE_CHARS: Final = 64
MAX_TIME_MS: Final = 253_402_300_799_999  # the last that RFC 3339 can write
AHEAD_MS: Final = 86_400_000  # how far a clock may be off, as in the mesh: what is later still cannot have been
DAY_MS: Final = 86_400_000
MARK_BYTES: Final = 32
SECRET_BYTES: Final = 32

_HALVES = re.compile("[\ud800-\udfff]")
_TURN, _DAY = "mycel-turn-1", "mycel-day-1"  # the first bytes of what is hashed: no turn is taken for a day


class Outcome(IntEnum):
    """Did the answer do what was asked? Somebody has to have said so."""

    UNKNOWN = 0
    YES = 1
    NO = 2


class Influence(IntFlag):
    """What else had a part in a turn, besides the person's words and the assistant: such a turn is never counted."""

    NONE = 0
    PATTERN = 1  # of somebody else
    TOOL = 2
    WEB = 4
    FILE = 8
    SYSTEM = 16  # instructions that are not the person's


INFLUENCES: Final[Mapping[str, Influence]] = {one.name.lower(): one for one in Influence if one and one.name}


@dataclass(frozen=True, slots=True)
class Turn:
    """``time``: of the request, Unix ms, or None if nobody said. ``source``: where it came from, a short name."""

    request: str
    answer: str
    time: int | None = None
    source: str = ""
    success: Outcome = Outcome.UNKNOWN
    influenced: Influence = Influence.NONE

    @property
    def size(self) -> int:
        """Of the text, in bytes of UTF-8."""
        return len(self.request.encode()) + len(self.answer.encode())


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a turn besides its text; ``dated``: ``time`` is the turn's own, and not that of its ingestion."""

    time: int
    dated: bool
    source: str
    success: Outcome
    influenced: Influence


def merged(one: Facts, other: Facts) -> Facts:
    """What two reports of the same turn say together, in whichever order they come: the earliest time that somebody named, with
    its source; the worse outcome; every influence."""
    first = min(one, other, key=lambda facts: (not facts.dated, facts.time, facts.source))
    return replace(first, success=max(one.success, other.success), influenced=one.influenced | other.influenced)


# --- what a turn is known by -------------------------------------------------------------------------------------------------


def canonical(request: str, answer: str) -> bytes:
    """What makes a turn this one: its words and who said them, in their order. Not its time, its conversation, or its file.

    Forms of the same letters (Unicode NFC), line ends, and white space around a text make no difference.
    """
    return encode([_TURN, ["user", _plain(request)], ["assistant", _plain(answer)]])


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def turn_mark(secret: bytes, request: str, answer: str) -> bytes:
    """HMAC-SHA-256(mesh secret, turn): the same on all devices of a person, and of no meaning to anybody else."""
    return hmac.digest(secret, canonical(request, answer), "sha256")


def day_mark(secret: bytes, key: bytes, day: int) -> bytes:
    """HMAC-SHA-256(mesh secret, key ‖ day) of a habit's key and a UTC day (days since 1970)."""
    return hmac.digest(secret, encode([_DAY, key, day]), "sha256")


def stamp(wall: int, last: int | None, floor: int = 0) -> int:
    """When a turn that comes in now is said to have come: ``wall`` (Unix ms), but not before ``last``, the latest stamp that is at
    most a day ahead of it, and not before ``floor``, where the last window ended of which the turns were handed over.

    So a clock that is put right by minutes or hours moves no turn into a window that has ended. A turn is stamped once: whatever a
    clock says, it belongs to one window and no other.
    """
    return max(floor, wall if last is None or last > wall + AHEAD_MS else max(wall, last))


# --- checking what comes from outside -------------------------------------------------------------------------------------------


def checked(turn: Turn, now: int) -> Turn:
    """``turn`` if it can be kept, halves of characters replaced. Raises `TurnRefused`, whose ``reason`` is a word to count by."""
    request, answer = _whole(turn.request), _whole(turn.answer)
    if not request.strip() or not answer.strip():
        raise TurnRefused("a turn has a request and an answer, and one of them is empty", "empty")
    turn = replace(turn, request=request, answer=answer)
    if turn.size > MAX_TURN_BYTES:
        raise TurnRefused(f"a turn of {turn.size:,} bytes is longer than the {MAX_TURN_BYTES:,} that are kept", "long")
    if turn.time is not None and not 0 <= turn.time <= MAX_TIME_MS:
        raise TurnRefused("a time is before 1970 or after 9999", "malformed")
    if turn.time is not None and turn.time > now + AHEAD_MS:
        raise TurnRefused("a time is later than the clock of this device; one of them is wrong", "future")
    return turn


def _whole(text: str) -> str:
    """JSON can name half a character, as exports that cut texts do."""
    return text if text.isascii() else _HALVES.sub("\N{REPLACEMENT CHARACTER}", text)


def source_name(text: object) -> str:
    """A name for where turns come from. Raises `TurnRefused`."""
    if isinstance(text, str) and 0 < len(text) <= MAX_SOURCE_CHARS and text.isprintable() and text == text.strip():
        return text
    raise TurnRefused(f"a source is a name of 1 to {MAX_SOURCE_CHARS} characters that can be seen", "malformed")


def outcome(value: object) -> Outcome:
    """From JSON's true, false or null. Raises `TurnRefused`."""
    if value is None:
        return Outcome.UNKNOWN
    if isinstance(value, bool):
        return Outcome.YES if value else Outcome.NO
    raise TurnRefused("'success' is true, false or null", "malformed")


def influence(names: object) -> Influence:
    """From a list of names. Raises `TurnRefused`."""
    if isinstance(names, list | tuple) and all(isinstance(name, str) and name in INFLUENCES for name in names):
        found = Influence.NONE
        for name in names:
            found |= INFLUENCES[name]
        return found
    raise TurnRefused(f"'influenced' is a list of {', '.join(INFLUENCES)}", "malformed")


def influence_names(influenced: Influence) -> list[str]:
    """As `influence` reads them."""
    return [name for name, one in INFLUENCES.items() if one in influenced]


def moment(value: object) -> int | None:
    """Unix ms from RFC 3339, from seconds since 1970, or None from None. Raises `TurnRefused`."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
            return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            raise TurnRefused(f"{shown(value)[:40]!r} is no time such as 2026-05-01T14:30:00Z", "malformed") from None
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and abs(value) < MAX_TIME_MS:
        return int(value * 1000)
    raise TurnRefused("a time is text such as 2026-05-01T14:30:00Z, or seconds since 1970", "malformed")


def from_json(value: Mapping[str, Any], source: str) -> Turn:
    """A turn in our own form (docs/interactions.md). ``source``: where it comes from, unless it says so itself.

    Raises `TurnRefused`. Fields of other names are left alone.
    """
    request, answer = value.get("request"), value.get("answer")
    if not isinstance(request, str) or not isinstance(answer, str):
        raise TurnRefused("a turn has the texts 'request' and 'answer'", "malformed")
    return Turn(
        request,
        answer,
        moment(value.get("time")),
        source_name(value.get("source", source)),
        outcome(value.get("success")),
        influence(value.get("influenced", [])),
    )
