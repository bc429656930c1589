"""JSON: keys, strings and numbers become slots; its form, true, false and null stay."""

from __future__ import annotations

import json
import re

from mycelnode.privacy.code._numbers import Numbers, Piece

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|-?\d[\d.eE+-]*+|-?(?:NaN|Infinity)', re.DOTALL)


def json_slots(source: str, numbers: Numbers) -> list[Piece]:
    """The slots of one JSON text. Raises `ValueError` or `RecursionError` if it is none."""
    json.loads(source)
    found = []
    for match in _TOKEN.finditer(source):
        kind, reason = ("string", "a key or a string") if match[0][0] == '"' else ("number", "a number")
        found.append(Piece(*match.span(), reason, f'"{numbers.slot(kind, match[0])}"'))
    return found
