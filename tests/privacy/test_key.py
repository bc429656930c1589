"""The key of a turn: the same for all ways to ask for the same, of nothing but its inputs, and never a word of the person's own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mycelnode.encoding import encode
from mycelnode.errors import EncodingError
from mycelnode.privacy.frametables import tables
from mycelnode.privacy.key import MAX_KEY_BYTES, Key, key_of, version, why_none
from mycelnode.privacy.owner import Dictionary

GOLDEN = Path(__file__).with_name("key_version.txt")
ASKED = (
    "Write unit tests for this function",
    "Fix the bug in this Python script",
    "Translate this email to German",
    "Plan dinners for the week",
    "Summarize the meeting notes",
    "Make this paragraph shorter",
    "Excel formula to count values",
    "Write a cover letter",
)
requests = st.sampled_from(ASKED)


def title(request: str, answer: str = "done") -> str:
    key = key_of(request, answer)
    return why_none(request, answer) if key is None else key.title


# --- what makes no difference ------------------------------------------------------------------------------------------------


@given(
    requests,
    st.sampled_from(("", "Hi! ", "Hello there, ", "Hey, ", "Good morning. ")),
    st.sampled_from(("", "please ", "could you please ", "can you ", "Could you kindly ", "I'd like you to ")),
    st.sampled_from(("", " Thanks!", " thank you so much", " Cheers", "?")),
)
def test_greetings_and_polite_words(request: str, greeting: str, polite: str, thanks: str) -> None:
    said = request[0].lower() + request[1:] if polite else request
    assert title(f"{greeting}{polite}{said}{thanks}") == title(request)


@given(requests, st.sampled_from((str.lower, str.upper, str.title)))
def test_case(request: str, change: object) -> None:
    assert title(change(request)) == title(request)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write a unit test for this", "Writing unit tests for this"),
        ("Summarise this article", "Can you give me a summary of this article?"),
        ("Summarize this article", "a summarization of the article, please"),
        ("Translate this letter into French", "I need a translation of this letter into French"),
        ("Fix this bug", "what's wrong with my code"),
        ("Don't know why this doesn't work, help", "why does this not work"),
        ("Organise my tasks", "organize my task"),
        ("plan my trips", "planning a trip"),
        ("Make this shorter", "shorten the text below"),
        ("write a commit message for this diff", "commit message please"),
    ],
)
def test_forms_of_words(one: str, other: str) -> None:
    assert title(one) == title(other)


@given(requests, st.lists(st.sampled_from(("Rohan Patel", "ACME GmbH", "+49 170 1234567", "rohan@example.com", "/home/rohan/x.py",
                                           "4111 1111 1111 1111", "Königstraße 12")), max_size=4))  # fmt: skip
def test_names_and_numbers_wherever_they_stand(request: str, private: list[str]) -> None:
    told = " ".join(f"It is about {one}." for one in private)
    assert title(f"{request}. {told}") == title(request)
    assert title(f"{told} {request}") == title(request)


@given(requests, st.sampled_from(("def area(r):\n    return 3 * r\n", "x = 1\n\ny = 2\n")))
def test_code_that_is_pasted_says_in_which_language_and_nothing_else(request: str, code: str) -> None:
    key, bare = key_of(f"{request}\n\n```python\n{code}```\n", "x"), key_of(request, "x")
    assert key is not None
    assert bare is not None
    assert key.frame == bare.frame
    assert set(key.names) <= {*bare.names, "python"}


# --- of nothing but its inputs -------------------------------------------------------------------------------------------------


def test_neither_process_nor_place_nor_time_go_in() -> None:
    script = (
        "import json, sys\nfrom mycelnode.privacy.key import key_of, version\n"
        "asked = json.load(sys.stdin)\nprint(version().hex(), [key_of(one, 'x').encode().hex() for one in asked])"
    )
    said = set()
    for number, (lang, zone) in enumerate(
        (("C", "UTC"), ("de_DE.UTF-8", "Asia/Tokyo"), ("tr_TR.UTF-8", "America/Lima"))
    ):
        shuffled = list(ASKED)
        random.Random(number).shuffle(shuffled)
        environment = {**os.environ, "LANG": lang, "LC_ALL": lang, "TZ": zone, "PYTHONHASHSEED": str(number)}
        # what was asked before makes no difference: the others come first, in another order each time
        text = json.dumps([*shuffled, *ASKED])
        done = subprocess.run(
            [sys.executable, "-c", script], input=text, text=True, capture_output=True, check=True, env=environment
        )
        name, _, keys = done.stdout.partition(" ")
        said.add((name, tuple(json.loads(keys.replace("'", '"'))[len(ASKED) :])))
    assert len(said) == 1
    assert next(iter(said))[0] == version().hex()


def test_a_changed_version_is_meant() -> None:
    """Devices, and windows that are open, do not count together with another version: a change is told in the changelog.

    `python -c "from mycelnode.privacy.key import version; print(version().hex())" > tests/privacy/key_version.txt` writes it anew.
    """
    assert version().hex() == GOLDEN.read_text().strip()


# --- nothing of the person's own -------------------------------------------------------------------------------------------------


def public() -> set[str]:
    known = tables()
    return {*known.usual, *known.about, *known.families, *(thing.domain for thing in known.about.values())}


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=300), st.builds(lambda one, other: f"{one}. {other}", requests, st.text(max_size=200))),
    st.text(max_size=80),
)
@example("write a test for \u202eabc\u200b", "")
@example("wr\u0456te a test", "")
@example("[NAME] write [EMAIL] test", "")
def test_all_of_it_is_out_of_the_tables(request: str, answer: str) -> None:
    key = key_of(request, answer)
    if key is not None:
        assert {*key.frame, key.domain, *key.names} <= public()
        packed = key.encode()
        assert len(packed) <= MAX_KEY_BYTES
        assert Key.decode(packed) == key
        assert not any(char.isdigit() for char in key.title)


def test_the_owners_dictionary_takes_words_out_of_it() -> None:
    assert title("Write a cover letter") == "write a letter"
    mine = Dictionary(["cover letter"])
    assert key_of("Write a cover letter", "x", mine) != key_of("Write a cover letter", "x")


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ("Schreibe einen Test für diese Funktion und erkläre mir dabei auch, wie das geht", "language"),
        ("Escribe una prueba unitaria para esta función, por favor, y que sea corta", "language"),
        ("この関数のテストを書いてください", "script"),
        ("Напиши тест для этой функции", "script"),
        ("", "language"),
        ("hello", "task"),
        ("write a test: " + "abandon " * 11 + "about", "phrase"),
    ],
)
def test_turns_without_a_key(request_: str, why: str) -> None:
    assert key_of(request_, "x") is None
    assert why_none(request_, "x") == why


# --- hostile bytes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        [],
        [["write", "test"], "coding"],
        [["write", "rohan"], "coding", []],
        [["write", "test"], "health", []],
        [["write", "test"], "coding", ["python", "python"]],
        [["write", "test"], "coding", ["acme"]],
        [["write", "test", "x"], "coding", []],
        [["write", 1], "coding", []],
        [["write", "test"], "coding", ["python"] * 6],
    ],
)
def test_what_is_no_key_is_not_taken_for_one(value: object) -> None:
    with pytest.raises(EncodingError):
        Key.decode(encode(value))


def test_a_long_request_is_read_in_time() -> None:
    """5 × the bound of a detector; what is looked at is cut."""
    import time

    for text in (
        "write a test " * 80_000,
        "a" * 1_000_000,
        "```\n" * 250_000,
        '"' * 1_000_000,
        "{;\n" * 300_000,
        "\n" * 1_000_000,
    ):
        began = time.process_time()
        key_of(text, text)
        assert time.process_time() - began < 2.5, text[:20]
