"""Patterns as text: each comes back exactly from each format, and what is wrong with a text is said in a sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import PatternFileRefused, PatternRefused
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import bodies, front
from mycelnode.patterns.files.draft import Draft
from mycelnode.patterns.files.plain import from_plain, read_json, to_plain, write_json
from mycelnode.patterns.files.skill import name_of, read_skill, write_skill
from mycelnode.patterns.files.texts import read_json_file, read_markdown, write_json_file, write_markdown
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.solutions import SLOT, Code, Prompt, Step, Variable, Workflow
from tests.patterns.strategies import CIDS, PATTERNS, VALUES

FORMATS: dict[str, Any] = {
    "json": (read_json_file, write_json_file),
    "markdown": (read_markdown, write_markdown),
    "skill": (read_skill, write_skill),
}
every_format = pytest.mark.parametrize("form", FORMATS)
CID = "bafyreifhsn5wjogkuwhqg4q3w25m6xdyzmrv727a44frxbgntfkbiynary"

# what has a meaning in one of the formats, put together anyhow
PIECES = st.sampled_from((
    "\n", "\r\n", "\r", "\t", " ", "  ", "---", "---\n", "...", "```", "````", "~~~", "```python", "1. ", "2) ", "10. ",
    "   ", "pattern: ", f"pattern: {CID}", "'", '"', "''", "\\", "\\n", "#", " #", ": ", ":", "- ", "? ", "|", ">", "&a",
    "*a", "!x", "%", "@", "`", "{", "}", "[", "]", ",", "{{a}}", "{{ b }}", "{{", "no", "Null", "~", "1", "1.10",
    "2024-01-01", "<<", "é", "\u00a0", "\u200d", "\U0001f600", "word", "x",
))  # fmt: skip
ODD = st.lists(PIECES, min_size=1, max_size=8).map("".join).filter(str.strip)
ODD_LINE = ODD.map(lambda text: text.translate({10: " ", 13: " ", 9: " "})[:100]).filter(str.strip)


def _prompt(template: str, extra: str) -> Prompt:
    names = list(dict.fromkeys(SLOT.findall(template)))
    return Prompt(template, tuple(Variable(name, default=extra) for name in names))


ODD_SOLUTIONS = st.one_of(
    st.builds(_prompt, ODD, ODD),
    st.builds(Code, ODD, st.sampled_from(("python", "c++"))),
    st.builds(Workflow, st.lists(st.builds(Step, ODD, st.none() | CIDS), min_size=1, max_size=4).map(tuple)),
)


@st.composite
def odd_patterns(draw: st.DrawFn) -> Pattern:
    return Pattern(
        title=draw(ODD_LINE), domain="mail", solution=draw(ODD_SOLUTIONS), creator=bytes(32), created=0,
        description=draw(st.just("") | ODD), trigger=draw(st.just("") | ODD), requires=tuple(draw(st.lists(ODD_LINE, max_size=2))),
        extra={"x": draw(ODD), "y": [draw(ODD)], "z": {draw(ODD): draw(ODD)}},
    )  # fmt: skip


def encoded(draft: Draft) -> bytes:
    return dagcbor.encode(draft.said)


def check(form: str, pattern: Pattern) -> None:
    read, write = FORMATS[form]
    text = write(Draft.of(pattern))
    again = read(text)
    assert dagcbor.encode(again.pattern(pattern.creator, pattern.created).write()) == dagcbor.encode(pattern.write())
    assert write(again) == text


@every_format
@given(pattern=PATTERNS)
def test_every_pattern_comes_back_exactly(form: str, pattern: Pattern) -> None:
    check(form, pattern)


@every_format
@given(pattern=odd_patterns())
def test_text_that_means_something_to_a_format_comes_back_too(form: str, pattern: Pattern) -> None:
    check(form, pattern)


@given(VALUES)
def test_unknown_fields_of_any_value_come_back_from_json(value: Any) -> None:
    again = from_plain(read_json(write_json(to_plain(value))))
    assert dagcbor.encode([again]) == dagcbor.encode([value])


@given(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3))
def test_unknown_fields_of_any_value_come_back_from_front_matter(value: dict[str, Any]) -> None:
    fields, _ = front.load(front.dump([("extra", to_plain(value))]))
    assert dagcbor.encode(from_plain(front.typed(fields["extra"]))) == dagcbor.encode(value)


@given(st.dictionaries(ODD_LINE, ODD | st.lists(ODD, max_size=3) | st.dictionaries(ODD, ODD, max_size=2), max_size=4))
def test_front_matter_says_the_same_to_other_readers_of_yaml(value: dict[str, Any]) -> None:
    text = front.dump(value.items())
    assert front.texts(front.load(text)[0] if value else {}) == value
    assert (yaml.safe_load(text) or {}) == value


# --- skills of others --------------------------------------------------------------------------------------------------------

FOREIGN = """---
# written by hand
name: pdf-processing
description: >-
  Extract PDF text, fill forms, merge files.
  Use when handling PDFs.
license: Proprietary. LICENSE.txt has complete terms
allowed-tools: [Bash(git:*), Read]
user-invocable: yes
version: 1.10
metadata:
  author: 'example-org'
  version: "1.0"
---

# PDF

Fill `{{form}}`.  \n\n
"""


@pytest.mark.parametrize(
    "text", [FOREIGN, FOREIGN.replace("\n", "\r\n"), FOREIGN.rstrip("\n")], ids=["lf", "crlf", "no-end"]
)
def test_a_skill_of_somebody_else_is_written_again_byte_by_byte(text: str) -> None:
    draft = read_skill(text)
    assert write_skill(draft) == write_skill(draft, "pdf-processing") == text
    assert draft.kind == "prompt"
    assert draft.said["description"] == "Extract PDF text, fill forms, merge files. Use when handling PDFs."
    assert draft.said["solution"]["template"] == front.split(text)[1]
    assert draft.said["solution"]["variables"] == [{"name": "form"}]


def test_a_skill_of_somebody_else_that_changed_keeps_its_other_fields() -> None:
    pattern = replace(read_skill(FOREIGN).pattern(bytes(32), 0), price=5, title="PDF, quickly")
    text = write_skill(Draft.of(pattern))
    said = yaml.safe_load(front.split(text)[0])
    assert said["license"] == "Proprietary. LICENSE.txt has complete terms"
    assert said["allowed-tools"] == ["Bash(git:*)", "Read"]
    assert said["version"] == 1.1  # bare as it was
    assert said["metadata"]["author"] == "example-org"
    assert said["metadata"]["version"] == "1.0"
    assert said["metadata"]["mycel-price"] == "5"
    assert front.split(text)[1] == front.split(FOREIGN)[1]
    check("skill", pattern)


@given(
    st.dictionaries(ODD_LINE.filter(lambda key: not key.startswith("mycel-")), ODD, max_size=3),
    st.dictionaries(st.sampled_from(("license", "x-y", "allowed-tools")), ODD | st.lists(ODD, max_size=2), max_size=3),
    ODD, st.integers(0, 9),
)  # fmt: skip
def test_skills_of_others_are_faithful(metadata: dict[str, str], others: dict[str, Any], body: str, price: int) -> None:
    shown = {"name": "a-skill", "description": "What it does.", **others, "metadata": metadata}
    text = front.join(yaml.safe_dump(shown, allow_unicode=True, sort_keys=False), body)
    draft = read_skill(text)
    assert write_skill(draft) == text
    changed = replace(draft.pattern(bytes(32), 0), price=price)
    again = write_skill(Draft.of(changed))
    assert {**yaml.safe_load(front.split(again)[0]), "metadata": None} == {**shown, "metadata": None}
    check("skill", changed)


@given(PATTERNS)
def test_what_is_written_as_a_skill_is_one(pattern: Pattern) -> None:
    """By the rules of https://agentskills.io/specification, as a reader of YAML sees it."""
    said = yaml.safe_load(front.split(write_skill(Draft.of(pattern)))[0])
    assert said.keys() <= {"name", "description", "metadata"}
    assert 1 <= len(said["name"]) <= 64
    assert name_of(Draft.of(pattern)) == said["name"]
    assert all(part.isalnum() and part == part.lower() for part in said["name"].split("-"))
    assert 1 <= len(said["description"]) <= 1024
    assert all(type(key) is str and type(value) is str for key, value in said["metadata"].items())


# --- what people write -------------------------------------------------------------------------------------------------------


def markdown(fields: str, body: str = "Hello") -> Draft:
    return read_markdown(f"---\ntitle: A title\ndomain: mail\n{fields}---\n\n{body}\n")


def test_words_that_yaml_takes_for_something_else_are_words() -> None:
    draft = read_markdown(
        "---\ntitle: 2024-01-01\ndomain: no\nlanguage: no\nprice: 1000000000000000000000001\n---\n1.0\n"
    )
    assert draft.title == "2024-01-01"
    assert (draft.said["domain"], draft.said["language"]) == ("no", "no")
    assert draft.said["price"] == "1000000000000000000000001"
    assert draft.said["solution"] == {"template": "1.0"}


def test_a_file_from_another_system_is_read() -> None:
    text = "---\ntitle: Hello\ndomain: mail\n---\n\nDear {{name}},\nbye\n"
    assert encoded(read_markdown(text.replace("\n", "\r\n"))) == encoded(read_markdown(text))


def test_variables_that_are_used_are_declared() -> None:
    draft = markdown("variables:\n  - name: b\n    default: x\n", "{{a}} {{b}} {{ c }} {{a}}")
    assert draft.said["solution"]["variables"] == [{"name": "b", "default": "x"}, {"name": "a"}, {"name": "c"}]
    assert markdown("variables: [a]\n", "{{a}}").said["solution"]["variables"] == [{"name": "a"}]


@pytest.mark.parametrize(
    ("said", "yocto"),
    [
        ("0.1 NEAR", "1" + "0" * 23),
        ("2NEAR", "2" + "0" * 24),
        ("0.000000000000000000000001 NEAR", "1"),
        ("7", "7"),
        (7, "7"),
    ],
)
def test_prices_are_exact(said: Any, yocto: str) -> None:
    text = write_json({"title": "x", "domain": "mail", "template": "x", "price": said})
    assert read_json_file(text).said["price"] == yocto


def test_code_is_in_a_fence_or_all_of_the_body() -> None:
    assert markdown("kind: code\n", "```Python title=x\nprint()\n```").said["solution"] == {
        "code": "print()",
        "code_language": "python",
    }
    assert markdown("code_language: sh\n", "ls\n\nls").said["solution"] == {"code": "ls\n\nls", "code_language": "sh"}
    assert markdown("kind: code\n", "~~~sh\n```\n~~~~").said["solution"]["code"] == "```"


def test_steps_are_numbered_lines_and_what_is_indented_below() -> None:
    steps = bodies.read_steps(f"1. One\n   two\n\n     three\n1)  Four\nfive\n    pattern: {CID}\n\n12. Pattern: soon")
    assert steps == [
        {"instruction": "One\ntwo\n\n  three"},
        {"instruction": "Four\nfive", "pattern": Cid.parse(CID)},
        {"instruction": "Pattern: soon"},
    ]


BAD_MARKDOWN = [
    ("Hello", "line 1: the file must begin with a line of three dashes"),
    ("---\ntitle: x\n", "must end with a line of three dashes"),
    ("---\n---\nx", "line 2: there must be fields"),
    ("---\n- a\n---\nx", "line 2: there must be fields"),
    ("---\ntitle: a\ntitle: b\n---\n", "line 3: the key 'title' stands twice"),
    ("---\ntitle: a: b\n---\n", "line 2: this is no YAML: mapping values are not allowed here"),
    ("---\ntitle: [a\n---\n", "line 3: this is no YAML"),
    ("---\na: &x [y]\nb: *x\n---\n", "line 2: anchors (&) and aliases (*)"),
    ("---\na: *x\n---\n", "line 2: anchors (&) and aliases (*)"),
    ("---\ntitle: !!python/object/apply:os.system [ls]\n---\n", "line 2: tags (!)"),
    ("---\n%YAML 1.1\n--- \na: b\n---\n", "line 3: this is no YAML"),
    ("---\na: b\n...\nc: d\n---\n", "line 4: this is no YAML"),
    ("---\n? [a]\n: b\n---\n", "line 2: the name of a field must be text"),
    (f"---\na: {'[' * 99}{']' * 99}\n---\n", "line 2: lists and maps are nested more than 64 deep"),
    (f"---\na: [{'b, ' * 10_000}]\n---\n", "line 2: there are more than 10,000 values"),
    (f"---\na: {'b' * (1 << 20)}\n---\n", "have more than 1,048,576 characters"),
    ("---\na: \x07\n---\n", "hold a character that YAML does not have"),
]
BAD_FIELDS = [
    ("tittle: x\n", "line 4: there is no field 'tittle': did you mean 'title'?"),
    ("Trigger: x\n", "line 4: there is no field 'Trigger': did you mean 'trigger'?"),
    (
        "colour: x\n",
        "line 4: there is no field 'colour': put a field that mycelnode does not know into the map 'extra'",
    ),
    ("creator: x\n", "line 4: 'creator' is not said in a file"),
    ("kind: virus\n", "line 4: 'kind' must be one of prompt, code, adapter, workflow"),
    (
        "kind: code\nvariables: [a]\n",
        "line 5: 'variables' is a field of the kind prompt, and this is a pattern of the kind code",
    ),
    ("template: x\n", "line 4: 'template' is said twice"),
    ("variables: [b, c]\n", "line 4: the template does not use 'b', 'c' of 'variables': write {{b}} where it belongs"),
    ("variables: b\n", "line 4: 'variables' must be a list"),
    ("variables:\n  - nam: a\n", "line 4: in 'variables', there is no field 'nam': did you mean 'name'?"),
    ("price: 0.1\n", "line 4: 'price' must be an amount such as \"0.1 NEAR\", or whole yoctoNEAR, and is '0.1'"),
    ("price: -1\n", "line 4: 'price' must be an amount"),
    ("price: [1]\n", "line 4: 'price' must stand in quotes"),
    ("requires: git\n", "line 4: a pattern: 'requires' must be a list"),
    ("version: two\n", "line 4: a pattern: 'version' must be a whole number"),
    ("version: '2'\n", "line 4: a pattern: 'version' must be a whole number"),
    ("supersedes: bafy\n", "'bafy' is no CID"),
    ("extra:\n  title: x\n", "line 4: in 'extra', 'title' is a field of its own: put it outside"),
    ("extra: x\n", "line 4: 'extra' must be a map"),
    ('extra: {a: {"/": 1}}\n', 'a map whose only key is "/"'),
    ("description: a\u202eb\n", "line 4: a pattern: 'description' must be text that can be shown, without U+202E"),
    ("format: mycel-pattern/2.0\n", "a newer mycelnode reads it"),
]
BAD_BODIES = [
    ("kind: code\n", "```sh\nls", "the block of code is not closed: put a line ``` after it"),
    ("kind: code\n", "Look:\n```sh\nls\n```", "there must be nothing beside the one block of code"),
    ("kind: code\n", "ls", "'code_language' must be the name of a language"),
    ("code_language: python\n", "```sh\nls\n```", "the block of code is marked 'sh', and 'code_language' is another"),
    ("kind: workflow\n", "Do it.", "the body of a workflow must begin with its first step"),
    ("kind: workflow\n", "1. Do it.\n\nAnd so on.", "line 3 of the body belongs to no step: number it, or indent it by 3 spaces"),
    ("kind: workflow\n", "1. Do it.\n   pattern: bafy", "'bafy' is no CID"),
    ("kind: workflow\n", "", "a workflow has no steps"),
    ("kind: adapter\n", "Text", "a pattern of the kind adapter has no body"),
    ("", "", "'template' must be text"),
]  # fmt: skip
BAD_JSON = [
    ("", "line 1, column 1: this is no JSON"),
    ("[]", "one map of fields"),
    ('{"title": "x",\n}', "line 2, column 1: this is no JSON"),
    ('{"title": "x", "title": "y"}', "the key 'title' stands twice"),
    ('{"title": "x"}', "the field 'domain' is missing: say what it is about"),
    ('{"domain": "x"}', "the field 'title' is missing: say in one line what the pattern does"),
    ('{"price": 0.1}', "the field 'title' is missing"),
    ('{"title": "x", "domain": "x", "price": 0.1}', "'price' must stand in quotes, so that it is exact"),
    ('{"title": "x", "domain": "x", "template": "x", "price": -1}', "'price' must be"),
    ('{"title": "x", "domain": "x", "price": true}', "'price' must stand in quotes"),
    ('{"title": 5, "domain": "x"}', "'title' must be text"),
    ('{"a": NaN}', "NaN is no number of JSON"),
    ('{"a": 1e999}', "is too large or too long"),
    ('{"a": ' + "9" * 401 + "}", "more than 400 digits"),
    ("[" * 100_000, "nested more than 64 deep"),
    ("[" + "1," * 40_000, "more than 30,000 values"),
    ('{"title": "x", "domain": "x", "template": "x", "extra": {"a": "\\ud800"}}', "cannot be published as a pattern"),
    (
        '{"title": "x", "domain": "x", "template": "x", "extra": {"a": 18446744073709551616}}',
        "outside the 64-bit range",
    ),
]
BAD_SKILLS = [
    ("---\nname: x\n---\nbody", "a skill must have a field 'description'"),
    ("---\ndescription: x\n---\nbody", "a skill must have a field 'name'"),
    ("---\nname: x\ndescription: y\n---\n\n", "a skill must have instructions below its fields"),
    ("---\nname: x\ndescription: y\nmetadata: z\n---\nbody", "line 4: 'metadata' must be a map"),
    (
        "---\nname: x\ndescription: y\nmetadata:\n  mycel-prise: 1\n---\nbody",
        "there is no field 'prise': did you mean 'price'?",
    ),
    (
        "---\nname: x\ndescription: y\nmetadata:\n  mycel-requires: git\n---\nbody",
        "'mycel-requires' must be JSON in single quotes",
    ),
    ("---\nname: x\ndescription: y\nmetadata:\n  mycel-price: [1]\n---\nbody", "'mycel-price' must be text"),
    ("---\nname: x\ndescription: y\nlicense: a\u202eb\n---\nbody", "text that can be shown, without U+202E"),
    ("---\nname: x\ndescription: y\n---\nbody \u200b", "text that can be shown, without U+200B"),
]
BAD = [
    *((read_markdown, text, sentence) for text, sentence in BAD_MARKDOWN),
    *((read_markdown, f"---\ntitle: t\ndomain: d\n{said}---\nHello\n", sentence) for said, sentence in BAD_FIELDS),
    *(
        (read_markdown, f"---\ntitle: t\ndomain: d\n{said}---\n{body}\n", sentence)
        for said, body, sentence in BAD_BODIES
    ),
    *((read_json_file, text, sentence) for text, sentence in BAD_JSON),
    *((read_skill, text, sentence) for text, sentence in BAD_SKILLS),
]


@pytest.mark.parametrize(("read", "text", "sentence"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_what_is_wrong_is_said(read: Any, text: str, sentence: str) -> None:
    with pytest.raises(PatternRefused) as found:
        read(text)
    assert sentence in str(found.value)
    assert "\n" not in str(found.value)


def test_a_draft_with_files_is_no_pattern_without_a_link_to_them() -> None:
    draft = Draft.of(read_skill(FOREIGN).pattern(bytes(32), 0), {"a.txt": b"x"})
    with pytest.raises(PatternRefused, match="must be kept before"):
        draft.pattern(bytes(32), 0)
    assert draft.pattern(bytes(32), 0, Cid.parse(CID)).files == Cid.parse(CID)


def test_a_skill_cannot_have_every_name() -> None:
    draft = read_json_file('{"title": "Ü-Mail, now!", "domain": "x", "template": "x"}')
    assert name_of(draft) == "mail-now"
    for name in ("Mail", "a--b", "-a", "a-", "a" * 65, ""):
        with pytest.raises(PatternFileRefused, match="call it mail-now"):
            write_skill(draft, name)
    with pytest.raises(PatternFileRefused, match="this skill is called pdf-processing"):
        write_skill(read_skill(FOREIGN), "pdf")
    assert "name: other" in write_skill(draft, "other")
