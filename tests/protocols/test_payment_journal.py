"""What the journal of payments keeps: how a check reads an answer, and entries as bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mycelnode.errors import EncodingError
from mycelnode.protocols.payment_journal import (
    Check,
    Entry,
    Intent,
    Outcome,
    Signature,
    State,
    decode_entry,
    encode_entry,
    json_args,
)

CHECK = Check("receipt", json_args(id=7, account="buyer.near"), "uses", least=1)
INTENT = Intent("use/7/1", "net", "buyer.near", "k", "registry.near", "use_pattern", b"{}", 10, 30, 1_000, CHECK, True)
SIGNED, BURN = Signature("T", b"T", 1, 10, 40), Signature("B", b"B", 1, 12, 42)


def test_a_check_reads_numbers_texts_and_nothing_else() -> None:
    least = Check("receipt", b"", "uses", least=2)
    assert [
        least.met(answer)
        for answer in ({"uses": 2}, {"uses": "3"}, {"uses": 1}, None, [], {"uses": True}, {"uses": 2.5})
    ] == [
        True,
        True,
        *[False] * 5,
    ]
    assert Check("claimable", b"", "", equals="0").met("0")
    assert not Check("claimable", b"", "", equals="0").met({"": "0"})
    assert Check("info", b"", "paused", equals="true").met({"paused": True})
    assert not Check("info", b"", "paused", equals="true").met({"paused": False})
    assert not Check("info", b"", "paused", least=1).met({"paused": True}), "true is no number"
    assert not Check("get_pattern", b"", "retired_at", least=0).met({"retired_at": None})
    assert not Check("x", b"", "y", least=0).met({"y": "٣"}), "digits of another script are no number"


def test_an_entry_comes_back_from_its_bytes_and_nothing_else_does() -> None:
    outcome = Outcome("T", True, b"{}", "", 1 << 50, 1 << 120)
    entry = Entry(INTENT, State.SIGNED, SIGNED, BURN, 7, outcome, True, "why", "said", 3)
    assert decode_entry(encode_entry(entry)) == entry
    for cut in range(len(encode_entry(entry))):
        with pytest.raises(EncodingError):
            decode_entry(encode_entry(entry)[:cut])
    with pytest.raises(EncodingError):
        encode_entry(Entry(replace(INTENT, deposit=1 << 128)))
