"""Values of a pattern's unknown fields in files that people read: as JSON, with links and bytes as DAG-JSON writes them
(https://ipld.io/specs/codecs/dag-json/spec/), and the strict reading of JSON.

`{"/": "bafy…"}` is a link and `{"/": {"bytes": base64}}` are bytes. DAG-JSON has no map whose only key is "/"; here it is written
`{"/": {"map": {"/": …}}}`, so that every value of a block comes back.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from mycelnode.errors import CidRefused, PatternFileRefused
from mycelnode.patterns.cid import Cid

MAX_DEPTH: Final = 64  # twice what a block may have, as links and bytes are maps here
MAX_VALUES: Final = 30_000  # three times what a block may have, for the same reason
MAX_DIGITS: Final = 400  # of a number: Python's integers take the square of their length to read

# a string, closed or not, or what makes structure; it matches in one pass whatever it is given
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.?)*+"?|[\[{]|[\]}]|,', re.DOTALL)
_LINK: Final = "/"


def read_json(text: str) -> Any:
    """The value of a JSON text (RFC 8259), of which no key stands twice. Raises `PatternFileRefused`, which names the line."""
    _look_over(text)
    try:
        return json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_number, parse_int=_whole, parse_float=_fraction
        )
    except json.JSONDecodeError as error:
        raise PatternFileRefused(f"line {error.lineno}, column {error.colno}: this is no JSON: {error.msg}") from error


def write_json(value: Any, *, indent: int | None = None) -> str:
    """The JSON of a value that `to_plain` made; on one line without an ``indent``."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def to_plain(value: Any) -> Any:
    """A value of DAG-CBOR, as JSON has it."""
    kind = type(value)
    if kind is Cid:
        return {_LINK: str(value)}
    if kind is bytes:
        return {_LINK: {"bytes": base64.b64encode(value).decode().rstrip("=")}}
    if kind is list:
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        plain = {key: to_plain(item) for key, item in value.items()}
        return {_LINK: {"map": plain}} if plain.keys() == {_LINK} else plain
    return value


def from_plain(value: Any) -> Any:
    """The inverse. Raises `PatternFileRefused` for a map of "/" that is neither."""
    kind = type(value)
    if kind is list:
        return [from_plain(item) for item in value]
    if kind is not dict:
        return value
    if value.keys() != {_LINK}:
        return {key: from_plain(item) for key, item in value.items()}
    inside = value[_LINK]
    if type(inside) is str:
        return parse_cid(inside)
    if type(inside) is dict and inside.keys() == {"map"} and type(inside["map"]) is dict:
        return {key: from_plain(item) for key, item in inside["map"].items()}
    if type(inside) is dict and inside.keys() == {"bytes"} and type(inside["bytes"]) is str:
        return _binary(inside["bytes"])
    raise PatternFileRefused('a map whose only key is "/" must be {"/": CID} or {"/": {"bytes": base64}}')


def parse_cid(text: str) -> Cid:
    """A CID as people write it. Raises `PatternFileRefused`."""
    try:
        return Cid.parse(text)
    except CidRefused as error:
        raise PatternFileRefused(str(error)) from error


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PatternFileRefused('what stands in {"/": {"bytes": …}} must be base64') from error


def _look_over(text: str) -> None:
    """Refuse what is nested too deeply or has too many values before anything of it is built."""
    depth = values = 0
    for token in _TOKENS.finditer(text):
        char = text[token.start()]
        if char in "[{":
            depth += 1
            values += 1
            if depth > MAX_DEPTH:
                raise PatternFileRefused(f"lists and maps are nested more than {MAX_DEPTH} deep")
        elif char in "]}":
            depth -= 1
        elif char == ",":
            values += 1
        if values > MAX_VALUES:
            raise PatternFileRefused(f"there are more than {MAX_VALUES:,} values in it")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise PatternFileRefused(f"the key {twice[:64]!r} stands twice in one map: say it once")
    return found


def _no_number(text: str) -> NoReturn:
    raise PatternFileRefused(f"{text} is no number of JSON")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise PatternFileRefused(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _fraction(text: str) -> float:
    number = float(text) if len(text) <= MAX_DIGITS else math.inf
    if not math.isfinite(number):
        raise PatternFileRefused(f"the number {text[:20]} is too large or too long")
    return number
