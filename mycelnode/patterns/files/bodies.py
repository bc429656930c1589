"""The body of a Markdown file: a template as it stands, code in a fence, or numbered steps.

What a body cannot say exactly stands among the fields instead: a writer looks whether `read_…(write_…(x))` is x.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mycelnode.errors import PatternFileRefused
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files.plain import parse_cid
from mycelnode.patterns.solutions import MAX_STEPS

_FIELD: Final = {"prompt": "template", "code": "code", "workflow": "steps"}  # what a body says
_FENCE: Final = re.compile(r"(`{3,}|~{3,})([^`]*)")
_RUNS: Final = re.compile(r"`{3,}")
_MARKER: Final = re.compile(r"[0-9]{1,3}[.)] {1,4}(?=[^ ])")
_PATTERN: Final = re.compile(r"pattern: *([^ ]+)", re.IGNORECASE)


def read_body(kind: str, body: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an unwrapped body says beside the ``fields`` at the top of its file. Raises `PatternFileRefused`."""
    if not body.strip():
        return {}
    name = _FIELD.get(kind)
    if name is None:
        raise PatternFileRefused(f"a pattern of the kind {kind} has no body: put the text into the field 'description'")
    if name in fields:
        raise PatternFileRefused(f"{name!r} is said twice, at the top of the file and in its body: keep one of them")
    if kind == "prompt":
        return {name: body}
    if kind == "workflow":
        return {name: read_steps(body)}
    code, language = read_code(body)
    language = language.split(" ")[0].lower()
    if language and str(fields.get("code_language", language)) != language:
        raise PatternFileRefused(
            f"the block of code is marked {language[:32]!r}, and 'code_language' is another: keep one of them"
        )
    return {name: code, **({"code_language": language} if language else {})}


def write_body(kind: str, said: Mapping[str, Any]) -> str | None:
    """The unwrapped body that says the main part of a pattern, or None where none says it exactly."""
    name = _FIELD.get(kind)
    if name is None:
        return None
    body = (
        str(said["template"])
        if kind == "prompt"
        else write_steps(said["steps"])
        if kind == "workflow"
        else write_code(said["code"], said["code_language"])
    )
    try:
        read = read_body(kind, unwrap(wrap(body)), {})
    except PatternFileRefused:
        return None
    steps = [
        {**step, **({"pattern": str(step["pattern"])} if "pattern" in step else {})} for step in read.get("steps", ())
    ]
    exact = {**read, **({"steps": steps} if steps else {})}
    return body if exact == {key: said[key] for key in exact} else None


def unwrap(body: str) -> str:
    """A body without the empty line before and the end of the last line, which are there to be looked at; lines end in LF."""
    return body.replace("\r\n", "\n").removeprefix("\n").removesuffix("\n")


def wrap(body: str) -> str:
    """The inverse, if no line ends otherwise."""
    return f"\n{body}\n"


def read_code(body: str) -> tuple[str, str]:
    """Code, and the language that its fence names, or "". Without a fence all of it is code. Raises `PatternFileRefused`."""
    lines = body.split("\n")
    opening = next((number for number, line in enumerate(lines) if _FENCE.fullmatch(line)), None)
    if opening is None:
        return body, ""
    found = _FENCE.fullmatch(lines[opening])
    mark, language = (found[1], found[2].strip()) if found else ("", "")
    ends = (
        number
        for number in range(opening + 1, len(lines))
        if set(lines[number].rstrip()) == {mark[0]} and len(lines[number].rstrip()) >= len(mark)
    )
    closing = next(ends, None)
    if closing is None:
        raise PatternFileRefused(f"the block of code is not closed: put a line {mark} after it")
    if any(line.strip() for line in lines[:opening] + lines[closing + 1 :]):
        raise PatternFileRefused(
            "there must be nothing beside the one block of code: put what explains it into the field 'description'"
        )
    return "\n".join(lines[opening + 1 : closing]), language


def write_code(code: str, language: str) -> str:
    """The code in a fence longer than any in it."""
    mark = "`" * max((len(run) + 1 for run in _RUNS.findall(code)), default=3)
    return f"{mark}{language}\n{code}\n{mark}"


def read_steps(body: str) -> list[dict[str, Any]]:
    """The steps of `1. …` lines, each with what is indented below it; a last line `pattern: CID` names a pattern."""
    steps: list[list[str]] = []
    width = 0
    for number, line in enumerate(body.split("\n")):
        marker = _MARKER.match(line)
        if marker:
            width = marker.end()
            if len(steps) == MAX_STEPS:
                raise PatternFileRefused(f"a workflow has at most {MAX_STEPS} steps")
            steps.append([line[width:]])
        elif not steps:
            if line.strip():
                raise PatternFileRefused(
                    "the body of a workflow must begin with its first step, 1. and what is to be done: put what stands before it"
                    " into the field 'description'"
                )
        elif line and not line.startswith(" ") and steps[-1][-1] == "":
            raise PatternFileRefused(
                f"line {number + 1} of the body belongs to no step: number it, or indent it by {width} spaces"
            )
        else:
            spaces = len(line) - len(line.lstrip(" "))
            steps[-1].append(line[min(spaces, width) :])
    return [_step(lines) for lines in steps]


def write_steps(steps: Iterable[Mapping[str, Any]]) -> str:
    """Steps as numbered lines. Fields that these do not say are left out."""
    blocks = []
    for number, step in enumerate(steps, 1):
        link = [f"pattern: {step['pattern']}"] if "pattern" in step else []
        marker = f"{number}. "
        first, *others = [*str(step["instruction"]).split("\n"), *link]
        blocks.append("\n".join([marker + first, *(" " * len(marker) + line if line else "" for line in others)]))
    return "\n".join(blocks)


def _step(lines: list[str]) -> dict[str, Any]:
    while lines and not lines[-1].strip():
        lines.pop()
    link: dict[str, Cid] = {}
    if len(lines) > 1 and (named := _PATTERN.fullmatch(lines[-1])):
        link = {"pattern": parse_cid(named[1])}
        lines.pop()
    return {"instruction": "\n".join(lines), **link}
