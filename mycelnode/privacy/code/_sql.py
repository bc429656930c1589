"""SQL: tables, columns, aliases, literals and comments become slots. The only module that knows `sqlglot`."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, Final

from mycelnode.privacy.code._numbers import Numbers, Piece

MAX_SQL_CHARS: Final = 10_000  # the parser is slow

_QUOTES: Final = frozenset("\"'`")


@cache
def _library() -> Any:
    import sqlglot

    logging.getLogger("sqlglot").addHandler(logging.NullHandler())  # it tells the terminal what it did not understand
    return sqlglot


@cache
def _public() -> frozenset[str]:
    """Keywords, types and functions, in capitals."""
    sqlglot = _library()
    words = {part for keyword in sqlglot.tokenize.__globals__["Tokenizer"].KEYWORDS for part in keyword.upper().split()}
    return frozenset(words | set(sqlglot.exp.FUNCTION_BY_NAME))


def sql_slots(source: str, numbers: Numbers) -> list[Piece]:
    """The slots of some statements. Raises `ValueError` if they do not parse."""
    if len(source) > MAX_SQL_CHARS:
        raise ValueError("too much SQL")
    sqlglot = _library()
    try:
        statements = sqlglot.parse(source)
        tokens = sqlglot.tokenize(source)
    except sqlglot.errors.SqlglotError as error:
        raise ValueError(str(error)) from None
    if any(statement is None or isinstance(statement, sqlglot.exp.Command) for statement in statements):
        raise ValueError("that is no SQL")
    found: list[Piece] = []
    done = 0
    for token in tokens:
        start, end = token.start, token.end + 1
        found += _between(source, done, start, numbers)
        text = source[start:end]
        done = end
        if text[:1] in _QUOTES:
            found.append(Piece(start, end, "a name or a string", f"{text[0]}{numbers.slot('quoted', text)}{text[0]}"))
        elif text[:1].isdigit():
            found.append(Piece(start, end, "a number", numbers.slot("number", text)))
        elif any(char.isalnum() for char in text) and not set(text.upper().split()) <= _public():
            found.append(Piece(start, end, "a name of your own", numbers.slot("name", text.lower())))
    return found + _between(source, done, len(source), numbers)


def _between(source: str, start: int, end: int, numbers: Numbers) -> list[Piece]:
    """Comments: all that is no white space between two tokens, but what ends a statement."""
    text = source[start:end].strip(" \t\r\n;")
    if not text:
        return []
    begin = source.index(text, start)
    return [Piece(begin, begin + len(text), "a comment", f"/* {numbers.slot('comment', text)} */")]
