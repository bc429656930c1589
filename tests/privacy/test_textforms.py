"""What the form of an answer, and of a request, says."""

from __future__ import annotations

import time

import pytest

from mycelnode.privacy.frametables import tables
from mycelnode.privacy.instruction import plain
from mycelnode.privacy.textforms import fails, form_of
from tests.privacy.hostile import bombs

SECONDS = 0.25  # for the worst text there may be, many times what it takes

FORMS = {
    "test": "```python\ndef test_a():\n    assert a() == 1\n```",
    "git": "Run `git reset --soft HEAD~1`.",
    "container": "```\nFROM python:3.11\nCOPY . .\n```",
    "query": "```sql\nSELECT a FROM b;\n```",
    "database": "```\nCREATE TABLE a (id int)\n```",
    "data": "`df.groupby('a').sum()`",
    "chart": "```python\nplt.plot(x)\n```",
    "component": "```tsx\nconst [a, setA] = useState(0)\n```",
    "api": "```js\napp.get('/a', b)\n```",
    "config": "```yaml\njobs:\n  a:\n    runs-on: ubuntu\n```",
    "formula": "Put `=SUMIF(A:A,1)` there.",
    "page": "```css\n.a { color: red; }\n```",
    "command": "`find . -name a -delete`",
    "regex": r"`^\d{4}-\d{2}$`",
    "commit_message": "fix(cart): round totals",
    "test_data": "id,name,age\n1,Ada,36\n2,Alan,41",
    "meeting": "Decisions: none.\nNext steps: ask Ines.",
    "trip": "Day 1: old town.",
    "email": "Dear Ms Roy,\n\nthank you.\n\nKind regards",
}


@pytest.mark.parametrize("thing", FORMS)
def test_an_answer_has_a_form(thing: str) -> None:
    assert form_of(FORMS[thing]) == thing
    assert thing in tables().about


@pytest.mark.parametrize(
    "text", ["", "Of course.", "It was a dark night, and git was not known.", "Select a table from the list."]
)
def test_most_answers_have_none(text: str) -> None:
    assert form_of(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):",
        "java.lang.NullPointerException\n  at com.acme.A.b(A.java:1)",
        "error: expected ';'",
        "TypeError",
        "it says connection refused",
    ],
)
def test_what_failed_says_so(text: str) -> None:
    assert fails(text)


@pytest.mark.parametrize("text", ["write a poem about mistakes", "the error of my ways", "", "E is a letter"])
def test_what_tells_of_errors_does_not(text: str) -> None:
    assert not fails(text)


@pytest.mark.parametrize(
    "bomb",
    [
        *bombs().values(),
        "{:" * 9_000,
        "a,a," * 4_000,
        "return" + " " * 15_000,
        "`a" * 9_000,
        "\n" * 19_000,
        "SELECT " * 2_000,
    ],
)
def test_no_text_takes_long(bomb: str) -> None:
    started = time.process_time()
    form_of(bomb)
    fails(plain(bomb))
    assert time.process_time() - started < SECONDS
