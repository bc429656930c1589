"""`mycelnode interactions`: the private turns with an assistant, on this device alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from mycelnode.cli._common import (
    BadInput,
    Options,
    ask,
    command,
    confirm,
    group,
    local_time,
    megabytes,
    parse_since,
    plural,
    read_secret,
    read_stdin,
    show,
    table,
)
from mycelnode.cli._progress import ask_with_progress
from mycelnode.errors import PassphraseNeeded, PassphraseWanted, shown

PASSPHRASE = "MYCEL_TURNS_PASSPHRASE"  # the environment variable
MAX_ADDED_CHARS = 1 << 17  # on standard input: as a line to the node it is less than that may be, whatever it holds
INFLUENCES = ("pattern", "tool", "web", "file", "system")
REASONS = {
    "empty": "without words",
    "unanswered": "without an answer",
    "long": "too long",
    "malformed": "not readable",
    "future": "from the future",
    "forgotten": "forgotten before, or counted on a device that is gone",
}
ENDED = {None: "", True: "yes", False: "no"}
HEADER = ("ID", "ASKED", "SOURCE", "SIZE", "DONE", "STATE")


@group(name="interactions", short_help="Your private turns with an assistant: add, import, list, forget.")
def interactions(options: Options) -> None:
    """Your private turns: what you asked an assistant and what it answered. They are on this device alone, encrypted.

    Where your key for them must be unlocked by a passphrase, it comes from MYCEL_TURNS_PASSPHRASE or the terminal.
    """


@command(interactions, name="add", short_help="Keep one turn.")
@click.argument("source_of_json", metavar="[-]", required=False, type=click.Choice(("-",)))
@click.option("--request", metavar="TEXT", help="What was asked.")
@click.option("--answer", metavar="TEXT", help="What was answered.")
@click.option("--success", type=click.Choice(("yes", "no")), help="Did it do what was asked? (default: nobody said)")
@click.option("--time", metavar="TIME", help="When it was asked, such as 2026-05-01T14:30:00Z (default: now).")
@click.option("--source", metavar="NAME", help="Where it comes from (default: added).")
@click.option("--influenced", type=click.Choice(INFLUENCES), multiple=True, help="What else had a part in it.")
def add(
    options: Options, source_of_json: str | None, success: str | None, influenced: Sequence[str], **said: Any
) -> None:
    """Keep one turn: said by options, or as a JSON object on standard input if `-` is given."""
    turn = {name: value for name, value in said.items() if value is not None}
    if success is not None:
        turn["success"] = success == "yes"
    if influenced:
        turn["influenced"] = list(influenced)
    if source_of_json is not None:
        if turn:
            raise click.UsageError("a turn is said by options or on standard input, not both")
        turn = _from_stdin()
    elif not {"request", "answer"} <= turn.keys():
        raise click.UsageError("say --request and --answer, or - and a JSON object on standard input")
    answer = unlocked(partial(ask, options, "interactions.add", turn=turn))
    show(options, answer, _say_added)


@command(interactions, name="import", short_help="Keep the turns in a file that are not here yet.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", metavar="NAME", help="Where they come from, instead of what the file says.")
def import_(options: Options, file: Path, source: str | None) -> None:
    """Keep the turns in FILE: JSON Lines, or what ChatGPT or Claude exports (conversations.json, or the zip file with it).

    What is here already is not taken in twice, so an export that grew adds what is new. Interrupted, what was taken in stays,
    and the same command goes on.
    """
    asking = partial(ask_with_progress, options, "interactions.import", "reading")
    answer = unlocked(partial(asking, path=str(file.absolute()), source=source))
    show(options, answer, _say_imported)


@command(interactions, name="list", short_help="What is kept, newest first, without its text.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--after", metavar="ID", help="Those that follow this one: the next page.")
@click.option("--source", metavar="NAME", help="Of this source.")
@click.option("--text", is_flag=True, help="Also what was said.")
def list_(options: Options, limit: int, after: str | None, source: str | None, text: bool) -> None:
    """The turns on this device, newest first: when, from where, how long, and whether they may still count."""
    fields = {"limit": limit, "after": after, "source": source, "text": text}
    asking = partial(ask, options, "interactions.list", **fields)
    show(options, unlocked(asking) if text else asking(), _say_list)


@command(interactions, name="forget", short_help="Forget turns for good.")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--source", metavar="NAME", help="All of this source.")
@click.option("--before", metavar="TIME", help="All that were asked before, such as 2026-05-01 or 90d (ago).")
@click.option("--all", "everything", is_flag=True, help="All that are on this device.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(
    options: Options, ids: Sequence[str], source: str | None, before: str | None, everything: bool, yes: bool
) -> None:
    """Forget turns for good: their keys are overwritten, so that nobody can read them any more, you neither.

    They do not count afterwards either, and are not taken in again from a file. What other devices keep stays there.
    """
    chosen: dict[str, Any] = {}
    if ids:
        chosen["ids"] = list(ids)
    if source is not None:
        chosen["source"] = source
    if before is not None:
        chosen["before"] = _before(before)
    if everything:
        chosen["all"] = True
    if len(chosen) != 1:
        raise click.UsageError("say which turns: IDs, --source, --before or --all")
    meant = ask(options, "interactions.forget", preview=True, **chosen)["turns"]
    if meant:
        confirm(options, f"Forget {plural(meant, 'turn')} for good?", yes)
    show(options, ask(options, "interactions.forget", **chosen), _say_forgotten)


# --- asking ------------------------------------------------------------------------------------------------------------------


def unlocked(asking: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Ask with the passphrase that the environment has, or else, if one is wanted and somebody is there, with what they say."""
    given = os.environ.get(PASSPHRASE)
    if given:
        return asking(passphrase=given)
    try:
        return asking()
    except (PassphraseNeeded, PassphraseWanted) as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        new = isinstance(error, PassphraseWanted)
    return asking(
        passphrase=read_secret("A new passphrase for your turns" if new else "Passphrase of your turns", twice=new)
    )


def _from_stdin() -> dict[str, Any]:
    from mycelnode.privacy.pieces import Piece, parsed

    said = read_stdin(whole=True, limit=MAX_ADDED_CHARS + 1)
    if len(said) > MAX_ADDED_CHARS:
        raise BadInput(
            f"standard input has more than {MAX_ADDED_CHARS:,} characters; put the turn into a file, and import that"
        )
    found = parsed(said.encode(), "standard input")
    if isinstance(found, Piece):
        return found.value
    raise BadInput(f"standard input holds no turn: {found.said}")


def _before(text: str) -> str:
    from mycelnode.commands import rfc3339

    return rfc3339(parse_since(text, datetime.now().astimezone(), "--before"))


# --- telling -----------------------------------------------------------------------------------------------------------------


def _say_key(answer: Mapping[str, Any]) -> None:
    if answer["key"].get("new"):
        print(answer["key"]["protects"])


def _say_added(answer: Mapping[str, Any]) -> None:
    said = {"new": "kept", "known": "here already", "forgotten": "not kept: it was forgotten, or has counted already"}
    print(f"{answer['id']}: {said[answer['state']]}")
    _say_key(answer)


def _say_imported(answer: Mapping[str, Any]) -> None:
    print(f"{plural(answer['new'], 'new turn')}, {answer['known']:,} known already.")
    for one in answer["skipped"]:
        print(f"Left out, {REASONS.get(one['reason'], one['reason'])}: {one['count']:,} (the first: {one['first']}).")
    _say_key(answer)


def _say_list(answer: Mapping[str, Any]) -> None:
    rows = []
    for turn in answer["turns"]:
        when = local_time(turn["time"]) if turn["dated"] else f"{local_time(turn['time'])}?"
        row = (turn["id"], when, turn["source"], megabytes(turn["bytes"]), ENDED[turn["success"]], turn["state"])
        if "request" in turn:
            table([row], HEADER)
            print(f"> {shown(turn['request'])}\n  {shown(turn['answer'])}\n")
        rows.append(row)
    if not rows:
        print("No turns on this device." if not answer["total"] else "No more turns.")
    elif "request" not in answer["turns"][0]:
        table(rows, HEADER)
    if answer["more"]:
        print(f"{answer['total']:,} in all; the next: --after {rows[-1][0]}")


def _say_forgotten(answer: Mapping[str, Any]) -> None:
    print(f"{plural(answer['forgotten'], 'turn')} forgotten.")
    if not answer["erased"]:
        print(
            "Something else reads the database just now, and the log beside it still holds their wrapped keys: the next forget,"
            " or the end of the node, clears it."
        )
