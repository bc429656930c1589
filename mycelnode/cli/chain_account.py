"""`mycelnode chain account`: the accounts that publish and pay, and those that did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mycelnode.cli._common import Options, ask, command, confirm, group, plural, show, working

NOTHING = "it has nothing yet: send it what may be spent"
FILE = "its key file, which is then kept in ~/.near-credentials, too"


@group(
    name="account", path="chain.account", short_help="The accounts that publish and pay.", invoke_without_command=True
)
def account(options: Options) -> None:
    """The accounts that publish and pay, and their keys. Without a command: which they are."""
    if click.get_current_context().invoked_subcommand is None:
        show(options, ask(options, "chain.account"), _say_account)


@command(account, name="create", short_help="Make an account.")
@click.argument("name", required=False)
@click.option(
    "--from", "source", metavar="ACCOUNT|FILE", help=f"Who makes and funds it: an account of yours, or {FILE}."
)
@click.option("--amount", metavar="NEAR", help="What it is given to begin with, such as 1.")
@click.option("--replace", is_flag=True, help="NAME publishes and is paid from now on, in the place of another one.")
def create(options: Options, name: str | None, source: str | None, amount: str | None, replace: bool) -> None:
    """Make an account. With NAME one that publishes and is paid; without, one that pays for uses, of this device alone.

    A named account of testnet comes from its faucet, or from another account of yours: --from.
    """
    fields = {"name": name, "from": _source(source), "amount": _yocto(amount), "replace": replace}
    with working("asking the network"):
        answer = ask(options, "chain.account.create", **fields)
    show(options, answer, lambda made: _say_created(made, fields))


@command(account, name="import", short_help="Take in a key file.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--account", "name", help="Whose key it is, if neither the file nor its folder says so.")
@click.option("--spender", is_flag=True, help="This account pays for uses; else it publishes and is paid.")
def import_(options: Options, file: Path, name: str | None, spender: bool) -> None:
    """Take in a key file of NEAR's tools, as it lies in ~/.near-credentials. It must be a full-access key.

    An account that is set already as the one that publishes and is paid stays so.
    """
    answer = ask(options, "chain.account.import", path=str(file.absolute()), account=name, spender=spender)
    show(options, answer, _say_taken)


@command(account, name="fund", short_help="Give an account of yours more.")
@click.argument("name", metavar="[ACCOUNT]", required=False)
@click.option("--from", "source", metavar="ACCOUNT|FILE", required=True, help=f"An account of yours, or {FILE}.")
@click.option("--amount", metavar="NEAR", required=True, help="How much, such as 1.")
def fund(options: Options, name: str | None, source: str, amount: str) -> None:
    """Give more to an account of yours: ACCOUNT, or that which pays for uses."""
    fields = {"account": name, "from": _source(source), "amount": _yocto(amount)}
    with working("asking the network"):
        answer = ask(options, "chain.account.fund", **fields)
    show(options, answer, _say_funded)


@command(account, name="rotate", short_help="Another spending account, with a new key.")
@click.option("--amount", metavar="NEAR", help="How much it is given of what the one before has (default: all).")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rotate(options: Options, amount: str | None, yes: bool) -> None:
    """Make another spending account with a new key, and send there what the one before has.

    From an account that also publishes and is paid only --amount is taken.
    """
    fields = {"amount": _yocto(amount)}
    question = "" if yes else _ask_rotation(_planned(options, "chain.account.rotate.plan", fields))
    confirm(options, question, yes)
    with working("asking the network"):
        answer = ask(options, "chain.account.rotate", **fields)
    show(options, answer, _say_rotated)


@command(account, name="sweep", short_help="Empty an account that was replaced.")
@click.argument("name", metavar="ACCOUNT")
@click.option("--yes", is_flag=True, help="Do not ask.")
def sweep(options: Options, name: str, yes: bool) -> None:
    """Send what ACCOUNT has, which was replaced on this device, to the one that pays now.

    Nothing stays there for the gas of a rating: rate before what it has paid for.
    """
    question = "" if yes else _ask_sweep(_planned(options, "chain.account.sweep.plan", {"account": name}))
    confirm(options, question, yes)
    with working("asking the network"):
        answer = ask(options, "chain.account.sweep", account=name)
    show(options, answer, _say_swept)


def _planned(options: Options, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    with working("asking the network"):
        return ask(options, kind, **fields)


def _ask_rotation(plan: Mapping[str, Any]) -> str:
    if not int(plan["moved"]):
        return "Make a new spending account, with nothing in it?"
    return f"Make a new spending account, and send {_near(plan['moved'])} there from {plan['before']}?"


def _ask_sweep(plan: Mapping[str, Any]) -> str:
    what = f"Send {_near(plan['moved'])} from {plan['account']} to {plan['to']}"
    return f"{what}, though {_unrated(plan)} be rated with it?" if plan["unrated"] else f"{what}?"


def _unrated(answer: Mapping[str, Any]) -> str:
    return f"{plural(answer['unrated'], 'use')} can still"


# --- what people type --------------------------------------------------------------------------------------------------------


def _source(text: str | None) -> str | None:
    return os.path.abspath(text) if text is not None and text.endswith(".json") else text


def _yocto(text: str | None) -> str | None:
    from mycelnode.chain.amounts import parse_near

    return None if text is None else str(parse_near(text))


# --- for people --------------------------------------------------------------------------------------------------------------


def _near(yocto: str) -> str:
    from mycelnode.chain.amounts import format_near

    return format_near(int(yocto))


def _say_account(answer: Mapping[str, Any]) -> None:
    print(f"network  {answer['network']}")
    print(f"account  {answer['account'] or 'none yet: `mycelnode chain account create NAME`, or `import FILE`'}")
    print(f"spender  {answer['spender'] or 'none yet: `mycelnode chain account create`'}")
    for key in answer["keys"]:
        print(f"key      {key['account']}: {key['problem'] or key['key']}")
    for one in answer["former"]:
        print(f"before   {one['account']}: {_say_former(one)}")


def _say_former(one: Mapping[str, Any]) -> str:
    """What an account has that was replaced, and how to get it."""
    if one["balance"] is None:
        said = "what it has is not known, as no server answers"
    else:
        waits = f", and {_near(one['claimable'])} wait for `mycelnode chain claim`" if int(one["claimable"]) else ""
        said = f"was replaced, and has {_near(one['balance'])}{waits}"
    rated = f", and with it {_unrated(one)} be rated" if one["unrated"] else ""
    return f"{said}{rated}; {one['problem'] or '`mycelnode chain account sweep` moves it to the one that pays now'}"


def _say_made(answer: Mapping[str, Any]) -> None:
    print(answer["account"])
    click.echo(
        f"its key: {answer['file']}; whoever has that file has the money, so keep a copy, and little in the account",
        err=True,
    )


def _say_created(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    _say_made(answer)
    if answer["existed"]:
        how = f"; `mycelnode chain account fund {answer['account']}` gives it more" if asked["from"] else ""
        click.echo(f"it was there already, and was given nothing{how}", err=True)
    elif not int(answer["given"]) and not asked["name"]:
        click.echo(NOTHING, err=True)


def _say_taken(answer: Mapping[str, Any]) -> None:
    _say_made(answer)
    if answer["kept"]:
        change = f"`mycelnode config set near.account {answer['account']}` changes it"
        click.echo(f"near.account stays {answer['kept']}; {change}", err=True)


def _say_funded(answer: Mapping[str, Any]) -> None:
    print(f"{_near(answer['amount'])} came from {answer['from']} to {answer['account']}")


def _say_rotated(answer: Mapping[str, Any]) -> None:
    _say_made(answer)
    if int(answer["moved"]):
        click.echo(f"{_near(answer['moved'])} came from {answer['before']}", err=True)
    else:
        click.echo(NOTHING, err=True)


def _say_swept(answer: Mapping[str, Any]) -> None:
    if int(answer["moved"]):
        print(f"{_near(answer['moved'])} came from {answer['account']} to {answer['to']}")
    else:
        print(f"{answer['account']} has nothing that could be moved")
