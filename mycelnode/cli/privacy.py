"""`mycelnode privacy`: see what would be left of a text before anything of it may leave. Wants no node and no data folder."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from mycelnode.cli._common import BadInput, Options, command, group, plural
from mycelnode.cli.releases import dictionary, read_entries, statement
from mycelnode.errors import MycelError, TextRefused

if TYPE_CHECKING:
    from mycelnode.privacy.generalise import Generalised
    from mycelnode.privacy.owner import Dictionary

MAX_LINE_BYTES = (
    12_000_000  # of JSONL: each character of the longest text may be written as \u1234, and twice if it is a rare one
)
CODE = ("python", "sql", "json", "shell")
NO_KEY = {
    "long": "of no habit, as it is too long",
    "phrase": "of no habit, as it is never used",
    "script": "of no habit, as it is not in English",
    "language": "of no habit, as it is not in English for sure",
    "task": "of no habit that is known",
}
GUTTER = " │ "
LEAST_COLUMNS = 60


@group(name="privacy", short_help="See what would be left of a text.")
def privacy(options: Options) -> None:
    """What leaves your devices, and what is taken out of it before."""


privacy.add_command(dictionary)
privacy.add_command(statement)


@command(privacy, name="preview", short_help="A text and what is left of it, with the reasons.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), default="-")
@click.option(
    "--dictionary",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Names and words that are yours, one a line, or an address book (.vcf, CSV): they go as well.",
)
@click.option("--code", type=click.Choice(CODE), help="The text is code in this language; in a text, fences say so.")
def preview(options: Options, file: Path, dictionary: Path | None, code: str | None) -> None:
    """Show what is left of the text in FILE, or on standard input, when only public words may stay, and why each slot is one.

    The last line names the habit that it would be a day of, if it were a request.

    With --json it is one object: id, output, slots, key. JSON lines with an id and a text (in a file whose name ends in .jsonl, or
    if the first line is one) are answered by one line each. Nothing is stored, and nothing is sent.
    """
    owner = _dictionary(dictionary)
    with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as stream:
        first = stream.readline(MAX_LINE_BYTES)
        if file.suffix == ".jsonl" or _item(first) is not None:
            _answer_lines(first, stream, owner, code or "")
            return
        text = _text(first + stream.read(MAX_LINE_BYTES))
    result = _generalised(text, owner, code or "")
    if options.as_json:
        print(json.dumps(_answer(None, text, result, owner)), flush=True)
    else:
        _say(text, result)
        _say_key(text, owner)


def _dictionary(file: Path | None) -> Dictionary:
    from mycelnode.privacy.owner import Dictionary

    return Dictionary(read_entries(file) if file else ())


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"the text is not UTF-8: byte {error.start + 1} is wrong") from None


def _generalised(text: str, owner: Dictionary, code: str) -> Generalised:
    from mycelnode.privacy.generalise import generalise

    return generalise(text, owner, language=code)


def _answer(id_: object, text: str, result: Generalised, owner: Dictionary) -> dict[str, Any]:
    from mycelnode.privacy.key import key_of

    slots = [
        {"type": slot.type, "start": slot.start, "end": slot.end, "reason": slot.reason, "text": slot.text}
        for slot in result.slots
    ]
    key = key_of(text, "", owner)
    return {
        "id": id_,
        "output": result.output,
        "slots": slots,
        "dropped": result.dropped or None,
        "key": key.title if key else None,
    }


# --- JSON lines ----------------------------------------------------------------------------------------------------------


def _item(line: bytes) -> dict[str, Any] | None:
    """A line of JSON with a text in it."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) and isinstance(item.get("text"), str) else None


def _lines(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Line by line; of one that is too long only the beginning, which is no JSON then."""
    line = first
    while line:
        if line.strip():
            yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE_BYTES)
        line = stream.readline(MAX_LINE_BYTES)


def _answer_lines(first: bytes, stream: BinaryIO, owner: Dictionary, code: str) -> None:
    """One line for each; what is wrong with one does not keep the others from their answer."""
    refused = number = 0
    for number, line in enumerate(_lines(first, stream), 1):
        item = _item(line)
        try:
            if item is None:
                raise BadInput(f"line {number:,} is no JSON object with a text")
            answer = _answer(item.get("id"), item["text"], _generalised(item["text"], owner, code), owner)
        except (BadInput, TextRefused) as error:
            refused += 1
            message = str(error) if isinstance(error, MycelError) else error.format_message()
            answer = {"id": item and item.get("id"), "error": type(error).__name__, "message": message}
        print(json.dumps(answer), flush=True)
    if refused:
        raise BadInput(f"{plural(refused, 'text')} of {number:,} could not be read")


# --- for people ----------------------------------------------------------------------------------------------------------


def _say(text: str, result: Generalised) -> None:
    width = (max(shutil.get_terminal_size((120, 24)).columns, LEAST_COLUMNS) - len(GUTTER)) // 2
    print(f"{'original':<{width}}{GUTTER}what is left")
    print(f"{'─' * width}─┼─{'─' * width}")
    before, after = text.splitlines(), result.output.splitlines()
    pairs = zip(before, after, strict=True) if len(before) == len(after) else [(text, result.output)]
    for one, other in pairs:
        columns = [_wrapped(side, width) for side in (one, other)]
        for row in range(max(map(len, columns))):
            left, right = (column[row] if row < len(column) else "" for column in columns)
            print(f"{left:<{width}}{GUTTER}{right}".rstrip())
    print()
    if result.dropped:
        print(f"A turn with this in it is never used at all: it has {result.dropped} in it.")
    if not result.slots:
        print("Nothing was taken out.")
        return
    for slot in result.slots:
        original = textwrap.shorten(visible(text[slot.start : slot.end]), 40, placeholder=" …")
        print(f"{slot.text:<12}{original or '…':<42}{slot.reason}")


def _say_key(text: str, owner: Dictionary) -> None:
    from mycelnode.privacy.key import key_of, why_none

    key = key_of(text, "", owner)
    print(f"\nAs a request: {key.title if key else NO_KEY[why_none(text, '', owner)]}.")


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(visible(text), width, drop_whitespace=False) or [""]


def visible(text: str) -> str:
    """What cannot be seen, or would move the cursor or turn the text around, as a dot."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "·" for char in text)
