"""`mycelnode chain`: accounts, balances, limits, and what was or is to be paid on NEAR."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from typing import Any

import click

from mycelnode.cli._common import Options, ask, command, group, local_time, plural, show, table, working
from mycelnode.cli.chain_account import account
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


chain.add_command(account)
chain.add_command(deploy)


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
