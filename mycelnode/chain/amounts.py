"""Names of accounts and amounts of NEAR, as people write them and as the network takes them. Nothing is ever rounded."""

from __future__ import annotations

import re
from typing import Final

from mycelnode.errors import AccountRefused, AmountRefused, shown

YOCTO: Final = 10**24  # in one NEAR
DECIMALS: Final = 24
MAX_YOCTO: Final = (1 << 128) - 1
TGAS: Final = 10**12
GAS_PRICE: Final = (
    10**9
)  # yoctoNEAR a gas, at least, that is paid in advance since protocol 85; what is not burnt comes back

MIN_ACCOUNT_CHARS: Final = 2  # https://docs.near.org/protocol/account-id
MAX_ACCOUNT_CHARS: Final = 64
_ACCOUNT: Final = re.compile(r"(?:[a-z0-9]+[-_])*[a-z0-9]+(?:\.(?:[a-z0-9]+[-_])*[a-z0-9]+)*")
_IMPLICIT: Final = re.compile(r"[0-9a-f]{64}|0x[0-9a-f]{40}|0s[0-9a-f]{40}")
_AMOUNT: Final = re.compile(r"(\d{1,15})(?:\.(\d{1,24}))?(?:\s*(?:NEAR|near|N))?", re.ASCII)
_IN_YOCTO: Final = re.compile(r"(\d{1,39})\s*(?:yocto|yoctoNEAR|yocto[Nn]ear)", re.ASCII)


def account_id(text: object) -> str:
    """``text``, if it is the name of an account. py-near does not survive one that is none. Raises `AccountRefused`."""
    if (
        isinstance(text, str)
        and MIN_ACCOUNT_CHARS <= len(text) <= MAX_ACCOUNT_CHARS
        and _ACCOUNT.fullmatch(text) is not None
    ):
        return text
    raise AccountRefused(
        f"{shown(str(text))!r} is no NEAR account: one has 2 to 64 small letters and digits, with single . - _ between them,"
        " such as alice.testnet"
    )


def is_implicit(account: str) -> bool:
    """Is it named after a key (or a contract), so that it exists as soon as something is sent to it?"""
    return _IMPLICIT.fullmatch(account) is not None


def implicit_account(public: bytes) -> str:
    """The account that is named after an Ed25519 key."""
    return public.hex()


def parse_near(text: str) -> int:
    """yoctoNEAR, from ``0.5``, ``0.5 NEAR`` or ``500 yocto``. Raises `AmountRefused`."""
    if found := _IN_YOCTO.fullmatch(text.strip()):
        amount = int(found[1])
    elif found := _AMOUNT.fullmatch(text.strip()):
        amount = int(found[1]) * YOCTO + int((found[2] or "").ljust(DECIMALS, "0"))
    else:
        raise AmountRefused(f"{shown(text)!r} is no amount of NEAR; one is like 0.5, with at most {DECIMALS} decimals")
    if amount > MAX_YOCTO:
        raise AmountRefused(f"{shown(text)} is more NEAR than there can be")
    return amount


def format_near(yocto: int) -> str:
    """``0.5 NEAR``, to the last yocto."""
    whole, part = divmod(abs(yocto), YOCTO)
    digits = f"{part:024d}".rstrip("0")
    return f"{'-' if yocto < 0 else ''}{whole}{f'.{digits}' if digits else ''} NEAR"


def parse_yocto(text: object) -> int:
    """yoctoNEAR, from decimal digits as JSON carries them. Raises `AmountRefused`."""
    if isinstance(text, str) and re.fullmatch(r"0|[1-9]\d{0,38}", text, re.ASCII) and int(text) <= MAX_YOCTO:
        return int(text)
    raise AmountRefused(f"{shown(str(text))!r} is no amount in yoctoNEAR, which are decimal digits")
