"""Statements: signed by their author, for one mesh, at one place of the author's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.crdt.changelog import Head, chain, genesis
from mycelnode.crdt.statements import (
    AWAY,
    ENROL,
    FENCE,
    FORK,
    MAX_STATEMENT,
    REVOKE,
    SIGNED_KINDS,
    Statement,
    decode_statement,
    derived_fork,
)
from mycelnode.encoding import encode
from mycelnode.errors import EncodingError, LogError
from mycelnode.identity import Identity, KeyPair, RootKey, verify

ROOT, OTHER_ROOT = RootKey(b"r" * 32), RootKey(b"s" * 32)
ME, OTHER = Identity(b"1" * 32), Identity(b"2" * 32)
START = genesis(ROOT.public, ME.device)
HEAD = Head(4, b"h" * 32)
FIRST = Head(1, START.hash)


def written(
    kind: str = ENROL,
    *,
    author: KeyPair = ME,
    position: Head | None = FIRST,
    head: Head | None = None,
    info: Mapping[str, Any] | None = None,
) -> Statement:
    statement = Statement(kind, OTHER.device, head, author.public, position, info or {"name": "phone"})
    return statement.signed(ROOT.public, author.sign)


DEVICES_OWN = written()
BY_ROOT = written(REVOKE, author=ROOT, position=None, head=HEAD)


@pytest.mark.parametrize(
    "statement", [DEVICES_OWN, BY_ROOT, written(FENCE, head=HEAD), written(AWAY, author=ROOT, position=None)]
)
def test_a_statement_travels_and_verifies(statement: Statement) -> None:
    again = decode_statement(statement.encoded)
    assert again == statement
    assert again.id == statement.id
    again.verify(ROOT.public, verify)


def test_a_statement_stands_at_one_place_of_its_authors_log() -> None:
    assert DEVICES_OWN.at == Head(1, chain(START.hash, DEVICES_OWN.entry))
    assert BY_ROOT.at is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": REVOKE}, {"subject": ME.device}, {"head": HEAD}, {"author": OTHER.device}, {"position": Head(2, START.hash)},
        {"position": Head(1, b"x" * 32)}, {"info": {"name": "thief"}}, {"info": {}}, {"signature": bytes(64)},
        {"signature": DEVICES_OWN.signature[:63]}, {"signature": BY_ROOT.signature}, {"signature": b""},
    ],
    ids=str,
)  # fmt: skip
def test_nothing_in_a_statement_can_be_changed(change: dict[str, Any]) -> None:
    with pytest.raises(LogError):
        replace(DEVICES_OWN, **change).verify(ROOT.public, verify)


@given(place=st.integers(0, len(DEVICES_OWN.encoded) - 1), bit=st.integers(0, 7))
def test_no_bit_of_the_wire_form_can_be_changed(place: int, bit: int) -> None:
    data = DEVICES_OWN.encoded
    flipped = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
    with pytest.raises((EncodingError, LogError)):
        decode_statement(flipped).verify(ROOT.public, verify)


@pytest.mark.parametrize("cut", range(0, len(DEVICES_OWN.encoded), 7))
def test_a_truncated_or_extended_statement_is_refused(cut: int) -> None:
    with pytest.raises(EncodingError):
        decode_statement(DEVICES_OWN.encoded[:cut])
    with pytest.raises(EncodingError):
        decode_statement(DEVICES_OWN.encoded + DEVICES_OWN.encoded[:cut] + b"\0")


def test_a_statement_is_worth_nothing_in_another_mesh() -> None:
    for statement in (DEVICES_OWN, BY_ROOT):
        with pytest.raises(LogError):
            statement.verify(OTHER_ROOT.public, verify)


def test_only_the_root_stands_outside_a_log_and_only_devices_in_one() -> None:
    outside = written(position=None)
    inside = written(author=ROOT, position=Head(1, START.hash))
    zeroth = written(position=Head(0, START.hash))
    for statement in (outside, inside, zeroth):
        with pytest.raises(LogError):
            statement.verify(ROOT.public, verify)


def test_nothing_is_said_about_the_root() -> None:
    """The root is no device: it can't be enrolled, revoked, fenced or away."""
    for kind in SIGNED_KINDS:
        for author, position in ((ME, Head(1, START.hash)), (ROOT, None)):
            statement = Statement(kind, ROOT.public, None, author.public, position).signed(ROOT.public, author.sign)
            with pytest.raises(LogError, match="root"):
                statement.verify(ROOT.public, verify)


def test_a_fork_is_derived_and_never_believed() -> None:
    fork = derived_fork(ME.device, HEAD)
    assert (fork.kind, fork.subject, fork.head) == (FORK, ME.device, HEAD)
    with pytest.raises(LogError, match="never signed"):
        replace(fork, position=Head(1, START.hash)).signed(ROOT.public, ME.sign).verify(ROOT.public, verify)
    with pytest.raises(EncodingError):
        decode_statement(fork.encoded)


def test_a_signature_over_a_head_is_no_statement() -> None:
    forged = replace(DEVICES_OWN, signature=ME.sign(b"mycel-head" + ROOT.public + DEVICES_OWN.body))
    with pytest.raises(LogError):
        forged.verify(ROOT.public, verify)


WIRE: list[Any] = ["enrol", OTHER.device, None, ME.device, [1, START.hash], {"name": "x"}]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "fork"), (0, "praise"), (0, ["enrol"]), (0, b"enrol"), (1, OTHER.device[1:]), (1, None), (2, []), (2, [1]),
        (2, [-1, b"h" * 32]),
        (2, [1, b"h"]), (2, [True, b"h" * 32]), (3, b""), (4, [1, START.hash, 1]), (4, "1"), (5, None), (5, [1]), (5, {1: 2}),
        (5, {"x" * 33: 1}), (5, {"name": None}), (5, {"name": [1]}), (5, {"name": "x" * MAX_STATEMENT}),
    ],
)  # fmt: skip
def test_a_malformed_statement_is_refused_however_well_signed(place: int, value: Any) -> None:
    wire = [*WIRE[:place], value, *WIRE[place + 1 :]]
    body = encode(wire)
    with pytest.raises(EncodingError):
        decode_statement(encode([body, ME.sign(b"mycel-statement" + ROOT.public + body)]))


@pytest.mark.parametrize(
    "data", [b"", b"\x80", encode([1, 2]), encode([encode(WIRE), b"short"]), encode([encode(WIRE[:5]), bytes(64)])]
)
def test_what_is_no_statement_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_statement(data)


@given(data=st.binary(max_size=60))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_statement(data)
