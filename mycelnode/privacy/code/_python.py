"""Python: what is neither the language's, nor its standard library's, nor of a well-known package becomes a slot."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from functools import cache
from itertools import accumulate

from mycelnode.privacy.code._apis import PYTHON_APIS
from mycelnode.privacy.code._numbers import Numbers, Piece
from mycelnode.privacy.vocabulary import python_names


@cache
def public_names() -> frozenset[str]:
    """All that may stay."""
    return python_names() | PYTHON_APIS


def python_slots(source: str, numbers: Numbers) -> list[Piece]:
    """The slots of a module or a part of one. Raises `SyntaxError` or `ValueError` if it does not parse."""
    _check(source)
    lines = io.StringIO(source, newline="\n")
    starts = [0, *accumulate(map(len, io.StringIO(source, newline="\n")))]
    public = public_names()
    found: list[Piece] = []
    opened: list[int] = []  # where formatted strings begin whose parts are tokens of their own, as from Python 3.12 on
    try:
        for token in tokenize.generate_tokens(lines.readline):
            start = starts[token.start[0] - 1] + token.start[1]
            end = starts[min(token.end[0], len(starts)) - 1] + token.end[1]
            name = tokenize.tok_name[token.type]
            if name.endswith("STRING_START"):
                opened.append(start)
            elif name.endswith("STRING_END"):
                start = opened.pop()
                if not opened:
                    found.append(_literal(source[start:end], start, end, numbers))
            elif opened:
                continue
            elif name == "STRING":
                found.append(_literal(token.string, start, end, numbers))
            elif name == "COMMENT":
                found.append(Piece(start, end, "a comment", f"# {numbers.slot('comment', token.string)}"))
            elif name == "NUMBER":
                found.append(Piece(start, end, "a number", numbers.slot("number", token.string)))
            elif name == "NAME" and token.string not in public:
                found.append(Piece(start, end, "a name of your own", numbers.slot("name", token.string)))
            elif name == "ERRORTOKEN" and token.string.strip():
                raise SyntaxError("that is no token of Python")
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from None
    return found


def _literal(text: str, start: int, end: int, numbers: Numbers) -> Piece:
    prefix = "b" if "b" in text[: min(text.find('"') % len(text), text.find("'") % len(text))].lower() else ""
    return Piece(start, end, "a string", f'{prefix}"{numbers.slot("string", text)}"')


def _check(source: str) -> None:
    with warnings.catch_warnings():  # about escapes: what is in strings goes anyway
        warnings.simplefilter("ignore")
        ast.parse(source)
