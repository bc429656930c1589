"""The fields that requests about patterns have; whoever asks may say anything."""

from __future__ import annotations

import os
from contextlib import suppress

from mycelnode.commands import Request, text
from mycelnode.errors import ControlError
from mycelnode.patterns.cid import Cid

MAX_AMOUNT_DIGITS = 39  # of 2^128


def canonical(request: Request) -> str:
    """A CID as it is written here, of whichever form a person pasted. Raises `CidRefused`."""
    return str(Cid.parse(text(request, "cid")))


def file_path(request: Request) -> str:
    """The path of a file, as this system can name one."""
    path = text(request, "path")
    with suppress(UnicodeEncodeError):
        if b"\0" not in os.fsencode(path):
            return path
    raise ControlError("the field 'path' is no name that a file can have")


def optional(request: Request, key: str) -> str | None:
    """Text, or nothing."""
    return None if request.get(key) is None else text(request, key)


def whole(request: Request, key: str, default: int | None, low: int, high: int) -> int | None:
    """A whole number within bounds, or the default."""
    value = request.get(key)
    if value is None:
        return default
    if type(value) is not int or not low <= value <= high:
        raise ControlError(f"the field {key!r} is a number from {low} to {high}")
    return value


def amount(request: Request, key: str) -> int | None:
    """YoctoNEAR, or nothing."""
    value = optional(request, key)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > MAX_AMOUNT_DIGITS:
        raise ControlError(f"the field {key!r} is an amount in yoctoNEAR, in decimal digits as text")
    return int(value)
