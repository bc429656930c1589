"""Drafts as text: a JSON file, and a Markdown file with front matter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from mycelnode.errors import PatternFileRefused, PatternRefused
from mycelnode.patterns.files import bodies, front
from mycelnode.patterns.files.draft import Draft, kind_of, read_said, say
from mycelnode.patterns.files.plain import read_json, write_json

_NAMED: Final = re.compile(r"'([^']+)'")


def read_json_file(text: str) -> Draft:
    """The draft of a JSON file. Raises `PatternRefused`."""
    said = read_json(text)
    if type(said) is not dict:
        raise PatternFileRefused('a pattern in JSON is one map of fields: {"title": …}')
    return read_said(said)


def write_json_file(draft: Draft) -> str:
    """The inverse, but for the files, of which it has only the link."""
    return write_json(say(draft), indent=2) + "\n"


def read_markdown(text: str) -> Draft:
    """The draft of a Markdown file: fields at its top, and template, code or steps as its body. Raises `PatternRefused`."""
    top, body = front.split(text)
    fields, lines = front.load(top)
    with naming_lines(lines):
        given = {key: value for key, value in fields.items() if not front.empty(value)}
        return read_said({**given, **bodies.read_body(kind_of(given), bodies.unwrap(body), given)})


def write_markdown(draft: Draft) -> str:
    """The inverse, but for the files; what the body cannot say exactly stands at the top. `PatternFileRefused` if too long."""
    said = say(draft)
    body = bodies.write_body(draft.kind, said)
    if body is not None:
        for key in ("template", "code", "code_language", "steps"):
            said.pop(key, None)
    top = front.dump(said.items())
    if len(top) > front.MAX_CHARS:
        raise PatternFileRefused("this pattern is too long for the top of a Markdown file: write it as JSON")
    return front.join(top, "" if body is None else bodies.wrap(body))


@contextmanager
def naming_lines(lines: Mapping[str, int]) -> Iterator[None]:
    """Put the line of the field that a refusal names before its sentence."""
    try:
        yield
    except PatternRefused as error:
        said = str(error)
        line = next((lines[name] for name in _NAMED.findall(said) if name in lines), None)
        if line is None or said.startswith("line "):
            raise
        raise PatternFileRefused(f"line {line}: {said}") from error
