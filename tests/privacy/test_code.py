"""What an author chose goes out of code, and what is left parses."""

from __future__ import annotations

import ast
import io
import json
import shlex
import tokenize
from pathlib import Path

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

import mycelnode
from mycelnode.privacy import code
from mycelnode.privacy.code._python import public_names
from mycelnode.privacy.generalise import generalise
from mycelnode.privacy.owner import Dictionary

PYTHON = '''
import os.path as places
from json import loads

# Rohan asked for it
@staticmethod
async def greet_rohan(customer: str, *rest, limit=3) -> list[str]:
    """Greets Rohan."""
    found = [f"hi {customer!r:>{limit}}" for _ in range(limit) if customer.strip() != 'Rohan']
    match found:
        case [first, *others]:
            return sorted(found, key=lambda one: len(one))
    raise ValueError(r"no \\d", b"Rohan", 0x1F, 1e3, self.rohan)
'''


def template(source: str, language: str, *own: str) -> str:
    result = generalise(source, Dictionary(own), language=language)
    assert generalise(result.output, language=language).output == result.output
    return result.output


def test_python() -> None:
    output = template(PYTHON, "python")
    ast.parse(output)
    assert "rohan" not in output.lower()
    assert "import os.path as SLOT_1" in output
    assert "from json import loads" in output
    assert "# SLOT_2" in output
    assert "return sorted(SLOT_8, key=lambda SLOT_" in output
    assert 'b"SLOT_' in output


def test_one_name_is_one_slot() -> None:
    assert template("spam = 1\nprint(spam, eggs, 'spam')\n", "python") == (
        'SLOT_1 = SLOT_2\nprint(SLOT_1, SLOT_3, "SLOT_4")\n'
    )


def test_slots_go_on_from_block_to_block() -> None:
    text = "```python\nspam = eggs\n```\nand\n```py\neggs = ham\n```\n"
    assert generalise(text).output == "```python\nSLOT_1 = SLOT_2\n```\nand\n```py\nSLOT_2 = SLOT_3\n```\n"


def test_our_own_modules_parse_and_keep_no_name() -> None:
    for file in sorted((Path(mycelnode.__file__).parent / "crdt").glob("*.py")):
        source = file.read_text()
        output = generalise(source, language="python").output
        ast.parse(output)
        for token in tokenize.generate_tokens(io.StringIO(output).readline):
            if token.type == tokenize.NAME and not token.string.startswith("SLOT_"):
                assert token.string in public_names(), (file.name, token.string)


def test_sql() -> None:
    output = template(
        "SELECT c.name, COUNT(*) AS n -- of Rohan\nFROM customers c WHERE c.city = 'Bath' AND c.age > 30 /* old */;",
        "sql",
    )
    assert sqlglot.parse_one(output)
    for private in ("customers", "city", "Bath", "age", "Rohan", "old", "30"):
        assert private not in output
    assert output.startswith("SELECT SLOT_1.")
    assert "COUNT(*) AS SLOT_" in output


def test_json() -> None:
    output = template('{"rohan": [1.5, "Bath", true, null, {"a\\"b": -3e9}]}', "json")
    assert json.loads(output) == {"SLOT_1": ["SLOT_2", "SLOT_3", True, None, {"SLOT_4": "SLOT_5"}]}


def test_shell() -> None:
    output = template(
        "cd /home/rohan && git commit -m 'for Rohan' --author=rohan --rohan # his\n"
        "TOKEN=abc curl -s $URL | grep -i bath > out 2>&1\n",
        "bash",
    )
    assert shlex.split(output)
    assert output == (
        "cd SLOT_1 && git commit -m SLOT_2 --author=SLOT_3 --SLOT_4 # SLOT_5\n"
        "SLOT_6=SLOT_7 curl -s SLOT_8 | grep -i SLOT_9 > SLOT_10 2>&1\n"
    )


@pytest.mark.parametrize(
    ("source", "language"),
    [
        ("def greet_rohan(:\n", "python"),
        ("print(1if rohan else 2)\n", "python"),  # parses, but its template does not
        ("SELECT FROM WHERE rohan\n(", "sql"),
        ("INVENTED STATEMENT rohan", "sql"),
        ('{"rohan": }', "json"),
        ("echo 'rohan", "shell"),
        ("fn rohan() -> Result<(), Error> {}", "rust"),
        ("(" * 10_000 + "rohan", "python"),
        ("[" * 20_000 + '"rohan"', "json"),
        ("rohan = 1\x00", "python"),
        ("x = 1\n" * 10_000 + "rohan", "python"),  # too much
    ],
)
def test_what_does_not_parse_takes_the_text_rules(source: str, language: str) -> None:
    result = generalise(source, language=language)
    assert "rohan" not in result.output
    assert "SLOT_" not in result.output
    if language == "rust":
        assert "Result" not in result.output


def test_what_is_in_the_dictionary_is_not_public_in_code_either() -> None:
    assert "pandas" in template("import pandas\n", "python")
    assert "pandas" not in generalise("import pandas\n", Dictionary(["pandas"]), language="python").output


parts = [
    *"()[]{}:=,.+-*\n \t'\"#\\@",
    "x",
    "def ",
    "if ",
    "1",
    "lambda",
    "f'",
    "SLOT_1",
    "SELECT ",
    "FROM ",
    "--",
    "{",
    "true",
]
sources = st.lists(st.sampled_from(parts), max_size=25).map("".join)


@settings(max_examples=400, deadline=None)
@given(sources, st.sampled_from(["python", "sql", "json", "shell"]))
def test_whatever_comes_a_template_parses_and_stays_as_it_is(source: str, language: str) -> None:
    numbers = code.Numbers()
    found = code.slots(source, language, numbers, Dictionary())
    if found is None:
        return
    output = generalise(source, language=language).output
    assert code.slots(output, language, code.Numbers(), Dictionary()) is not None
    assert generalise(output, language=language).output == output
