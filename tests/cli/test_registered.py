"""What `pattern search` and `pattern price` print of the registry, for people."""

from __future__ import annotations

from typing import Any

import pytest

from mycelnode.cli.patterns import _price, _say_priced, _say_results

FOUND: dict[str, Any] = {
    "cid": "bafyreia",
    "title": "Sort letters",
    "kind": "prompt",
    "domain": "home",
    "price": str(2 * 10**22),
    "score": 0.5,
    "later": None,
    "explain": [],
}
SOURCES = {"library": "ok", "swarm": "off", "registry": "ok", "subnet": "off"}


@pytest.mark.parametrize(
    ("retired", "line"), [(False, "    registered by alice.near"), (True, "    registered by alice.near, retired")]
)
def test_who_registered_it_is_said(capsys: pytest.CaptureFixture[str], retired: bool, line: str) -> None:
    answer = {"results": [{**FOUND, "registry": {"account": "alice.near", "retired": retired}}], "embedder": "none"}
    _say_results(False, {**answer, "sources": SOURCES})
    printed = capsys.readouterr()
    assert line in printed.out.splitlines()
    assert "0.02 NEAR" in printed.out
    assert "registry:" not in printed.err


def test_what_its_creator_does_not_sell_has_no_price(capsys: pytest.CaptureFixture[str]) -> None:
    replaced = {**FOUND, "registry": None, "later": "bafyreib"}
    for state, price in (("ok", "not for sale"), ("no NEAR RPC server answers", "0.02 NEAR")):
        answer = {"results": [replaced], "embedder": "none", "sources": {**SOURCES, "registry": state}}
        _say_results(False, answer)
        assert f"    prompt, home, {price}, score 0.50" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("now", "shown"), [(None, "0.02 NEAR"), (str(2 * 10**22), "0.02 NEAR"), ("0", "free (it says 0.02 NEAR)")]
)
def test_the_price_of_the_registry_is_shown_beside_that_of_the_file(now: str | None, shown: str) -> None:
    assert _price({"price": str(2 * 10**22), "price_now": now}) == shown


def test_a_source_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = "no NEAR RPC server answers; the copy that was used is 3 minutes old"
    answer = {"results": [{**FOUND, "registry": None}], "embedder": "none", "sources": {**SOURCES, "registry": said}}
    _say_results(False, answer)
    printed = capsys.readouterr()
    assert "registered by" not in printed.out
    assert f"registry: {said}" in printed.err.splitlines()


@pytest.mark.parametrize(("price", "word"), [("0", "is free"), (str(2 * 10**22), "costs 0.02 NEAR")])
def test_the_price_from_now_on_is_said(capsys: pytest.CaptureFixture[str], price: str, word: str) -> None:
    _say_priced({"cid": "bafyreia", "price": price})
    assert capsys.readouterr().out == f"bafyreia {word} from now on\n"
