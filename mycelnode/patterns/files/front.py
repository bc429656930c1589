"""YAML front matter: what stands between two lines `---` at the top of a Markdown file, as text, lists and maps.

A small part of YAML 1.2: no anchors, aliases, tags, directives or second document, and no key twice. Every scalar is its text, so
that `no` is a word, a date what was written, and a price exact; whoever knows a field knows of what kind it is. What stood without
quotes is `Bare`, and says nothing if it is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import yaml

from mycelnode.errors import PatternFileRefused
from mycelnode.patterns.files.plain import MAX_DEPTH, MAX_DIGITS, write_json

MAX_CHARS: Final = 1 << 20  # of front matter: a pattern has no more in all
MAX_VALUES: Final = 10_000  # 15 µs each, as PyYAML reads them
MARK: Final = "---"

_OPENING: Final = re.compile(r"---[ \t]*\r?\n")
_CLOSING: Final = re.compile(r"^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SAFE: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9_./()+ -]*[A-Za-z0-9_./()+])?")
_WORD: Final = re.compile(r"[A-Za-z0-9_.+-]*[A-Za-z0-9]")
_SPECIAL: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))  # YAML 1.1's, in any case
# what YAML 1.2 §5.1 can hold as it is, but for line ends, U+0085, U+2028, U+2029 and U+FEFF
_SHOWN: Final = re.compile(r"[\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_LONGEST_KEY: Final = 128  # 1024 is the most that YAML lets stand before a colon


class Bare(str):
    """A scalar that stood without quotes."""

    __slots__ = ()


def split(text: str) -> tuple[str, str]:
    """The front matter of a file, without its marks, and its body. Raises `PatternFileRefused`."""
    opening = _OPENING.match(text)
    if opening is None:
        raise PatternFileRefused(
            "line 1: the file must begin with a line of three dashes, ---, and its fields after that"
        )
    closing = _CLOSING.search(text, opening.end())
    if closing is None:
        raise PatternFileRefused("the fields at the top of the file must end with a line of three dashes, ---")
    return text[opening.end() : closing.start()], text[closing.end() :]


def join(front: str, body: str) -> str:
    """The inverse."""
    return f"{MARK}\n{front}{MARK}\n{body}"


def load(front: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The map that front matter says, and the line of the file on which each of its keys stands. Raises `PatternFileRefused`."""
    if len(front) > MAX_CHARS:
        raise PatternFileRefused(f"the fields at the top of the file have more than {MAX_CHARS:,} characters")
    lines: dict[str, int] = {}
    try:
        value = _document(yaml.parse(front, Loader=yaml.SafeLoader), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refused(mark, f"this is no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:  # of a character that has no place in YAML
        raise PatternFileRefused(
            "the fields at the top of the file hold a character that YAML does not have"
        ) from error
    if type(value) is not dict:
        raise PatternFileRefused(
            "line 2: there must be fields between the lines ---, such as title: Reply to a customer"
        )
    return value, lines


def dump(fields: Iterable[tuple[str, Any]]) -> str:
    """Front matter that `load` reads back, and that says the same to readers of YAML 1.1 and 1.2."""
    return "".join(f"{line}\n" for name, value in fields for line in _entry(name, value, ""))


def texts(value: Any) -> Any:
    """The value with every scalar as its text, and without what is said to be nothing."""
    if type(value) is list:
        return [texts(item) for item in value]
    if type(value) is dict:
        return {key: texts(item) for key, item in value.items() if not empty(item)}
    return str(value) if type(value) is Bare else value


def typed(value: Any) -> Any:
    """The value with bare scalars as JSON has them: null, true, false, numbers; all others are text."""
    if type(value) is list:
        return [typed(item) for item in value]
    if type(value) is dict:
        return {key: typed(item) for key, item in value.items()}
    if type(value) is not Bare:
        return value
    if (found := _NUMBER.fullmatch(value)) and len(value) <= MAX_DIGITS:
        return float(value) if found[2] or found[3] else int(value)
    return {"": None, "null": None, "true": True, "false": False}.get(str(value), str(value))


def empty(value: Any) -> bool:
    """Was nothing said after the colon?"""
    return type(value) is Bare and not value


# --- reading -----------------------------------------------------------------------------------------------------------------


def _document(events: Iterable[Any], lines: dict[str, int]) -> Any:
    """The value of the only document. Without recursion: ``stack`` holds the lists and maps that are open, each with its key."""
    root: list[Any] = []
    stack: list[tuple[list[Any] | dict[str, Any], str | None]] = [(root, None)]
    values = documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1 or event.version or event.tags:
                raise _refused(event.start_mark, "there must be one document, without directives")
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            continue
        if not hasattr(event, "anchor"):
            continue  # no node: an end, or the beginning of the stream
        values += 1
        _check(event, values, len(stack))
        box, key = stack[-1]
        if isinstance(box, dict) and key is None:
            stack[-1] = box, _key(event, box)
            if len(stack) == 2:
                lines[event.value] = event.start_mark.line + 2
            continue
        value = _value(event)
        if isinstance(box, dict):
            box[str(key)] = value
            stack[-1] = box, None
        else:
            box.append(value)
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append((value, None))
    return root[0] if root else None


def _value(event: yaml.NodeEvent) -> Any:
    if isinstance(event, yaml.ScalarEvent):
        return str(event.value) if event.style else Bare(event.value)
    return {} if isinstance(event, yaml.MappingStartEvent) else []


def _check(event: Any, values: int, depth: int) -> None:
    mark = event.start_mark
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _refused(mark, "anchors (&) and aliases (*) are not read here: put the text in quotes, or say it again")
    if getattr(event, "tag", None) is not None:
        raise _refused(mark, "tags (!) are not read here: put the text in quotes")
    if depth > MAX_DEPTH:
        raise _refused(mark, f"lists and maps are nested more than {MAX_DEPTH} deep")
    if values > MAX_VALUES:
        raise _refused(mark, f"there are more than {MAX_VALUES:,} values")


def _key(event: Any, box: dict[str, Any]) -> str:
    if not isinstance(event, yaml.ScalarEvent):
        raise _refused(event.start_mark, "the name of a field must be text; if it begins with { or [, put it in quotes")
    if event.value in box:
        raise _refused(event.start_mark, f"the key {event.value[:64]!r} stands twice: say it once")
    return str(event.value)


def _refused(mark: Any, sentence: str) -> PatternFileRefused:
    return PatternFileRefused(f"line {mark.line + 2}: {sentence}" if mark else sentence)


# --- writing -----------------------------------------------------------------------------------------------------------------


def _entry(name: str, value: Any, indent: str) -> Iterator[str]:
    """The lines of a field."""
    key = f"{indent}{_scalar(name)}:" if len(name) <= _LONGEST_KEY else f"{indent}? {_scalar(name)}\n{indent}:"
    inner = indent + "  "
    if type(value) is dict and value:
        yield key
        for part in value.items():
            yield from _entry(*part, inner)
    elif type(value) is list and value:
        yield key
        for item in value:
            if type(item) is dict and item:
                lines = "\n".join(line for part in item.items() for line in _entry(*part, inner + "  "))
                yield f"{inner}- {lines.lstrip(' ')}"
            else:
                yield f"{inner}- {_scalar(item) if isinstance(item, str) else _flow(item)}"
    elif type(value) is str and _as_lines(value):
        yield f"{key} |" + ("" if value.endswith("\n") else "-")
        yield from (inner + line if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{key} {_scalar(value) if isinstance(value, str) else _flow(value)}"


def _as_lines(text: str) -> bool:
    """Can it stand as a block of lines, every one of them as it is?"""
    lines = text.removesuffix("\n").split("\n")
    return (
        len(lines) > 1
        and lines[0][:1] not in ("", " ", "\t")
        and lines[-1] != ""
        and all(_SHOWN.fullmatch(line) and (not line or line.strip(" \t")) for line in lines)
    )


def _flow(value: Any) -> str:
    """A value on one line."""
    if type(value) is dict:
        return "{" + ", ".join(f"{_flow_key(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if type(value) is list:
        return "[" + ", ".join(map(_flow, value)) + "]"
    if type(value) is Bare and _WORD.fullmatch(value):
        return value
    return _quoted(value) if isinstance(value, str) else write_json(value)


def _flow_key(key: str) -> str:
    return _quoted(key) if len(key) <= _LONGEST_KEY else f"? {_quoted(key)} "


def _scalar(text: str) -> str:
    if type(text) is Bare:
        return text if _comes_back(text) else _quoted(text)
    return text if _SAFE.fullmatch(text) and text.casefold() not in _SPECIAL else _quoted(text)


def _quoted(text: str) -> str:
    if _SHOWN.fullmatch(text):
        return "'" + text.replace("'", "''") + "'" if '"' in text or "\\" in text else f'"{text}"'
    return (
        '"' + "".join(char if _SHOWN.fullmatch(char) and char not in '"\\' else _escaped(char) for char in text) + '"'
    )


def _escaped(char: str) -> str:
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r"}.get(char)
    code = ord(char)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _comes_back(text: str) -> bool:
    """Is this bare word still the same one where it is put now?"""
    try:
        return "\n" not in text and load(f"k: {text}\n")[0] == {"k": text}
    except PatternFileRefused:
        return False
