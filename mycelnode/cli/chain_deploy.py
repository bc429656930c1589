"""`mycelnode chain deploy`: the contracts onto a network, and new code into them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from mycelnode.cli._common import Options, ask, command, confirm, local_time, plural, show, table, working

PLANNED = "chain.deploy.plan"


@command(name="deploy", short_help="Put the contracts on a network.")
@click.option("--network", type=click.Choice(["devchain", "testnet", "mainnet"]), required=True, help="Which one.")
@click.option(
    "--from",
    "source",
    metavar="ACCOUNT|FILE",
    help="The account below which the contracts are, and which pays, or its key file, which is then kept in ~/.near-credentials,"
    " too (default: near.account).",
)
@click.option("--owner", metavar="ACCOUNT", help="Who owns the contracts (default: the account below which they are).")
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it costs, and do nothing.")
@click.option("--upgrade", is_flag=True, help="Put new code into contracts that are there.")
@click.option("--lock", is_flag=True, help="In the end, delete every key of the contracts; on mainnet, always.")
@click.option("--real-money", is_flag=True, help="Yes, mainnet.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def deploy(
    options: Options,
    network: str,
    source: str | None,
    owner: str | None,
    dry_run: bool,
    upgrade: bool,
    lock: bool,
    real_money: bool,
    yes: bool,
) -> None:
    """Put the registry and the reputation of patterns on a network: registry.ACCOUNT and reputation.ACCOUNT.

    First comes the plan with what it costs; then you are asked. Interrupted or killed, the same command goes on where it was; done,
    it does nothing. docs/operators.md is the guide.
    """
    path = os.path.abspath(source) if source is not None and source.endswith(".json") else source
    asked = {
        "network": network,
        "from": path,
        "owner": owner,
        "upgrade": upgrade,
        "lock": lock,
        "real_money": real_money,
    }
    with working("looking at what is there"):
        answer = ask(options, PLANNED, **asked)
    if dry_run:
        show(options, {**answer, "dry_run": True}, _say_plan)
        return
    planned = answer["actions"]
    if planned:
        confirm(options, "Do that?", yes, lambda: _say_plan(answer, err=True))
    done = []
    for place in range(len(planned) + 2):  # the last one finds that nothing is left
        with working(
            f"{place + 1}/{len(planned)}: {planned[place]['said']}" if place < len(planned) else "looking again"
        ):
            answer = ask(options, "chain.deploy", **asked, agreed={step["id"]: step["total"] for step in planned})
        action = answer.pop("action")
        if action is None:
            break
        done.append(action)
        if not options.as_json:
            click.echo(f"done: {action['said']}", err=True)
    show(options, {**answer, "actions": done, "dry_run": False}, _say_done)


# --- for people --------------------------------------------------------------------------------------------------------------


def _near(yocto: str | int) -> str:
    from mycelnode.chain.amounts import format_near

    return format_near(int(yocto))


def _say_plan(answer: Mapping[str, Any], *, err: bool = False) -> None:
    """The steps, each with what goes along and what is bought in advance, and what the accounts must have."""
    steps = answer["actions"]
    click.echo(f"on {answer['network']}, owned by {answer['owner']}:", err=err)
    for name, account in answer["contracts"].items():
        there = answer["code"][name]
        now = "not there yet" if there is None else "there already" if there == answer["wasm"][name] else f"now {there}"
        click.echo(f"   {account}  sha256 {answer['wasm'][name]} ({now})", err=err)
    for number, step in enumerate(steps, 1):
        click.echo(f"{number}. {step['said']}", err=err)
        if step["signer"]:
            parts = [("with it", step["amount"]), ("new account", step["account_fee"]), ("gas at most", step["gas"])]
            costs = ", ".join(f"{what} {_near(yocto)}" for what, yocto in parts if int(yocto))
            click.echo(f"   {step['signer']} pays: {costs}", err=err)
    if not steps:
        click.echo(f"nothing is to be done{' yet' if answer['until'] else ''}", err=err)
    for signer, yocto in answer["needed"].items():
        click.echo(f"{signer} needs {_near(yocto)}; of the gas, most comes back", err=err)
    if answer["until"]:
        click.echo(_later(answer), err=err)
    for note in answer["notes"]:
        click.echo(f"note: {note}", err=err)


def _later(answer: Mapping[str, Any]) -> str:
    return f"the new code can be put in from {local_time(answer['until'])} on: run it again then"


def _say_done(answer: Mapping[str, Any]) -> None:
    rows = [(name, account, answer["code"][name] or "-") for name, account in answer["contracts"].items()]
    table(rows, ("CONTRACT", "ACCOUNT", "SHA256 OF ITS CODE, READ FROM THE CHAIN"))
    burnt = sum(int(step["burnt"] or 0) for step in answer["actions"])
    print(f"{plural(len(answer['actions']), 'step')} done; burnt, for gas and new accounts: {_near(burnt)}")
    if answer["until"]:
        print(_later(answer))
    for note in answer["notes"]:
        print(f"note: {note}")
