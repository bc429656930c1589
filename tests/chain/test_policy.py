"""What may be spent: decided of limits, a payment, and what was spent before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.chain.amounts import YOCTO, parse_near
from mycelnode.chain.policy import Limits, Payment, Spent, decide
from mycelnode.config_keys import KEYS, parse_value
from mycelnode.errors import ConfigError

REGISTRY = "registry.near"
LIMITS = Limits(per_use=100, per_day=1_000, per_creator=300, ask_above=50, contracts=frozenset((REGISTRY,)))
USE = Payment(REGISTRY, 40, "alice.near")


def said(payment: Payment, *before: Spent) -> str:
    verdict = decide(LIMITS, payment, before)
    assert not verdict.allowed
    assert verdict.said.endswith("; nothing was spent")
    assert "\n" not in verdict.said
    return verdict.said


def test_within_the_limits_nobody_is_asked() -> None:
    verdict = decide(LIMITS, USE, [])
    assert (verdict.allowed, verdict.ask) == (True, False)


def test_each_limit_has_its_sentence_and_names_its_setting() -> None:
    assert "near.spend_per_use" in said(replace(USE, amount=101))
    assert "near.spend_per_day" in said(USE, Spent(961, "bob.near"))
    assert "near.spend_per_creator" in said(USE, Spent(261, "alice.near"))
    assert "near.contracts" in said(replace(USE, contract="thief.near"))


def test_up_to_the_limit_it_is_allowed() -> None:
    assert decide(LIMITS, USE, [Spent(700, "bob.near"), Spent(260, "alice.near")]).allowed
    assert decide(LIMITS, replace(USE, amount=100), []).allowed


def test_above_a_sum_the_person_is_asked() -> None:
    verdict = decide(LIMITS, replace(USE, amount=51), [])
    assert (verdict.allowed, verdict.ask) == (True, True)
    assert "near.ask_above" in verdict.said


def test_what_is_no_use_has_no_limit_of_a_use_or_a_creator() -> None:
    assert decide(LIMITS, Payment(REGISTRY, 900), [Spent(50, None)]).allowed
    assert "near.spend_per_day" in said(Payment(REGISTRY, 1_001))


def test_what_two_calls_take_to_see_a_key_costs_nothing() -> None:
    spent = [Spent(LIMITS.per_day)]
    assert decide(LIMITS, Payment(REGISTRY, 2, calls=2), spent).allowed
    assert not decide(LIMITS, Payment(REGISTRY, 2), spent).allowed
    assert not decide(LIMITS, Payment(REGISTRY, 3, calls=2), spent).allowed


@pytest.mark.parametrize("amount", [0, 1])
def test_what_costs_nothing_is_allowed_when_all_is_spent(amount: int) -> None:
    nothing = replace(LIMITS, per_use=0, per_day=0, per_creator=0, ask_above=0)
    for payment in (Payment(REGISTRY, amount), Payment(REGISTRY, amount, "alice.near")):
        verdict = decide(nothing, payment, [Spent(5_000, "alice.near")])
        assert (verdict.allowed, verdict.ask) == (True, False)
    assert "near.contracts" in said(Payment("thief.near", amount))


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abc")), max_size=30))
def test_whatever_is_wanted_in_which_order_the_limits_hold(wanted: list[tuple[int, str]]) -> None:
    spent: list[Spent] = []
    for amount, creator in wanted:
        if decide(LIMITS, Payment(REGISTRY, amount, creator), spent).allowed:
            spent.append(Spent(amount, creator))
    assert all(one.amount <= LIMITS.per_use for one in spent)
    counted = [one for one in spent if one.amount > 1]
    assert sum(one.amount for one in counted) <= LIMITS.per_day
    for creator in "abc":
        assert sum(one.amount for one in counted if one.creator == creator) <= LIMITS.per_creator


def test_the_limits_of_the_settings() -> None:
    values: dict[str, Any] = {name: key.default for name, key in KEYS.items()}
    values |= {"near.registry": REGISTRY, "near.contracts": ["other.near"], "near.spend_per_use": "0.25"}
    limits = Limits.of(values.__getitem__)
    assert limits.per_use == YOCTO // 4
    assert limits.per_day == YOCTO
    assert limits.contracts == {"other.near"}, "what is named is all, whatever the registry is set to"
    assert Limits.of((values | {"near.contracts": ()}).__getitem__).contracts == {REGISTRY}
    assert Limits.of({name: key.default for name, key in KEYS.items()}.__getitem__).contracts == frozenset()


def test_settings_about_money_belong_to_the_device() -> None:
    assert {key.scope for name, key in KEYS.items() if name.startswith("near.")} == {"device"}


@pytest.mark.parametrize("raw", [0.5, "-1", "1e3", "much", True, None, "0." + "1" * 25, "9" * 13])
def test_a_limit_that_is_no_amount(raw: object) -> None:
    with pytest.raises(ConfigError, match=r'an amount of NEAR such as "0\.5"'):
        parse_value("near.spend_per_day", raw)


@pytest.mark.parametrize(("raw", "kept"), [("0.5", "0.5"), (" 2 NEAR ", "2"), (3, "3")])
def test_a_limit_is_kept_as_it_was_meant(raw: object, kept: str) -> None:
    assert parse_value("near.spend_per_day", raw) == kept
    assert parse_near(kept) > 0


@pytest.mark.parametrize("raw", ["Alice.near", "a b", "x" * 65, "alice@near"])
def test_an_account_that_is_none(raw: str) -> None:
    with pytest.raises(ConfigError):
        parse_value("near.account", raw)
    with pytest.raises(ConfigError):
        parse_value("near.contracts", [raw])
