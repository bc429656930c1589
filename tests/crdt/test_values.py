"""Values are packed within their bounds, and at the price of one look."""

from __future__ import annotations

from typing import Any

import pytest

from mycelnode import encoding
from mycelnode.crdt.values import MAX_VALUE_DEPTH, pack, unpack
from mycelnode.errors import ValueRefused


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_is_nested_as_deep_as_a_rescue_leaves_room_for() -> None:
    assert unpack(pack(_nested(MAX_VALUE_DEPTH))) == _nested(MAX_VALUE_DEPTH)
    with pytest.raises(ValueRefused):
        pack(_nested(MAX_VALUE_DEPTH + 1))


def test_a_value_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look was a quarter of what it cost to take a peer's value of many empty lists."""
    looked_at, check = list[Any](), encoding.check

    def counted(value: Any, *depth: int) -> None:
        looked_at.append(value)
        check(value, *depth)

    monkeypatch.setattr(encoding, "check", counted)
    value = [[], {}, []]
    pack(value)
    assert looked_at == [value, *value]
