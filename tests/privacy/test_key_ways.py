"""The key of a turn is the same for all ways to ask for the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.privacy.key import key_of, why_none

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
def test_case(request: str, change: Callable[[str], str]) -> None:
    assert title(change(request)) == title(request)


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
