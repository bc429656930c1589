"""Patterns as files: each comes back exactly from each format, and what is wrong with a file is said in a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given

from mycelnode.patterns import dagcbor
from mycelnode.patterns.files.draft import Draft
from mycelnode.patterns.files.skill import read_skill, write_skill
from mycelnode.patterns.files.texts import read_json_file, read_markdown, write_json_file, write_markdown
from mycelnode.patterns.pattern import Pattern
from tests.patterns.strategies import PATTERNS

FORMATS = {
    "json": (read_json_file, write_json_file),
    "markdown": (read_markdown, write_markdown),
    "skill": (read_skill, write_skill),
}
every_format = pytest.mark.parametrize("form", FORMATS)


@every_format
@given(pattern=PATTERNS)
def test_every_pattern_comes_back_exactly(form: str, pattern: Pattern) -> None:
    read, write = FORMATS[form]
    draft = Draft.of(pattern)
    text = write(draft)
    again = read(text)
    assert dagcbor.encode(again.pattern(pattern.creator, pattern.created).write()) == dagcbor.encode(pattern.write())
    assert write(again) == text
