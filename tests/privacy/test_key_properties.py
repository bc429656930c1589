"""Whatever a turn says: its key has public words only, is read back, and depends on the turn alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.privacy.frametables import tables
from mycelnode.privacy.key import Key, key_of
from mycelnode.privacy.owner import Dictionary

ACTIONS = (action for thing in tables().about.values() for action in thing.actions)
PUBLIC = frozenset((*ACTIONS, *tables().about, *tables().families, *tables().tongues, *tables().domains))
TASKS = ("write", "fix", "summarize", "translate", "plan", "review", "how do I", "what is", "make", "recommend")
THINGS = (
    "unit tests",
    "an email",
    "a SQL query",
    "my code",
    "a trip",
    "the meeting notes",
    "a recipe",
    "a poem",
    "python",
    "german",
)
ODD = ("Rohan", "Пётр", "раураl", "ＴＥＳＴ", "test\u200b", "\u202etest", "[NAME]", "SLOT_1", "DE89", "x@y.z", "日本語", "İstanbul",
       "ﬁx", "ß", "`code`", "```", "\n\n", ":", '"', "“", "e\u0301", "\U0001e900", "1", "-", "'s", "__", "Ⅳ", "K")  # fmt: skip

pieces = st.one_of(st.sampled_from(TASKS), st.sampled_from(THINGS), st.sampled_from(ODD), st.text(max_size=8))
texts = st.one_of(
    st.lists(st.tuples(pieces, st.sampled_from([" ", " ", "\n", ", ", ""])), max_size=14).map(
        lambda parts: "".join(map("".join, parts))
    ),
    st.text(st.characters(exclude_categories=()), max_size=60),
)
tasks = st.tuples(st.sampled_from(TASKS), st.sampled_from(THINGS)).map(" ".join)


@settings(max_examples=500, deadline=None)
@given(texts, texts)
def test_a_key_has_public_words_only_and_is_read_back(request: str, answer: str) -> None:
    key = key_of(request, answer)
    if key is not None:
        assert {*key.frame, key.domain, *key.names} <= PUBLIC
        assert not any(char.isdigit() for word in (*key.frame, *key.names) for char in word)
        assert Key.decode(key.encode()) == key


@settings(max_examples=200, deadline=None)
@given(tasks, st.lists(st.tuples(texts, texts), max_size=3))
def test_other_turns_make_no_difference(request: str, others: list[tuple[str, str]]) -> None:
    alone = key_of(request, "ok")
    for other in others:
        key_of(*other)
    assert key_of(request, "ok") == alone


@settings(max_examples=300, deadline=None)
@given(tasks, st.booleans())
def test_greetings_case_and_polite_words_make_no_difference(request: str, loud: bool) -> None:
    wanted = key_of(request, "ok")
    said = request.upper() if loud else request.capitalize()
    ways = [
        said,
        f"please {request}",
        f"Hi!\n\n{request}",
        f"{request}, thanks!",
        f"Hello Rohan,\n{request}.",
        f"  {request}\r\n",
    ]
    assert [key_of(way, "ok") for way in ways] == [wanted] * len(ways)


@settings(max_examples=300, deadline=None)
@given(
    tasks, st.sampled_from(["Rohan", "Zürich", "x7", "a_b", "r@x.org", "DE89370400440532013000", "[NAME]", "SLOT_3"])
)
def test_names_and_numbers_make_no_difference(request: str, name: str) -> None:
    assert key_of(f"{request} for {name}", "ok") == key_of(f"{request} for SLOT_1", "ok")


@settings(max_examples=200, deadline=None)
@given(texts, st.sampled_from(["python", "german", "tests", "email"]))
def test_what_is_in_the_dictionary_is_as_if_it_were_a_name(text: str, word: str) -> None:
    key = key_of(text, "", Dictionary([word]))
    assert key is None or word not in key.names or word not in text.casefold()
