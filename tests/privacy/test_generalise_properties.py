"""Whatever the text: offsets are right, no digit survives, and a text that was generalised stays as it is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.privacy.generalise import generalise, replaced
from mycelnode.privacy.lists import words
from mycelnode.privacy.vocabulary import vocabulary

KNOWN = vocabulary()
PLAIN = sorted(KNOWN.plain)
ODD = tuple(
    words(
        """
        password is was token : = street road ltd inc and of at 12 5 march may monday A I X a.m. e.g. Dr. mr. St. saint north new
        jo@x.com http://a.b/c 10.0.0.1 [NAME] [TEXT] SLOT_1 /home/jo . , ! ? ( ) " ' - — ** `x` ``` ```python ```json _x_ one two
        three b c d group bank or Robert's DE89370400440532013000 +49301234567 dot com us\u202e \u200b 日本 é ½ abandon NOT AT
        """
    )
)

a_word = st.sampled_from([*PLAIN[::97], *sorted(KNOWN.family)[::31], *sorted(KNOWN.given), *sorted(KNOWN.names)[::900]])
pieces = st.one_of(a_word, a_word.map(str.title), st.sampled_from(sorted(ODD)), st.text(max_size=6))
between = st.sampled_from([" ", " ", " ", " ", "\n", "", ", ", ". ", "  ", "\t", "-"])
texts = st.one_of(
    st.lists(st.tuples(pieces, between), max_size=14).map(lambda parts: "".join(map("".join, parts))),
    st.text(max_size=60),
    st.text(st.characters(exclude_categories=()), max_size=40),  # halves of surrogate pairs, too
)


@settings(max_examples=400, deadline=None)
@given(texts)
def test_slots_are_what_was_replaced(text: str) -> None:
    result = generalise(text)
    done = 0
    for slot in result.slots:
        assert done <= slot.start < slot.end <= len(text)
        done = slot.end
    assert replaced(text, result.slots) == result.output


@settings(max_examples=400, deadline=None)
@given(texts)
def test_no_digit_survives(text: str) -> None:
    output = generalise(text).output
    if "SLOT_" not in output:  # the numbers of slots in code
        assert not any(char.isnumeric() or char.isdecimal() for char in output), output


@settings(max_examples=400, deadline=None)
@given(texts)
def test_what_was_generalised_stays_as_it_is(text: str) -> None:
    once = generalise(text).output
    assert generalise(once).output == once


@settings(max_examples=300, deadline=None)
@given(texts, st.sampled_from(PLAIN))
def test_no_word_stays_that_is_not_public(text: str, word: str) -> None:
    unknown = f"{word}q{word}"
    assert unknown not in generalise(f"{text} {unknown} {text}").output
