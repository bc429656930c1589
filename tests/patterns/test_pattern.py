"""A pattern: what is written is read again, what is unknown is kept, what is not within its bounds is refused in a sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import PatternRefused
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.solutions import Prompt, Variable
from tests.patterns.strategies import PATTERNS, VALUES

GOLDEN = Path(__file__).parent / "golden"


@given(PATTERNS)
def test_patterns_come_back_with_all_that_is_unknown_here(pattern: Pattern) -> None:
    block = dagcbor.encode(pattern.write())
    again = Pattern.read(dagcbor.decode(block))
    assert again == pattern
    assert dagcbor.encode(again.write()) == block


@given(
    PATTERNS, st.sampled_from(("title", "domain", "solution", "creator", "created", "price", "kind", "format")), VALUES
)
def test_a_field_of_any_value_is_read_or_refused_in_a_sentence(pattern: Pattern, name: str, value: Any) -> None:
    changed = {**pattern.write(), name: value}
    try:
        read = Pattern.read(changed)
    except PatternRefused as error:
        said = str(error)
    else:
        assert read.write()[name] == value
        return
    assert said
    assert "\n" not in said


@given(VALUES)
def test_whatever_is_no_pattern_is_refused(value: Any) -> None:
    with pytest.raises(PatternRefused):
        Pattern.read(value)


def good() -> dict[str, Any]:
    """A pattern with everything in it."""
    return copy.deepcopy(dagcbor.decode(bytes.fromhex(json.loads((GOLDEN / "prompt.json").read_text())["block"])))


BAD = [
    (
        "format",
        "mycel-pattern/2.0",
        "version 2 of the format, and this mycelnode reads version 1; a newer mycelnode reads it",
    ),
    ("format", "mycel-pattern/0.9", "version 0 of the format"),
    ("format", "something", "this is no pattern"),
    ("kind", "virus", "'kind' must be one of prompt, code, adapter, workflow"),
    ("title", "", "'title' must be text of 1 to 120 characters"),
    ("title", "x" * 121, "'title' must be text"),
    ("title", "a\nb", "'title' must be one line"),
    ("title", "safe\u202egpj.exe", "without U+202E"),
    ("domain", "Mail", "'domain' must be 1 to 32"),
    ("price", 5, "'price' must be an amount in yoctoNEAR"),
    ("price", "05", "'price' must be"),
    ("price", "-1", "'price' must be"),
    ("price", str(1 << 128), "'price' must be"),
    ("creator", bytes(31), "'creator' must be 32 bytes"),
    ("created", -1, "'created' must be a whole number"),
    ("version", 0, "'version' must be a whole number from 1"),
    ("requires", ["x"] * 33, "'requires' must be a list of at most 32 items"),
    ("supersedes", "bafy", "'supersedes' must be a CID"),
    ("files", "bafy", "'files' must be a CID"),
    ("derived_from", [b""], "'derived_from' must be a list of CIDs"),
    ("quality", {"uses": 1, "successes": 2}, "'successes' must be a whole number from 0 to 1"),
    ("solution", {"template": "{{a}}"}, "uses the variable 'a', which it does not declare"),
    ("solution", {"template": "a", "variables": [{"name": "a"}]}, "declares the variable 'a', which it does not use"),
    ("solution", {"template": "{{a}}", "variables": [{"name": "a"}] * 2}, "declares a variable twice"),
    ("solution", {"template": "{{a}}", "variables": [{"name": "a b"}]}, "'name' must be a name"),
    ("solution", [], "a prompt template is no map"),
]


@pytest.mark.parametrize(
    ("name", "value", "sentence"), BAD, ids=[f"{name}-{number}" for number, (name, *_) in enumerate(BAD)]
)
def test_what_is_wrong_is_said(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(PatternRefused) as found:
        Pattern.read({**good(), name: value})
    assert sentence in str(found.value)


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda file: file.stem)
def test_the_encoding_is_what_it_was(file: Path) -> None:
    """Golden vectors: a block, its CID, and what it says. Never change one: published patterns are encoded so."""
    vector = json.loads(file.read_text())
    block = bytes.fromhex(vector["block"])
    pattern = Pattern.read(dagcbor.decode(block))
    assert dagcbor.encode(pattern.write()) == block
    assert str(Cid.of(DAG_CBOR, block)) == vector["cid"]
    assert pattern.kind == file.stem
    assert {name: getattr(pattern, name) for name in vector["says"]} == vector["says"]


def test_values_are_put_in_and_not_looked_into() -> None:
    prompt = Prompt("Dear {{ name }}, {{name}}: {{text}}", (Variable("name"), Variable("text", default="")))
    assert prompt.fill({"name": "{{text}}"}) == "Dear {{text}}, {{text}}: "
    with pytest.raises(PatternRefused, match="needs a value for 'name'"):
        prompt.fill({})
    with pytest.raises(PatternRefused, match="no variable 'nmae'"):
        prompt.fill({"nmae": "x"})
