"""Accounts and amounts, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.chain.amounts import (
    MAX_YOCTO,
    YOCTO,
    account_id,
    format_near,
    implicit_account,
    is_implicit,
    parse_near,
    parse_yocto,
)
from mycelnode.errors import AccountRefused, AmountRefused

# https://docs.near.org/protocol/account-id and the tests of near-account-id
GOOD = [
    "aa",
    "a-a",
    "a-aa",
    "100",
    "0o",
    "com",
    "near",
    "bowen",
    "b-o_w_e-n",
    "b.owen",
    "bro.wen",
    "a.ha",
    "a.b-a.ra",
    "system",
]
GOOD += ["over.9000", "google.com", "illia.cheapaccounts.near", "0o0ooo00oo00o", "x" * 64, "ab" * 32, "alex-skidanov"]
BAD = [
    "",
    "a",
    "A",
    "Abc",
    "-near",
    "near-",
    "-near-",
    "near.",
    ".near",
    "near@",
    "@near",
    "неар",
    "_bowen",
    "hello world",
    ".".join(["abcdefghijklmnopqrstuvwxyz"] * 3),
]
BAD += [
    "b--o",
    "a..near",
    "b-.a",
    "a_-b",
    "x" * 65,
    "bo__wen",
    "near\n",
    "ｎear",
    "a\x00b",
    "some-complex-address@gmail.com",
]


@pytest.mark.parametrize("text", GOOD)
def test_accounts(text: str) -> None:
    assert account_id(text) == text


@pytest.mark.parametrize("text", [*BAD, None, 7, b"near", ["near"]])
def test_what_is_no_account_is_told_in_a_sentence(text: object) -> None:
    with pytest.raises(AccountRefused, match="is no NEAR account") as caught:
        account_id(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=70) | st.from_regex(r"\A[a-z0-9._-]{1,66}\Z"))
def test_whatever_is_taken_for_an_account_can_be_signed_with(text: str) -> None:
    from py_near_primitives import Transaction

    from mycelnode.chain.near import Transfer, _action

    try:
        account_id(text)
    except AccountRefused:
        return
    Transaction(text, bytes(32), 1, text, bytes(32), [_action(Transfer(1))]).get_hash()  # panics at what is none


def test_implicit_accounts() -> None:
    assert implicit_account(bytes(range(32))) == bytes(range(32)).hex()
    assert is_implicit(bytes(32).hex())
    assert is_implicit("0x" + "ab" * 20)
    assert not is_implicit("alice.near")


@pytest.mark.parametrize(
    ("text", "yocto"),
    [
        ("0.5", YOCTO // 2),
        ("0.5 NEAR", YOCTO // 2),
        ("1N", YOCTO),
        ("0.000000000000000000000001", 1),
        ("7 yocto", 7),
        (" 0 ", 0),
    ],
)
def test_amounts(text: str, yocto: int) -> None:
    assert parse_near(text) == yocto


NO_AMOUNTS = ["", "-1", "1e3", "0.0000000000000000000000001", "1,5", ".5", "٣", "1 BTC", "1.", "0.5\n1"]
NO_AMOUNTS += ["999999999999999", "9" * 40 + " yocto"]


@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(AmountRefused):
        parse_near(text)


@pytest.mark.parametrize("text", ["", "-1", "01", "1.0", "٣", str(1 << 128), 7, None, "1" * 5000])
def test_what_is_no_amount_of_json(text: object) -> None:
    with pytest.raises(AmountRefused):
        parse_yocto(text)


@given(st.integers(0, MAX_YOCTO))
def test_what_is_shown_is_the_amount_to_the_last_yocto(yocto: int) -> None:
    assert parse_near(format_near(yocto)) == yocto
    assert parse_yocto(str(yocto)) == yocto


def test_less_than_nothing_is_shown_too() -> None:
    assert format_near(-YOCTO // 2) == "-0.5 NEAR"
