"""`mycelnode pattern publish`: a file, what was released, or what is left of a turn; shown whole, and asked for."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click

from mycelnode.cli._amounts import near, yocto
from mycelnode.cli._common import (
    FAILED,
    BadInput,
    ConfirmationNeeded,
    Declined,
    Options,
    ask,
    command,
    local_time,
    megabytes,
    plural,
    show,
    working,
)
from mycelnode.cli.interactions import unlocked
from mycelnode.cli.privacy import visible

KEY = re.compile(r"[0-9a-f]{6,12}")  # what was released is called so; see `privacy.released`
SHOWN_SLOTS = 20
SAID_CHARS = 36
SHOWN_LINES = 40  # of a solution, before it is made public; --json and `show` have all of it
STANDING = {
    "public": "public",
    "private": "private, so nobody but you can get it",
    "not here": "not on this device; nobody may have it",
}


@command(name="publish", short_help="Make a pattern public: shows what, and asks.")
@click.argument("what", metavar="FILE|KEY", required=False)
@click.option("--turn", metavar="ID", help="What is left of a private turn of yours, when only public words may stay.")
@click.option("--title", help="Of a turn's pattern (default: its first words).")
@click.option("--price", metavar="NEAR", help="Of what was released: 0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5 or 1 a use.")
@click.option("--dry-run", is_flag=True, help="Only show what would be public.")
@click.option("--consent", is_flag=True, help="Do not ask: all that the file says may be public, for ever.")
@click.option(
    "--new-key", is_flag=True, help="Sign with a new creator key, which the one until now names as its successor."
)
@click.option(
    "--unlinked",
    is_flag=True,
    help="Of what was released: with a key of its own, so that it is linked with nothing else.",
)
@click.option(
    "--register", is_flag=True, help="Sell it, too: registered on NEAR by near.account, at the price of the file."
)
def publish(
    options: Options,
    what: str | None,
    turn: str | None,
    title: str | None,
    price: str | None,
    dry_run: bool,
    consent: bool,
    new_key: bool,
    unlinked: bool,
    register: bool,
) -> None:
    """Make public: the pattern in FILE (JSON, Markdown with front matter, or the folder of a skill), or what was released as KEY.

    Shows first what will be public, and asks. What is public stays so: others may have it by then. Registered, it can be
    bought, and found by whoever looks into the registry; a version that supersedes a registered one takes its place there.

    What `mycelnode pattern extract` lists as released carries the promise of that decision, and goes out at a random time within
    three days of it. A file, and a turn, carry none (dp: none).
    """
    if (what is None) == (turn is None):
        raise click.UsageError("say a FILE, a KEY, or --turn ID")
    if dry_run and consent:
        raise click.UsageError("--dry-run makes nothing public, so there is nothing to --consent to")
    _fits(
        "--turn" if turn is not None else "a FILE" if Path(str(what)).exists() else "a KEY",
        ("--title", title is not None, "--turn"),
        ("--price", price is not None, "a KEY"),
        ("--unlinked", unlinked, "a KEY"),
        ("--new-key", new_key, "a FILE"),
        ("--register", register, "a FILE", "a KEY"),
    )
    if unlinked and (register or price not in (None, "0")):
        raise click.UsageError("what is --unlinked is free, and in no registry: an account that is paid would link it")
    if turn is not None:
        _publish_turn(options, turn, title, dry_run, consent)
    elif Path(str(what)).exists():
        _publish_file(options, Path(str(what)), dry_run, consent, new_key, register)
    elif KEY.fullmatch(str(what).lower()):
        _publish_released(options, str(what), price, dry_run, consent, register, unlinked)
    else:
        raise BadInput(f"{what} is no file, and no KEY that `mycelnode pattern extract` lists")


def _fits(kind: str, *options: tuple[Any, ...]) -> None:
    """Refuse an option that would say nothing for this ``kind`` of what is published: whoever gave it believes that it does.

    ``options``: each its name, was it given, and the kinds that it goes with.
    """
    for option, given, *fitting in options:
        if given and kind not in fitting:
            raise click.UsageError(f"{option} goes with {' or '.join(fitting)}, not with {kind}")


def _publish_file(options: Options, file: Path, dry_run: bool, consent: bool, new_key: bool, register: bool) -> None:
    path = str(file.absolute())
    with working("asking the network") if register else nullcontext():
        draft = ask(options, "pattern.preview", path=path, new_key=new_key, register=register)
    if dry_run:
        show(options, draft, _say_draft)
        return
    question = f"Make this public{', and register it,' if register else ','} for ever?"
    _agree(options, consent, lambda: _say_draft(draft), question)
    fields = {"register": True, "deposit": draft["registering"]["deposit"]} if register else {}
    with working("asking the network") if register else nullcontext():
        answer = ask(options, "pattern.publish", path=path, digest=draft["digest"], new_key=new_key, **fields)
    _done(options, answer, register)


def _publish_released(
    options: Options, key: str, price: str | None, dry_run: bool, consent: bool, register: bool, unlinked: bool
) -> None:
    asked: dict[str, Any] = {} if price is None else {"price": str(yocto(price, "--price"))}
    asked |= {"unlinked": True} if unlinked else {}
    with working("asking the network") if register else nullcontext():
        offered = ask(options, "pattern.released", key=key, register=register, **asked)
    if dry_run:
        show(options, offered, _say_offered)
        return
    question = f"Make this public{', and register it,' if register else ','} for ever?"
    _agree(options, consent, lambda: _say_offered(offered), question)
    fields = {"digest": offered["digest"], **asked}
    fields |= {"register": True, "deposit": offered["registering"]["deposit"]} if register else {}
    with working("asking the network") if register else nullcontext():
        answer = ask(options, "pattern.confirm", key=offered["key"], **fields)
    if answer["due"] is not None:
        show(options, answer, _say_confirmed)
        return
    _done(options, answer, register)


def _publish_turn(options: Options, turn: str, title: str | None, dry_run: bool, consent: bool) -> None:
    seen = unlocked(partial(ask, options, "pattern.turn", turn=turn, title=title))
    if dry_run:
        show(options, seen, _say_turn)
        return
    _agree(options, consent, lambda: _say_turn(seen), "Make the right side public, for ever?")
    answer = unlocked(partial(ask, options, "pattern.consent", turn=turn, output=seen["output"], title=title))
    _done(options, answer, register=False)


def _agree(options: Options, consent: bool, explain: Callable[[], None], question: str) -> None:
    if consent:
        return
    if sys.stdin.isatty() or not options.as_json:
        explain()
    if not sys.stdin.isatty():
        raise ConfirmationNeeded(
            "this cannot be taken back and there is no terminal to ask on; say --consent to go ahead"
        )
    if not click.confirm(question, err=True):
        raise Declined("nothing was made public")


def _done(options: Options, answer: Mapping[str, Any], register: bool) -> None:
    show(options, answer, _say_published)
    if register and not answer["registered"] and not answer["waiting"]:
        click.get_current_context().exit(FAILED)


# --- for people ----------------------------------------------------------------------------------------------------------


def _say_offered(offered: Mapping[str, Any]) -> None:
    _err("This will be public, for ever, for everybody:\n")
    for line in offered["public"].splitlines():
        _err(f"  {line}")
    said = offered["privacy"]
    promise = f"{said['dp']}, {said['unit']}, ε = {said['epsilon']}, δ = {said['delta']}"
    _err(f"\nIt was released by a decision on {offered['window']}: {promise}.")
    if offered["unlinked"]:
        _err(
            "Signed with a key that signs nothing else, and is thrown away then: nothing of yours in the collective names it."
        )
        _err("So nobody can replace or retire it, it earns nothing, and no good name of yours speaks for it.")
        _err("Whoever watches the network can still see which node has it first.")
    else:
        _say_signer(offered)
    for one in offered["alike"]:
        _err(
            f"Something like it is in your library{', by you' if one['mine'] else ''}: {visible(one['title'])} ({one['cid']})"
        )
    if offered["note"]:
        _err(offered["note"])
    if offered["registering"]:
        _say_registering(offered["registering"])


def _say_private(public: str, private: Mapping[str, Any]) -> None:
    """What no public list of words has, and what has a telling form; beside what would stand there without it."""
    slots = private["slots"]
    if not slots:
        _err("\n  Nothing in it looks private.")
        return
    _err("\n  Look at these: they may be private, and without them it would say")
    for slot in slots[:SHOWN_SLOTS]:
        said = textwrap.shorten(visible(public[slot["start"] : slot["end"]]), SAID_CHARS, placeholder=" …")
        _err(f"    {said:<{SAID_CHARS}}  {slot['text']:<12}  {slot['reason']}")
    if len(slots) > SHOWN_SLOTS:
        _err(f"    … and {plural(len(slots) - SHOWN_SLOTS, 'place')} more")


def _say_confirmed(answer: Mapping[str, Any]) -> None:
    when = local_time(answer["due"])
    if answer["note"]:
        print(f"confirmed: the same command makes it public from {when} on; it never goes out by itself")
    else:
        print(f"confirmed: it goes out by itself on {when}, if a node runs then; else the same command makes it public")


def _say_turn(seen: Mapping[str, Any]) -> None:
    """Both side by side, then each change with its reason."""
    width = max(1, (shutil.get_terminal_size().columns - 3) // 2)
    sides = [
        [piece for line in seen[side].splitlines() for piece in (textwrap.wrap(visible(line), width) or [""])]
        for side in ("original", "output")
    ]
    for left, right in zip_longest(*sides, fillvalue=""):
        _err(f"{left:<{width}} │ {right}")
    for slot in seen["slots"]:
        _err(f"{slot['text']}: {seen['original'][slot['start'] : slot['end']]!r}, {slot['reason']}")
    _err(f"\nIts title would be: {visible(seen['title'])}")
    if seen["private_title"]:
        _err("That has words in it which are in no public list: look whether they are private.")
    _err("It is signed with your creator key: whoever looks can see all that you publish.")
    _err("The right side, and the title, are what would be public. No promise of privacy goes with it (dp: none).\n")


def _err(line: str) -> None:
    click.echo(line, err=True)


def _say_draft(draft: Mapping[str, Any]) -> None:
    _err("This will be public, for ever, for everybody:\n")
    for line in draft["public"].splitlines()[:SHOWN_LINES]:
        _err(f"  {line}")
    if (left := len(draft["public"].splitlines()) - SHOWN_LINES) > 0:
        _err(f"  … and {plural(left, 'line')} more, of {draft['path']}")
    _say_private(draft["public"], draft["private"])
    for file in draft["files"]:
        _err(f"  {file['path']}, {megabytes(file['size'])}")
    for path in draft["left_out"]:
        _err(f"  left out: {path}")
    for named in draft["names"]:
        _err(f"  names the pattern {named['cid']}: {STANDING[named['standing']]}")
    _err("")
    _say_signer(draft)
    _err("No promise of privacy goes with it (dp: none): it says what the file says.\n")
    if draft["registering"]:
        _say_registering(draft["registering"])


def _say_signer(draft: Mapping[str, Any]) -> None:
    signer = f"the creator key {draft['creator']}" if draft["creator"] else "a creator key, made now"
    _err(f"Signed with {signer}, which whoever looks can see on everything that you publish.")
    if draft["formers"]:
        _err(f"It says that this is the same person as {' and '.join(draft['formers'])}, before.")
    if draft["near"]:
        _err(f"It names the NEAR account {draft['near']}, so whoever looks can link the two for ever.")


def _say_registering(plan: Mapping[str, Any]) -> None:
    if plan["number"] is not None:
        _err(
            f"It is registered already by {plan['account']}, as number {plan['number']}, at {near(plan['price'])}:"
            " nothing more is said there, and nothing is taken.\n"
        )
        return
    _err(
        f"Registering it says on a public chain, for ever, that the account {plan['account']} made it:"
        f" its hash, the domain {plan['domain']} and the price, {near(plan['price'])}."
    )
    if plan["replaces"]:
        _err(f"There it takes the place of {plan['replaces']}, and that costs gas only.\n")
        return
    about = "" if plan["asked"] else "about "
    _err(
        f"The contract {plan['registry']} keeps {about}{near(plan['deposit'])} of that account for it: a part pays for the record,"
        " the rest can be taken back 30 days after `mycelnode pattern retire`.\n"
    )


def _say_published(answer: Mapping[str, Any]) -> None:
    print(answer["cid"])
    _err(f"published: {answer['told']}")
    if answer["registered"]:
        number = "" if answer["id"] is None else f" as number {answer['id']}"
        _err(f"registered{number}: {answer['registration']}")
    elif answer["registration"]:
        _err(
            f"not registered{' yet' if answer['waiting'] else ''}: {answer['registration']} (`mycelnode chain outbox --all`)"
        )
