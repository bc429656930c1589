"""`mycelnode budget`, `mycelnode pattern extract` and `mycelnode privacy dictionary`: what is released, and what that costs."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import click

from mycelnode.cli import _complete
from mycelnode.cli._common import (
    BadInput,
    Options,
    ask,
    command,
    confirm,
    group,
    local_time,
    plural,
    read_phrase,
    show,
    table,
)
from mycelnode.cli._progress import ask_with_progress
from mycelnode.cli.interactions import unlocked

MAX_DICTIONARY_BYTES = 64 << 20  # an address book may hold a photo of everybody
PLOT_CHARS = 32
WIDTH = 100
SENTENCE = "Σε is the loss of someone with one counted day in every window; your habits are not hidden."
STATES = {
    "open": "open: nothing is decided before it is over",
    "waiting": "over, and not decided yet: `mycelnode pattern extract` does it",
    "decided": "decided here",
    "lost": "lost: it was spent, and something ended this device before it was decided",
    "elsewhere": "decided on another device",
    "there": "over, and another device decides it",
    "never": "over, and never decided",
    "none": "nobody decides it",
}


# --- extract -------------------------------------------------------------------------------------------------------------


@command(name="extract", short_help="Decide what may leave, and list it.")
@click.option("--dry-run", is_flag=True, help="Only list what your turns here are about: nothing is decided or spent.")
@click.option("--window", metavar="ID", help="What came of this window, such as 2026-Q4.")
@click.option(
    "--without-missing", is_flag=True, help="Do not wait for devices that cannot be reached: what they have is lost."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def extract(options: Options, dry_run: bool, window: str | None, without_missing: bool, yes: bool) -> None:
    """Decide on the windows that are over, once, and list what was released: habits of yours, in public words.

    A habit that was seen on about 17 days is released as a rule, by chance and never for sure; nothing says how close another one
    came. Nothing is published here: `mycelnode pattern publish KEY` shows one whole, and asks.
    """
    if without_missing and not dry_run:
        confirm(options, "Decide without the devices that cannot be reached?", yes)
    asked = {"dry_run": dry_run, "window": window, "without_missing": without_missing}
    answer = unlocked(partial(ask_with_progress, options, "pattern.extract", "reading your turns", **asked))
    show(options, answer, _say_extracted)


def _say_extracted(answer: Mapping[str, Any]) -> None:
    window = answer["window"]
    state = "over, and not decided yet" if answer["waiting"] else _state(window)
    print(f"window {window['id']}, until {local_time(window['closes'])}: {state}")
    for missing in answer["waiting"]:
        role = "the witness, " if answer["witness"] else ""
        print(f"waiting for {role}{missing['name']}: {missing['reason']}")
    for left in answer["left_out"]:
        print(f"nothing of {left['name']} counts in it: {left['reason']}")
    candidates = answer["candidates"]
    if window["state"] in ("open", "waiting"):
        said = plural(len(candidates), "habit") if candidates else "nothing yet"
        print(f"your turns on this device are about {said}{':' if candidates else ''}")
        for one in candidates:
            print(f"  {one['text']}")
        print(f"One decision for all of it costs ε = {window['epsilon']}, δ = {window['delta']} ({window['unit']}).")
        print(f"A habit is released if it was seen on about {window['usual_days']} days, as a rule.")
    elif candidates:
        rows = [(one["key"], one["text"], str(one["n"]), _standing(one)) for one in candidates]
        table(rows, ("KEY", "WHAT", "N", "STATE"))
        print("`mycelnode pattern publish KEY` shows one whole, and asks.")
    elif window["state"] == "decided":
        print("Nothing was released.")
        print(f"A habit is released if it was seen on about {window['usual_days']} days, as a rule.")


def _state(window: Mapping[str, Any]) -> str:
    """How a window stands, in words."""
    match window["state"], window["decides"]:
        case "elsewhere", {"name": name}:
            return f"decided by {name}, which lists what came of it"
        case "there", {"name": name}:
            return f"over, and {name} decides it"
        case "never", _:
            return f"{STATES['never']}: {window['reason']}"
        case state, _:
            return STATES[state]


def _standing(one: Mapping[str, Any]) -> str:
    if one["cid"]:
        return f"published: {one['cid']}"
    if not one["confirmed"]:
        return "released, not confirmed"
    if one["sensitive"]:
        return f"confirmed: publish it by hand from {local_time(one['due'])} on"
    return f"confirmed: goes out on {local_time(one['due'])}, or when a node runs after that"


# --- budget --------------------------------------------------------------------------------------------------------------


@group(name="budget", short_help="What was spent of your privacy, and what is left.", invoke_without_command=True)
@click.option("--plot", is_flag=True, help="Also draw what was spent, over time.")
def budget(options: Options, plot: bool) -> None:
    """What release decisions have cost, and what the rest of the year may cost. A window costs the same if nothing was released."""
    if click.get_current_context().invoked_subcommand is None:
        show(options, ask(options, "budget"), lambda answer: _say_budget(answer, plot))


@command(budget, name="plan", short_help="How releases are decided, from the next window on.")
@click.option("--window", "length", type=click.Choice(("quarter", "year")), help="How long a window is.")
@click.option(
    "--choice",
    type=click.Choice(("strict", "standard", "loose")),
    help="strict: ε ½, δ 1e-6 (a habit of about 33 days); standard: ε 1, δ 1e-6 (17 days); loose: ε 2, δ 1e-9 (13 days).",
)
@click.option("--decides", metavar="DEVICE", help="The device that decides.", shell_complete=_complete.devices)
@click.option("--witness", metavar="DEVICE", help="The device that sees to it that none is decided twice.")
@click.option("--phrase", is_flag=True, help="This device decides, by the recovery phrase (on standard input).")
def plan(options: Options, phrase: bool, **wanted: str | None) -> None:
    """Change how releases are decided. What is open, and what is over, stays as it began: it counts from the next window on.

    Only the device that decides can change it; if that, or its witness, is lost, the recovery phrase lets this device decide.
    """
    if phrase:
        if any(wanted.values()):
            raise click.UsageError("--phrase lets this device decide; change the rest afterwards")
        answer = ask(options, "budget.phrase", phrase=read_phrase(one_line=True))
    else:
        if not any(wanted.values()):
            raise click.UsageError("say what is to change: --window, --choice, --decides or --witness")
        answer = ask(options, "budget.plan", **wanted)
    show(options, answer, _say_planned)


def _say_planned(answer: Mapping[str, Any]) -> None:
    _say_plan(answer["plan"])
    if not answer["holds"]:
        print(f"It holds once the witness of before has seen it: {answer['waiting']}")


def _say_plan(plan: Mapping[str, Any] | None) -> None:
    if plan is None:
        print("nobody decides releases yet: `mycelnode budget plan --phrase` lets this device do it")
        return
    witness = "no witness" if plan["witness"] is None else f"{plan['witness']['name']} is the witness"
    print(
        f"from {plan['since']} on, {plan['decides']['name']} decides each {plan['window']}, {plan['choice']}; {witness}"
    )


def _say_budget(answer: Mapping[str, Any], plot: bool) -> None:
    rows = [(one["id"], one["epsilon"] if one["spent"] else "", _state(one)) for one in answer["windows"]]
    table(rows, ("WINDOW", "SPENT ε", "STATE"))
    for name, sign in (("epsilon", "ε"), ("delta", "δ")):
        one = answer[name]
        print(f"{sign} in {answer['year']}: {one['spent']} spent, {one['left']} left of {one['cap']}")
    ever = answer["ever"]
    print(f"ever: Σε = {ever['epsilon']}, Σδ = {ever['delta']}, in {plural(ever['windows'], 'window')}")
    print(SENTENCE)
    _say_plan(answer["plan"])
    if plot:
        print()
        print("\n".join(_plot(answer["windows"])))


def _plot(windows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Σε after each window, as bars."""
    sums, total = [], Fraction(0)
    for one in windows:
        total += Fraction(one["epsilon"]) if one["spent"] else 0
        sums.append((one["id"], total))
    most = max(total, Fraction(1))
    width = max((len(name) for name, _ in sums), default=0)
    return [f"{name:<{width}} {'█' * int(PLOT_CHARS * value / most)} {float(value):g}" for name, value in sums]


# --- the statement -----------------------------------------------------------------------------------------------------------


@command(name="statement", short_help="What is promised, and what is not.")
def statement(options: Options) -> None:
    """What is promised about what leaves your devices by release decisions, with the figures of this mesh; and what is not."""
    show(options, ask(options, "privacy.statement"), _say_statement)


def _say_statement(answer: Mapping[str, Any]) -> None:
    print(
        f"{answer['mechanism']}, unit: {answer['unit']}, ε = {answer['epsilon']}, δ = {answer['delta']}, each {answer['window']}"
    )
    print(
        f"released if the noisy count of days is above {answer['threshold']}: as a rule from {answer['usual_days']} days on\n"
    )
    for heading, name in (("Promised:", "promised"), ("Not promised:", "not_promised")):
        print(heading)
        for sentence in answer[name]:
            print(textwrap.fill(sentence, WIDTH, initial_indent="- ", subsequent_indent="  "))
        print()


# --- the owner's dictionary ------------------------------------------------------------------------------------------------


@command(name="dictionary", short_help="Names and words that are yours: they never leave.")
@click.option("--add", "added", metavar="WORDS", multiple=True, help="An entry: a name, or several words.")
@click.option("--remove", "removed", metavar="WORDS", multiple=True, help="An entry that is to go.")
@click.option(
    "--import",
    "file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Entries, one a line, or an address book: vCard (.vcf) or CSV.",
)
def dictionary(options: Options, added: Sequence[str], removed: Sequence[str], file: Path | None) -> None:
    """Names and words that are yours: friends, clients, projects, pets. They are taken out of all that may leave, whatever the
    vocabulary says of them. The same on all your devices; a window goes by those that there were when it opened.
    """
    words = [*added, *(read_entries(file) if file else ())]
    answer = ask(options, "privacy.dictionary", add=words, remove=list(removed))
    show(options, answer, partial(_say_dictionary, changed=bool(words or removed)))


def read_entries(file: Path) -> list[str]:
    """Entries out of a file: one a line, or the names in an address book. Raises `BadInput` and `ContactsRefused`."""
    from mycelnode.privacy.contacts import names

    text = _text(file)
    found = names(text)
    return text.removeprefix("\ufeff").splitlines() if found is None else _fitting(found)


def _text(file: Path) -> str:
    stream = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    with stream:
        content = stream.read(MAX_DICTIONARY_BYTES + 1)
    if len(content) > MAX_DICTIONARY_BYTES:
        raise BadInput(f"the dictionary has more than {MAX_DICTIONARY_BYTES:,} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"the dictionary is not UTF-8: byte {error.start + 1} is wrong") from None
    if "\0" in text:  # no text has it; what is UTF-16 has it at each other byte
        raise BadInput("the dictionary is no text in UTF-8")
    return text


def _fitting(found: Sequence[str]) -> list[str]:
    """Those names of an address book that can be entries; who has one that is too long hears it, and has the others."""
    from mycelnode.releasing.dictionary import MAX_ENTRIES, MAX_ENTRY_CHARS

    fitting = [one for one in found if len(one) <= MAX_ENTRY_CHARS]
    if len(fitting) > MAX_ENTRIES:
        raise BadInput(f"the address book makes {len(fitting):,} entries; the dictionary has at most {MAX_ENTRIES:,}")
    if left := len(found) - len(fitting):
        click.echo(f"left out: {plural(left, 'name')} of more than {MAX_ENTRY_CHARS} characters", err=True)
    return fitting


def _say_dictionary(answer: Mapping[str, Any], *, changed: bool) -> None:
    if changed:
        print(f"{answer['added']} added, {answer['removed']} removed, {plural(len(answer['entries']), 'entry')} now")
        for word in answer["common"]:
            click.echo(
                f"{word!r} is a word that requests are understood by: where it stands, it is left out, so fewer habits are seen",
                err=True,
            )
        return
    for entry in answer["entries"]:
        print("".join(char if char.isprintable() else "·" for char in entry))  # nothing moves the cursor
