"""A turn's key: the same for one habit however it is said, another one for another habit, and nobody's words in it."""

from __future__ import annotations

import json
import locale
import os
import random
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from mycelnode.encoding import encode
from mycelnode.errors import EncodingError
from mycelnode.privacy import framerules, frametables, key, languages
from mycelnode.privacy.key import MAX_KEY_BYTES, MAX_TURN_CHARS, Key, key_of, version, why_none
from mycelnode.privacy.owner import Dictionary
from tests.privacy.hostile import bombs

GOLDEN = Path(__file__).parent / "key_version.txt"
SECONDS = 0.25  # for the worst text there may be, many times what it takes

TESTS = "write a test (python)"
SAME = {
    TESTS: [
        "Write unit tests for this function.\n\n```python\ndef f(): ...\n```",
        "could you PLEASE write some pytest tests for the parser, thanks!",
        "Good morning! I'd like unit testing with pytest here",
        "python tests: the parser",
        "I've to add test cases for my python parser; please create them",
        "write unit tests for Rohan Patel's python module",
    ],
    "write a query (sql)": [
        "Write a SQL query that counts the orders of each customer",
        "how do I count the emails per city in sql?",
        "I need an SQL statement for customers without orders",
    ],
    "translate text (german)": [
        "Translate this into German:\n\nWhere is the station?",
        'how do you say "where is the station" in German',
        "german translation please\n\nThe price of the contract is too high.",
    ],
    "rewrite text": [
        "Make this email sound more polite:\n\nSend the invoice!",
        "please rephrase my mail to the landlord",
        "How can I make this email friendlier?\n\nfix the heating",
    ],
    "summarize a meeting": ["summarise the meeting notes below", "Summary of these minutes please\n\nwe write tests"],
    "explain a concept": ["How does a heat pump work?", "explain entropy", "What's the difference between mass and weight?"],
}  # fmt: skip


def title(request: str, answer: str = "Of course.") -> str:
    found = key_of(request, answer)
    return found.title if found else why_none(request, answer)


@pytest.mark.parametrize("wanted", SAME)
def test_one_habit_has_one_key_however_it_is_said(wanted: str) -> None:
    assert {request: title(request) for request in SAME[wanted]} == dict.fromkeys(SAME[wanted], wanted)


def test_what_is_pasted_says_nothing() -> None:
    asked = "Summarize this email please:\n\n"
    pasted = (
        "Please write a unit test in python.",
        "We travel to Rome.\n\nHow do I bake bread?",
        "```sql\nselect 1\n```",
    )
    assert {title(asked + text) for text in pasted} == {"summarize text"}
    assert title(pasted[0]) == TESTS
    assert title("Shorten this please:\n\nA cover letter shows who you are.") == "shorten text"


def test_what_looks_like_a_slot_is_no_word() -> None:
    assert title("write to [EMAIL] please") == title("write to SLOT_1 please") == "rewrite text"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ("Schreibe mir bitte eine E-Mail an den Vermieter", "language"),
        ("Peux-tu traduire ce texte, une email en anglais", "language"),
        ("write xyzzy plugh frobnicate quux", "language"),
        ("напиши письмо", "script"),
        ("メールを書いて email", "script"),
        ("写一封邮件", "script"),
        ("hello there, it is me again", "task"),
        ("", "language"),
        ("write an email: " + "abandon ability able about above absent absorb abstract absurd abuse access accident", "phrase"),
        ("write an email " + "so " * (MAX_TURN_CHARS // 3), "long"),
    ],
)  # fmt: skip
def test_a_turn_without_a_key(request_: str, reason: str) -> None:
    assert key_of(request_, "Yes.") is None
    assert why_none(request_, "Yes.") == reason


def test_a_phrase_in_the_answer_drops_the_turn_as_well() -> None:
    phrase = "abandon ability able about above absent absorb abstract absurd abuse access accident"
    assert why_none("write an email", phrase) == "phrase"
    assert why_none("write an email", "ok") == ""


def test_what_is_in_the_dictionary_is_never_in_a_key() -> None:
    asked = "write a poem in spanish vocabulary with python"
    assert title("write a poem about python") == "write a poem"
    assert title("write python code") == "write code (python)"
    owner = Dictionary(["python", "Spanish"])
    found = key_of("write python code", "", owner)
    assert found is not None
    assert found.names == ()
    hidden = key_of(asked, "", owner)
    assert hidden is not None
    assert hidden.names == ()


def test_ordinary_words_are_no_tools() -> None:
    assert title("please go over this function") == "review code"
    assert title("write code in go") == "write code (go)"
    assert title("write this rust function") == "write code (rust)"
    assert title("review this rust function") == "review code"  # much the same in any language
    assert title("remove rust, write code") == "write code"


def test_what_is_sensitive_is_so_by_the_key_alone() -> None:
    assert [title(asked) for asked in ("what are the symptoms of a flu?", "explain this contract")] == [
        "explain a symptom",
        "explain a contract",
    ]
    for asked, sensitive in (
        ("what are symptoms of a flu?", True),
        ("explain the lease", True),
        ("write a poem", False),
    ):
        found = key_of(asked, "")
        assert found is not None
        assert found.sensitive is sensitive


def test_domains_are_a_closed_list() -> None:
    assert set(key.SENSITIVE) <= set(frametables.tables().domains)
    assert all(len(thing.actions) >= 1 for thing in frametables.tables().about.values())
    assert set(frametables.tables().usual.values()) <= set(frametables.tables().about)


def test_every_key_that_may_be_is_read_back() -> None:
    for thing, about in frametables.tables().about.items():
        for action in about.actions:
            if not key.made(key.Frame(action, thing, about.domain)):
                with pytest.raises(EncodingError):
                    Key.decode(Key((action, thing), about.domain).encode())
                continue
            for name in key._nameable(key.Frame(action, thing, about.domain)):
                one = Key((action, thing), about.domain, (name,) if name else ())
                assert Key.decode(one.encode()) == one
                assert len(one.encode()) <= MAX_KEY_BYTES
                assert one.title.isprintable()


def test_what_can_be_asked_comes_to_what_can_be_read_back() -> None:
    known = frametables.tables()
    for action, thing, code in product((*known.usual, ""), (*known.about, ""), (False, True)):
        found = framerules.settled(action, thing, code=code)
        assert found is None or framerules.made(found), (action, thing, code)


@pytest.mark.parametrize(
    "value",
    [
        [["write", "test"], "coding", ["rohan"]],
        [["write", "rohan"], "coding", []],
        [["rohan", "test"], "coding", []],
        [["plan", "test"], "coding", []],  # is never made
        [["write", "test"], "health", []],
        [["write", "test"], "coding", ["python", "sql"]],
        [["write", "test"], "coding", ["spanish"]],
        [["write", "poem"], "writing", ["python"]],
        [["translate", "text"], "writing", []],
        [["write", "regex"], "coding", ["python"]],
        [["document", "code"], "coding", ["python"]],  # that is to write docs
        [["write", "query"], "coding", []],
        [["write"], "coding", []],
        [["write", "test"], "coding"],
        [["write", "test"], "coding", [1]],
        ["write", "coding", []],
        "write a test",
        None,
        [["write", "test" * 999], "coding", []],
    ],
)
def test_what_is_no_key_is_refused(value: object) -> None:
    with pytest.raises(EncodingError):
        Key.decode(encode(value))


def test_what_an_earlier_version_stored_is_still_known() -> None:
    for action, thing, domain, names in (
        ("plan", "test", "coding", ()),  # this version never makes them
        ("write", "query", "coding", ()),
        ("write", "poem", "writing", ("python",)),
    ):
        old = Key((action, thing), domain, names)
        with pytest.raises(EncodingError):
            Key.decode(old.encode())
        assert Key.stored(old.encode()) == old
        assert old.title.isprintable()


@pytest.mark.parametrize(
    "value",
    [
        [["rohan", "test"], "coding", []],
        [["write", "rohan"], "coding", []],
        [["write", "test"], "rohan", []],
        [["write", "test"], "coding", ["rohan"]],
        [["write", "test"], "coding", ["python", "sql"]],
        [["write", "test", "test"], "coding", []],
        [["write", "test"], 1, []],
        "write a test",
    ],
)
def test_what_is_stored_has_words_of_the_tables_only(value: object) -> None:
    with pytest.raises(EncodingError):
        Key.stored(encode(value))


@pytest.mark.parametrize("char", ["\u200b", "\u00ad", "\u2060", "\ufeff", "\u2066", "\u202e"])
def test_what_cannot_be_seen_makes_no_difference(char: str) -> None:
    assert title(f"wr{char}ite an em{char}ail{char}") == title("write an email")


def test_bytes_that_are_no_key_are_refused() -> None:
    good = Key(("write", "test"), "coding", ("python",)).encode()
    for bad in (b"", good[:-1], good + b"\0", b"\xff" * 10, good.replace(b"\x83", b"\x9f") + b"\xff"):
        with pytest.raises(EncodingError):
            Key.decode(bad)


HABITS = Path(__file__).parent.parent.parent / "benchmarks" / "habits.jsonl"
PROGRAM = """
import sys, json
from mycelnode.privacy.key import key_of, version
found = [key_of(text, "ok") for text in json.load(sys.stdin)]
print(json.dumps([[key.encode().hex() if key else None for key in found], version().hex()]))
"""


def test_another_process_locale_clock_and_order_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for texts in SAME.values() for text in texts]
    texts += random.sample([json.loads(line)["request"] for line in HABITS.read_text().splitlines()], 300)
    random.shuffle(texts)  # and so other turns come before each one
    wanted = [_hex(text) for text in texts]
    for seed, language, zone in (("0", "tr_TR.UTF-8", "Asia/Tokyo"), ("17", "C", "America/New_York")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LANG": language, "LC_ALL": language, "TZ": zone}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], input=json.dumps(texts), env=environment, capture_output=True, text=True, check=True
        )  # fmt: skip
        assert json.loads(done.stdout) == [wanted, version().hex()]
    monkeypatch.setattr(time, "time", lambda: 4e9)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = locale.setlocale(locale.LC_ALL)
    assert [_hex(text) for text in reversed(texts)] == wanted[::-1]
    assert locale.setlocale(locale.LC_ALL) == before


def _hex(text: str) -> str | None:
    found = key_of(text, "ok")
    return found.encode().hex() if found else None


def test_the_version_is_the_one_that_is_written_down() -> None:
    written = GOLDEN.read_text().split()[-1]
    assert version().hex() == written, (
        "what a key depends on has changed: from this release on devices count together only with others that have it, and windows "
        "that are open when a device gets it lose what was counted. If that is wanted, rewrite tests/privacy/key_version.txt: "
        "python -m benchmarks.ours.keys --version"
    )


@pytest.mark.parametrize("name", bombs())
def test_no_text_is_slow(name: str) -> None:
    text = bombs()[name]
    for request, answer in ((text, "ok"), ("write a test", text), (f"write a test\n\n{text}", "ok")):
        started = time.process_time()
        key_of(request, answer)
        assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("part", ["a", "write a test ", "\n", "abandon "])
def test_ten_megabytes_in_a_line(part: str) -> None:
    started = time.process_time()
    assert why_none(part * (10_000_000 // len(part)), "ok") == "long"
    assert time.process_time() - started < SECONDS


def test_small_words_of_other_languages_are_not_english() -> None:
    assert not languages.OTHERS & languages.FUNCTION
    assert languages.english(["please", "write", "an", "email"], [])
    assert not languages.english(["napisz", "email", "do", "szefa"], [])
    few, said = (
        ["moonstone", "workout", "plugh"],
        "Three sets of ten push-ups, and then rest for a minute.".lower().split(),
    )
    assert languages.english(few, said)
    assert not languages.english(few, ["trzy", "serie", "po", "dziesięć", "pompek", "i", "potem", "odpocznij"])
    assert not languages.english(["eine", *few], said)
    assert not languages.english(["kirjoita", "runo", "mummolle"], said)


@pytest.mark.parametrize(
    "asked",
    [
        "bana takım için bir e-posta yaz, toplantı pazartesi",
        "lag en kort tekst om budsjett",
        "buatkan email untuk tim rapat senin",
        "tee lyhyt teksti budjetista",
        "Bewerbung Softwareentwickler Anschreiben formulieren",
    ],
)
def test_an_english_answer_makes_no_other_language_english(asked: str) -> None:
    assert title(asked, "Dear team, we meet on Monday and it is fine for all of you. Kind regards") == "language"


def test_words_that_many_languages_have_are_not_english() -> None:
    asked = "Docker Container startet nicht Fehler Port"
    assert title(asked, "Prüfe die Logs und den Port, das ist nicht frei.") == "language"


def test_a_language_that_is_not_named_is_that_of_the_answer() -> None:
    assert title("please translate this: good morning", "Guten Morgen, und bitte") == "translate text (german)"
    assert title("please translate this: guten Morgen", "Good morning to you.") == "translate text (english)"
    assert title("to german: your order has been shipped") == "translate text (german)"


def test_what_a_request_does_not_name_is_looked_for_in_the_answer() -> None:
    asked = "what do I do about this on Sunday?"
    assert title(asked) == "explain a concept"
    assert title(asked, "Prune the roses, water the tomato plants and repot the orchid.") == "explain gardening"
