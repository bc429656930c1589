"""Account ids: which there may be, and whose child each is (nearcore's `near-account-id`)."""

from __future__ import annotations

import re

MIN_LENGTH, MAX_LENGTH = 2, 64
_VALID = re.compile(r"(([a-z\d]+[-_])*[a-z\d]+\.)*([a-z\d]+[-_])*[a-z\d]+")
_NEAR_IMPLICIT = re.compile(r"[0-9a-f]{64}")
_ETH_IMPLICIT = re.compile(r"0x[0-9a-f]{40}")
_DETERMINISTIC = re.compile(r"0s[0-9a-f]{40}")


def is_valid(account: str) -> bool:
    """May an account have this id?"""
    return MIN_LENGTH <= len(account) <= MAX_LENGTH and _VALID.fullmatch(account) is not None


def is_near_implicit(account: str) -> bool:
    """Is the id the public key of its owner, in hexadecimal?"""
    return _NEAR_IMPLICIT.fullmatch(account) is not None


def is_implicit(account: str) -> bool:
    """Is it an id that nobody can make with `CreateAccount`?"""
    return any(kind.fullmatch(account) for kind in (_NEAR_IMPLICIT, _ETH_IMPLICIT, _DETERMINISTIC))


def is_top_level(account: str) -> bool:
    """Has it no parent?"""
    return "." not in account


def is_child(account: str, parent: str) -> bool:
    """Is ``account`` directly below ``parent``?"""
    name, dot, rest = account.partition(".")
    return bool(name and dot) and rest == parent
