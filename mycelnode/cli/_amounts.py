"""Amounts of NEAR as people write them and read them; exact."""

from __future__ import annotations

import re

import click

YOCTO = 10**24
_NEAR = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,24}))?")  # as in the files of patterns


def yocto(text: str, hint: str = "--max-price") -> int:
    """YoctoNEAR; a wrong use of the command if it is none."""
    found = _NEAR.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text[:40]!r} is not an amount of NEAR such as 0.1", param_hint=hint)
    return int(found[1]) * YOCTO + int((found[2] or "").ljust(24, "0"))


def near(amount: str) -> str:
    """A price for people, exactly."""
    whole, part = divmod(int(amount), YOCTO)
    return "free" if not int(amount) else f"{whole}{f'.{part:024d}'.rstrip('0').rstrip('.')} NEAR"
