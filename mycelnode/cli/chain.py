"""`mycelnode chain`: accounts, balances, limits, and what was or is to be paid on NEAR."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from mycelnode.cli._common import Options, ask, command, confirm, group, local_time, plural, show, table, working
from mycelnode.cli.chain_deploy import deploy

FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # as wide as they are written in the East, too
RECEIPT = (
    "no",
    "state",
    "time",
    "cid",
    "title",
    "pattern",
    "nth",
    "creator",
    "account",
    "paid",
    "price",
    "fee",
    "gas",
    "transaction",
    "network",
)


@group(name="chain", short_help="NEAR: accounts, payments, contracts.")
def chain(options: Options) -> None:
    """NEAR: accounts, what they may spend, and what was paid. Which network: `mycelnode config set near.network`."""


@group(
    name="account", path="chain.account", short_help="The accounts that publish and pay.", invoke_without_command=True
)
def account(options: Options) -> None:
    """The accounts that publish and pay, and their keys. Without a command: which they are."""
    if click.get_current_context().invoked_subcommand is None:
        show(options, ask(options, "chain.account"), _say_account)


chain.add_command(account)
chain.add_command(deploy)


@command(account, name="create", short_help="Make an account.")
@click.argument("name", required=False)
@click.option(
    "--from", "source", metavar="ACCOUNT|FILE", help="Who makes and funds it: an account of yours, or its key file."
)
@click.option("--amount", metavar="NEAR", help="What it is given to begin with, such as 1.")
def create(options: Options, name: str | None, source: str | None, amount: str | None) -> None:
    """Make an account. With NAME one that publishes and is paid; without, one that pays for uses, of this device alone.

    A named account of testnet comes from its faucet, or from another account of yours: --from.
    """
    fields = {"name": name, "from": _source(source), "amount": _yocto(amount)}
    with working("asking the network"):
        answer = ask(options, "chain.account.create", **fields)
    show(options, answer, _say_made)


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


@command(account, name="rotate", short_help="Another spending account, with a new key.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rotate(options: Options, yes: bool) -> None:
    """Make another spending account with a new key, and send there what the one before has."""
    confirm(options, "Make a new spending account, and move the money there?", yes)
    with working("asking the network"):
        answer = ask(options, "chain.account.rotate")
    show(options, answer, _say_rotated)


@command(chain, name="balance", short_help="What an account has.")
@click.argument("name", metavar="[ACCOUNT]", required=False)
def balance(options: Options, name: str | None) -> None:
    """What an account has at the last final block; without ACCOUNT that which pays for uses."""
    show(options, ask(options, "chain.balance", account=name), _say_balance)


@command(chain, name="policy", short_help="What may be spent, and what of it is left.")
def policy(options: Options) -> None:
    """What may be spent, and what of it is left. `mycelnode config set near.spend_per_day 2` and the like change it."""
    show(options, ask(options, "chain.policy"), _say_policy)


@group(name="outbox", path="chain.outbox", short_help="What waits to be done on chain.", invoke_without_command=True)
@click.option("--all", "everything", is_flag=True, help="Also what has ended.")
def outbox(options: Options, everything: bool) -> None:
    """What waits to be done on chain, or is under way. Without a command: the list."""
    if click.get_current_context().invoked_subcommand is None:
        show(options, ask(options, "chain.outbox", all=everything), _say_outbox)


chain.add_command(outbox)


@command(outbox, name="cancel", short_help="What is not wanted any more.")
@click.argument("number", type=click.IntRange(min=1))
def cancel(options: Options, number: int) -> None:
    """Cancel NUMBER of the list. What may have been sent is burnt, which costs gas; too late for that, it is done all the same."""
    with working("asking the network"):
        answer = ask(options, "chain.outbox.cancel", no=number)
    show(options, answer, lambda found: print(f"{found['no']}: {found['word']}"))


@command(chain, name="receipts", short_help="The uses that were paid for.")
@click.option("--csv", "as_csv", is_flag=True, help="All as a table for other programs; amounts in yoctoNEAR.")
@click.option("--limit", type=click.IntRange(1, 1_000), help="How many at most.")
@click.option(
    "--before", type=click.IntRange(min=1), metavar="NO", help="Only those older than the one with this number."
)
def receipts(options: Options, as_csv: bool, limit: int | None, before: int | None) -> None:
    """The uses that this device has paid for, the newest first, with those of which nobody knows for sure.

    At most 1,000 at once, unless --csv wants all.
    """
    answer = ask(options, "chain.receipts", limit=limit, before=before)
    if not as_csv or options.as_json:
        show(options, answer, _say_receipts)
        return
    writer = csv.DictWriter(sys.stdout, RECEIPT, lineterminator="\n")
    writer.writeheader()
    while True:
        writer.writerows({name: _cell(one[name]) for name in RECEIPT} for one in answer["receipts"])
        if limit is not None or not answer["more"]:
            return
        answer = ask(options, "chain.receipts", before=answer["receipts"][-1]["no"])


@command(chain, name="claim", short_help="Take what could not be paid out to you.")
def claim(options: Options) -> None:
    """Take what the registry holds for your accounts because a payment did not arrive."""
    with working("asking the network"):
        answer = ask(options, "chain.claim")
    show(options, answer, _say_claimed)


# --- what people type --------------------------------------------------------------------------------------------------------


def _source(text: str | None) -> str | None:
    return os.path.abspath(text) if text is not None and text.endswith(".json") else text


def _yocto(text: str | None) -> str | None:
    from mycelnode.chain.amounts import parse_near

    return None if text is None else str(parse_near(text))


# --- for other programs ------------------------------------------------------------------------------------------------------


def _cell(value: Any) -> Any:
    """What is no formula in a spreadsheet, whatever strangers call what they sell."""
    return (
        f"'{value}"
        if isinstance(value, str) and (value.startswith(FORMULA) or value.lstrip().startswith(FORMULA))
        else value
    )


# --- for people --------------------------------------------------------------------------------------------------------------


def _near(yocto: str) -> str:
    from mycelnode.chain.amounts import format_near

    return format_near(int(yocto))


def _say_account(answer: Mapping[str, Any]) -> None:
    print(f"network  {answer['network']}")
    print(f"account  {answer['account'] or 'none yet: `mycelnode chain account create NAME`, or `import FILE`'}")
    print(f"spender  {answer['spender'] or 'none yet: `mycelnode chain account create`'}")
    for key in answer["keys"]:
        print(f"key      {key['problem'] or key['key']}")


def _say_made(answer: Mapping[str, Any]) -> None:
    print(answer["account"])
    click.echo(
        f"its key: {answer['file']}; whoever has that file has the money, so keep a copy, and little in the account",
        err=True,
    )


def _say_taken(answer: Mapping[str, Any]) -> None:
    _say_made(answer)
    if answer["kept"]:
        change = f"`mycelnode config set near.account {answer['account']}` changes it"
        click.echo(f"near.account stays {answer['kept']}; {change}", err=True)


def _say_rotated(answer: Mapping[str, Any]) -> None:
    _say_made(answer)
    if answer["before"]:
        click.echo(f"{_near(answer['moved'])} came from {answer['before']}", err=True)
    else:
        click.echo("it has nothing yet: send it what may be spent", err=True)


def _say_balance(answer: Mapping[str, Any]) -> None:
    print(f"{answer['account']}  {_near(answer['balance'])}")
    if answer["spendable"] != answer["balance"]:
        print(f"to be spent: {_near(answer['spendable'])}; the rest pays for what the account stores")


def _say_policy(answer: Mapping[str, Any]) -> None:
    rows = [
        ("one use of a pattern", answer["per_use"], "near.spend_per_use"),
        ("a day, in all", answer["per_day"], "near.spend_per_day"),
        ("a day, for one creator", answer["per_creator"], "near.spend_per_creator"),
        ("above this you are asked", answer["ask_above"], "near.ask_above"),
    ]
    table([(what, _near(yocto), key) for what, yocto, key in rows], ("AT MOST", "NEAR", "SETTING"))
    print(f"\nspent within a day: {_near(answer['spent'])}; left: {_near(answer['left'])}")
    for creator, yocto in answer["creators"].items():
        print(f"  {creator}: {_near(yocto)}")
    print(f"contracts that may be paid: {', '.join(answer['contracts']) or 'none, as near.registry is not set'}")


def _say_outbox(answer: Mapping[str, Any]) -> None:
    for one in answer["entries"]:
        print(f"{one['no']}  {one['method']}, {_near(one['amount'])} to {one['receiver']}, {local_time(one['added'])}")
        print(f"    {one['word']}")
        if one["state"] == "waiting" and one["said"] and one["said"] not in one["word"]:
            print(f"    {one['said']}")
    if not answer["entries"]:
        print("nothing waits")


def _say_receipts(answer: Mapping[str, Any]) -> None:
    found = answer["receipts"]
    rows = [
        (
            str(one["no"]),
            local_time(one["time"]),
            _near(one["paid"]) if one["state"] == "done" else f"{_near(one['paid'])}?",
            str(one["nth"]),
            one["creator"],
            one["cid"],
            one["title"] or "-",
        )
        for one in found
    ]
    if rows:
        table(rows, ("NO", "PAID", "NEAR", "USE", "TO", "CID", "TITLE"))
    paid = sum(one["state"] == "done" for one in found)
    print(f"{plural(paid, 'use')} paid for")
    if paid < len(found):
        print(f"? of {len(found) - paid}: whether it was paid is not known; `mycelnode chain outbox --all` says more")
    if answer["more"]:
        print(f"there are older ones: --before {found[-1]['no']}")


def _say_claimed(answer: Mapping[str, Any]) -> None:
    for name, yocto in answer["claimed"].items():
        print(f"{name}: {_near(yocto) if int(yocto) else 'nothing waits for it'}")
