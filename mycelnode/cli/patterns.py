"""`mycelnode pattern`: make patterns public, find them, use them, and carry them in and out."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from mycelnode.cli._amounts import near, yocto
from mycelnode.cli._common import (
    Declined,
    Options,
    ask,
    command,
    confirm,
    group,
    local_time,
    megabytes,
    plural,
    show,
    table,
    working,
)
from mycelnode.cli._complete import patterns as kept_patterns
from mycelnode.cli._progress import ask_with_progress
from mycelnode.cli.publishing import publish
from mycelnode.cli.releases import extract
from mycelnode.errors import CidRefused

KINDS = ("prompt", "code", "adapter", "workflow")
FORMATS = ("skill", "json", "markdown", "car")
SHOWN_LINES = 40  # of a solution, before it is made public; --json and `show` have all of it
TITLE_CHARS = 40  # in a list
TABLE_CHARS = 150  # that a list takes as a table, the CIDs not broken
STANDING = {
    "public": "public",
    "private": "private, so nobody but you can get it",
    "not here": "not on this device; nobody may have it",
}


@group(name="pattern", short_help="Patterns: publish, search, use, rate.")
def pattern(options: Options) -> None:
    """Patterns: what was learned and can be used again. Those that you keep are on all your devices."""


pattern.add_command(publish)
pattern.add_command(extract)


@command(pattern, name="search", short_help="Find patterns by what they are for.")
@click.argument("query", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="At most so many.")
@click.option("--domain", help="Of this domain.")
@click.option("--language", metavar="TAG", help="In this language: pt also finds pt-BR.")
@click.option("--kind", type=click.Choice(KINDS), help="Of this kind.")
@click.option("--max-price", metavar="NEAR", help="For at most so much for each use, such as 0.1.")
@click.option("--creator", help="By this creator.")
@click.option("--min-reputation", type=click.IntRange(0, 1000), help="By creators with at least this reputation.")
@click.option("--explain", is_flag=True, help="Say how each came to its score.")
def search(options: Options, query: Sequence[str], max_price: str | None, explain: bool, **filters: Any) -> None:
    """Find patterns by what they are for: those that you keep, and those that your node has heard of."""
    if max_price is not None:
        filters["max_price"] = str(yocto(max_price))
    wanted = {name: value for name, value in filters.items() if value is not None}
    answer = ask(options, "pattern.search", query=" ".join(query), **wanted)
    show(options, answer, partial(_say_results, explain))


@command(pattern, name="show", short_help="All that a pattern says, checked.")
@click.argument("cid", shell_complete=kept_patterns)
def show_(options: Options, cid: str) -> None:
    """Everything that a pattern says, checked against its name and its creator's signature."""
    show(options, ask_with_progress(options, "pattern.show", cid=cid), _say_pattern)


@command(pattern, name="list", short_help="The patterns that you keep.")
@click.option("--seen", is_flag=True, help="Also those that the node has heard of, besides the ones that you keep.")
def list_(options: Options, seen: bool) -> None:
    """The patterns that you keep, on whichever device."""
    show(options, ask(options, "pattern.list", seen=seen), _say_list)


@command(pattern, name="use", short_help="Print what a pattern gives; code is not run.")
@click.argument("cid", shell_complete=kept_patterns)
@click.option("--var", "variables", metavar="NAME=VALUE", multiple=True, help="Fill in a variable of the template.")
@click.option("--max-price", metavar="NEAR", help="Pay at most so much for this use, such as 0.1, without being asked.")
@click.option("--yes", is_flag=True, help="Say yes to what you would be asked; your limits hold.")
@click.option("--request", metavar="NAME", help="Made again under the same name, a use is never paid twice.")
@click.option(
    "--no-wait", is_flag=True, help="Leave the payment in the outbox; the same command again gives the pattern."
)
def use(
    options: Options,
    cid: str,
    variables: Sequence[str],
    max_price: str | None,
    yes: bool,
    request: str | None,
    no_wait: bool,
) -> None:
    """Print what a pattern gives: its template filled in, its code (which is never run), its steps. From then on you keep it.

    A pattern of somebody else with a price is paid for first; asked again after an interruption, it is not paid twice.
    """
    fields = {"variables": dict(map(_variable, variables)), "request": request, "no_wait": no_wait}
    price = None if max_price is None else str(yocto(max_price))
    if not yes and sys.stdin.isatty():
        quote = ask_with_progress(options, "pattern.quote", cid=cid, max_price=price, request=request)
        if quote["questions"]:
            for sentence in (*quote["questions"], _costs(quote)):
                _err(sentence[0].upper() + sentence[1:] + ".")
            if not click.confirm(
                f"Pay {near(quote['total'])} for this use of what {quote['creator']} sells?", err=True
            ):
                raise Declined("nothing was paid")
            price, yes = price or quote["total"], True
    answer = ask_with_progress(options, "pattern.use", cid=cid, max_price=price, yes=yes, **fields)
    show(options, answer, _say_used)


@command(pattern, name="rate", short_help="Say how it went: that ranks what you find.")
@click.argument("cid", shell_complete=kept_patterns)
@click.option("--success", type=click.Choice(("yes", "no")), required=True, help="Did it do what it is for?")
@click.option("--stars", type=click.IntRange(1, 5), help="How good it is.")
def rate(options: Options, cid: str, success: str, stars: int | None) -> None:
    """Say how it went. It stays among your devices, and ranks what you find from then on.

    A use that was paid for is also rated on NEAR, in public, by the account that paid.
    """
    answer = ask(options, "pattern.rate", cid=cid, success=success == "yes", stars=stars)
    show(options, answer, _say_rated)


@command(pattern, name="price", short_help="Ask another price for a pattern of yours.")
@click.argument("cid", shell_complete=kept_patterns)
@click.argument("price", metavar="NEAR")
def price_(options: Options, cid: str, price: str) -> None:
    """Ask another price for a pattern that you have registered, such as 0.02; 0 makes it free."""
    with working("asking the network"):
        answer = ask(options, "pattern.price", cid=cid, price=str(yocto(price, "NEAR")))
    show(options, answer, _say_priced)


@command(pattern, name="retire", short_help="Sell a pattern of yours no more.")
@click.argument("cid", shell_complete=kept_patterns)
@click.option("--yes", is_flag=True, help="Do not ask.")
def retire(options: Options, cid: str, yes: bool) -> None:
    """Sell a pattern that you have registered no more, for ever. Again, 30 days later, take back what was held for it."""
    confirm(options, "Let nobody buy uses of this pattern any more, for ever?", yes)
    with working("asking the network"):
        answer = ask(options, "pattern.retire", cid=cid)
    show(options, answer, _say_retired)


@command(pattern, name="export", short_help="Write a pattern to a file or a folder.")
@click.argument("cid", shell_complete=kept_patterns)
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Where to; it must not exist yet.")
def export(options: Options, cid: str, form: str, output: Path) -> None:
    """Write a pattern to a file, or a skill to a folder. Only a CAR keeps the signature."""
    path = str(output.absolute())
    answer = ask_with_progress(options, "pattern.export", cid=cid, format=form, path=path)
    show(options, answer, lambda found: print(f"{found['path']}: {megabytes(found['bytes'])}"))


@command(pattern, name="import", short_help="Keep a pattern: of a CAR, a file or a CID.")
@click.argument("source", metavar="FILE|CID")
def import_(options: Options, source: str) -> None:
    """Keep a pattern: a CAR with its signature, a CID to be fetched, or a file of your own, which stays private.

    A file of your own is signed with your creator key and shared with nobody but your devices until you publish it.
    """
    if os.path.exists(source):
        answer = ask_with_progress(options, "pattern.import", path=os.path.abspath(source))
    else:
        try:
            answer = ask_with_progress(options, "pattern.import", cid=source)
        except CidRefused as error:
            raise CidRefused(f"there is no such file, and {error}") from error
    show(options, answer, _say_imported)


@command(pattern, name="forget", short_help="Keep a pattern no more, on any device.")
@click.argument("cid", shell_complete=kept_patterns)
def forget(options: Options, cid: str) -> None:
    """Keep a pattern no more, on any of your devices. If it is public, others may have it."""
    answer = ask(options, "pattern.forget", cid=cid)
    show(options, answer, lambda found: print(f"{found['cid']} is kept no more"))


@command(pattern, name="block", short_help="Take nothing of a creator any more.")
@click.argument("creator", required=False)
@click.option("--undo", is_flag=True, help="Take it back.")
def block(options: Options, creator: str | None, undo: bool) -> None:
    """Take nothing more of a CREATOR, nor show what was only heard of; on all your devices. Without CREATOR: who is blocked.

    What you keep of that creator stays until you forget it. `pattern show` prints the creator of a pattern.
    """
    if creator is None:
        if undo:
            raise click.UsageError("--undo needs the CREATOR who is not to be blocked any more")
        show(options, ask(options, "pattern.blocked"), _say_blocked)
        return
    answer = ask(options, "pattern.block", creator=creator, undo=undo)
    show(
        options,
        answer,
        lambda found: print(f"{found['creator']} is {'blocked' if found['blocked'] else 'not blocked any more'}"),
    )


# --- what people type ----------------------------------------------------------------------------------------------------


def _variable(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--var")
    return name, value


# --- for people ----------------------------------------------------------------------------------------------------------


def _price(pattern: Mapping[str, Any]) -> str:
    """What the registry asks, if it is known to, and what the pattern says itself."""
    now, said = pattern["price_now"], near(pattern["price"])
    return said if now in (None, pattern["price"]) else f"{near(now)} (it says {said})"


def _costs(quote: Mapping[str, Any]) -> str:
    record = int(quote["total"]) - int(quote["price"])
    once = f", and {near(str(record))} for the record of a first use" if record else ""
    gas = f"{near(quote['gas_in_advance'])} more have to be there for gas, and come back but for about {near(quote['gas_burnt'])}"
    return f"it costs {near(quote['price'])}{once}; {gas}"


def _err(line: str) -> None:
    click.echo(line, err=True)


def _say_used(answer: Mapping[str, Any]) -> None:
    if answer["pending"]:
        _err(f"{answer['pending']} and gives the pattern (`mycelnode chain outbox`)")
        return
    print(answer["output"])
    if int(answer["paid"]):
        _err(f"paid: {near(answer['paid'])}")
    elif int(answer["paid_before"]):
        _err(f"paid before, under this name: {near(answer['paid_before'])}; nothing was paid now")


def _say_results(explain: bool, answer: Mapping[str, Any]) -> None:
    for found in answer["results"]:
        print(f"{found['cid']}  {found['title']}")
        price = near(found["price"])
        if answer["sources"]["registry"] == "ok" and int(found["price"]) and not found["registry"]:
            price = "not for sale"  # its creator has put another one in its place, or never registered it
        print(f"    {found['kind']}, {found['domain']}, {price}, score {found['score']:.2f}")
        if registered := found["registry"]:
            print(f"    registered by {registered['account']}{', retired' if registered['retired'] else ''}")
        if found["later"]:
            print(f"    a later version is there: {found['later']}")
        for part in found["explain"] if explain else ():
            print(f"    {part['contribution']:+.2f}  {part['sentence']}")
    if not answer["results"]:
        print("nothing found")
    for source, state in answer["sources"].items():
        if state not in ("ok", "off"):
            _err(f"{source}: {state}")
    _err(f"meaning compared by: {answer['embedder']}")


def _say_pattern(answer: Mapping[str, Any]) -> None:
    print(answer["text"].rstrip("\n"))
    print()
    rows = [("cid", answer["cid"]), ("creator", answer["creator"]), ("created", _made_at(answer))]
    rows += [("formerly", former) for former in answer["formers"]]
    rows += [("price", _price(answer)), ("privacy", f"dp: {answer['dp']}")]
    rows += [("near", answer["near"])] if answer["near"] else []
    rows += [("file", f"{file['path']}, {megabytes(file['size'])}") for file in answer["files"]]
    for name, value in rows:
        print(f"{name:<8} {value}")


def _made_at(answer: Mapping[str, Any]) -> str:
    """What was released says no time: 0."""
    return "not said" if answer["created"].startswith("1970-01-01T00:00:00") else local_time(answer["created"])


def _say_list(answer: Mapping[str, Any]) -> None:
    if answer["more"]:
        _err(f"the last {len(answer['patterns'])} of more; `pattern search` finds the others")
    if not answer["patterns"]:
        print("no patterns yet: `mycelnode pattern publish FILE` makes one public, `pattern search` finds others'")
        return
    rows = [
        (
            one["title"][:TITLE_CHARS],
            one["kind"],
            one["domain"],
            _price(one),
            "yours" if one["mine"] else "kept" if one["kept"] else "seen",
            f"{one['uses']}/{one['successes']}",
            one["cid"],
        )
        for one in answer["patterns"]
    ]
    if sys.stdout.isatty() and shutil.get_terminal_size().columns < TABLE_CHARS:
        for title, kind, domain, price, state, _, cid in rows:
            print(f"{title}\n    {kind}, {domain}, {price}, {state}\n    {cid}")
        return
    table(rows, ("TITLE", "KIND", "DOMAIN", "PRICE", "STATE", "USED/WELL", "CID"))


def _say_rated(answer: Mapping[str, Any]) -> None:
    print(f"noted: {plural(answer['uses'], 'use')}, {answer['successes']} went well, {answer['failures']} did not")
    if answer["queued"]:
        _err(f"the rating on chain: {answer['queued']}")


def _say_priced(answer: Mapping[str, Any]) -> None:
    word = "costs" if int(answer["price"]) else "is"  # free
    print(f"{answer['cid']} {word} {near(answer['price'])} from now on")


def _say_retired(answer: Mapping[str, Any]) -> None:
    print(f"{answer['cid']} is retired")
    if answer["released"]:
        _err("what was held for it has come back")
    else:
        _err(f"what is held for it can be taken back from {local_time(answer['release_from'])} on, by the same command")


def _say_imported(answer: Mapping[str, Any]) -> None:
    print(answer["cid"])
    _err(f"kept: {answer['title']}")
    if answer["left"]:
        _err(f"left: {plural(answer['left'], 'other root')} of this CAR; a CAR has one pattern here")


def _say_blocked(answer: Mapping[str, Any]) -> None:
    for creator in answer["creators"]:
        print(creator)
    if not answer["creators"]:
        print("nobody is blocked")
