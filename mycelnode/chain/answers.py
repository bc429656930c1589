"""What comes from outside in JSON, read field by field: nothing is believed to be of the kind or size that it should be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mycelnode.chain.amounts import account_id, parse_yocto
from mycelnode.errors import AccountRefused, AmountRefused, ContractWrong, EncodingError, MycelError, shown

MAX_U32: Final = (1 << 32) - 1
MAX_U64: Final = (1 << 64) - 1
MAX_ITEMS: Final = 1_000
HASH: Final = re.compile(r"[0-9a-f]{64}")


class Answer:
    """An object; ``what`` says of what, and ``wrong`` which error it is when a field is not what it must be."""

    def __init__(self, value: Any, what: str, wrong: Callable[[str], MycelError] = ContractWrong) -> None:
        self._what, self._wrong = what, wrong
        if not isinstance(value, Mapping):
            raise self.error("an object")
        self._value = value

    def error(self, expected: str, name: str = "") -> MycelError:
        """For a field that should have been something else."""
        return self._wrong(f"the answer to {self._what} makes no sense: {name or 'it'} should be {expected}")

    def has(self, name: str) -> bool:
        """Is it there, and not null?"""
        return self._value.get(name) is not None

    def inside(self, name: str) -> Answer:
        """An object in it."""
        return Answer(self._value.get(name), f"{self._what}: {name}", self._wrong)

    def any(self, name: str) -> Any:
        """Whatever it is."""
        return self._value.get(name)

    def items(self, name: str, most: int = MAX_ITEMS) -> list[Any]:
        """A list."""
        found = self._value.get(name)
        if not isinstance(found, list) or len(found) > most:
            raise self.error(f"a list of at most {most}", name)
        return found

    def number(self, name: str, high: int = MAX_U64) -> int:
        """A whole number, not negative."""
        found = self._value.get(name)
        if type(found) is not int or not 0 <= found <= high:
            raise self.error("a number", name)
        return found

    def text(self, name: str, most: int) -> str:
        """One line of text."""
        found = self._value.get(name)
        if not isinstance(found, str) or len(found) > most or not found.isprintable():
            raise self.error("a text", name)
        return found

    def flag(self, name: str) -> bool:
        """True or false."""
        found = self._value.get(name)
        if type(found) is not bool:
            raise self.error("true or false", name)
        return found

    def amount(self, name: str) -> int:
        """yoctoNEAR, as a decimal string."""
        try:
            return parse_yocto(self._value.get(name))
        except AmountRefused:
            raise self.error("an amount in yoctoNEAR", name) from None

    def nanoseconds(self, name: str) -> int:
        """A time since 1970, as a decimal string."""
        found = self.amount(name)
        if found > MAX_U64:
            raise self.error("a time in nanoseconds", name)
        return found

    def account(self, name: str) -> str:
        """The name of an account."""
        try:
            return account_id(self._value.get(name))
        except AccountRefused:
            raise self.error("an account", name) from None

    def hash(self, name: str) -> str:
        """64 hex digits in lower case."""
        found = self._value.get(name)
        if not isinstance(found, str) or HASH.fullmatch(found) is None:
            raise self.error("a hash", name)
        return found

    def base58(self, name: str) -> bytes:
        """32 bytes in base58, as hashes of blocks and transactions are."""
        from mycelnode.encoding import from_base58

        found = self._value.get(name)
        try:
            data = from_base58(found) if isinstance(found, str) else b""
        except EncodingError:
            data = b""
        if len(data) != 32:
            raise self.error(f"a hash, not {shown(str(found))[:60]!r}", name)
        return data

    def maybe(self, name: str, read: Callable[[str], Any]) -> Any:
        """What ``read`` makes of a field, or None if it is null or not there."""
        return read(name) if self.has(name) else None
