"""`mycelnode devices`: the devices of the mesh; rename them, put one out, rescue what one wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import click

from mycelnode.cli import _complete
from mycelnode.cli._common import (
    Options,
    ask,
    command,
    confirm,
    group,
    local_time,
    parse_since,
    plural,
    read_phrase,
    short,
    show,
    table,
)

SHOWN_OPERATIONS = 200  # of a rescue; more would scroll what matters away


@group(name="devices", short_help="List, rename, put out or rescue devices.", invoke_without_command=True)
def devices(options: Options) -> None:
    """The devices of the mesh. A DEVICE is meant by its name, its peer id, or the end of that."""
    if click.get_current_context().invoked_subcommand is None:
        _list(options)


@command(devices, name="list")
def list_(options: Options) -> None:
    """All devices that were ever let in, and by whom."""
    _list(options)


def _list(options: Options) -> None:
    show(options, ask(options, "devices.list"), lambda answer: _say_devices(answer["devices"]))


@command(devices, name="rename")
@click.argument("device", shell_complete=_complete.devices)
@click.argument("name")
def rename(options: Options, device: str, name: str) -> None:
    """Give a device another name, everywhere."""
    answer = ask(options, "devices.rename", device=device, name=name)
    show(options, answer, lambda found: print(f"{short(found['device'])} is now called {found['name']}"))


@command(devices, name="revoke")
@click.argument("device", shell_complete=_complete.devices)
@click.option(
    "--with-enrolled", is_flag=True, help="Also put out the devices that it let in, and those let in by these."
)
@click.option(
    "--since",
    metavar="TIME",
    help="What it wrote from then on counts no more: 2026-05-01, '2026-05-01 14:30', or 2h ago.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(options: Options, device: str, with_enrolled: bool, since: str | None, yes: bool) -> None:
    """Put a device out of the mesh, for ever: lost, stolen or given away. Its key is never let in again."""
    wanted: dict[str, Any] = {"device": device, "with_enrolled": with_enrolled}
    if since is not None:
        wanted["since_ms"] = parse_since(since, datetime.now().astimezone())
    if not yes:
        preview = ask(options, "devices.revoke", preview=True, **wanted)
        explain = partial(_say_preview, preview, with_enrolled)
        confirm(options, f"Put {preview['name']} out for ever?", yes, explain)
    show(options, ask(options, "devices.revoke", **wanted), _say_revoked)


@command(devices, name="rescue")
@click.argument("device", shell_complete=_complete.devices)
@click.option("--yes", is_flag=True, help="Do not ask.")
def rescue(options: Options, device: str, yes: bool) -> None:
    """Take over what a revoked, cloned or wrongly clocked device wrote and what does not count, after showing it."""
    if not yes:
        preview = ask(options, "devices.rescue", device=device, preview=True)
        if not preview["entries"]:
            show(options, preview, _say_rescued)
            return
        explain = partial(_say_operations, preview)
        confirm(options, "Write these changes anew, in the log of this device?", yes, explain)
    show(options, ask(options, "devices.rescue", device=device), _say_rescued)


@command(devices, name="away")
@click.argument("device", shell_complete=_complete.devices)
def away(options: Options, device: str) -> None:
    """Go on without a device that stays away: the others need not keep history for it. Asks for the recovery phrase.

    It stays a member, and gets what it missed when it comes back.
    """
    from mycelnode.beginning import root_statement
    from mycelnode.crdt.statements import AWAY
    from mycelnode.encoding import key_of_peer
    from mycelnode.errors import PhraseError
    from mycelnode.identity import mesh_id, root_from_phrase

    meant = ask(options, "devices.away", device=device)
    root = root_from_phrase(read_phrase(one_line=False))
    if mesh_id(root.public) != meant["mesh"]:
        raise PhraseError("this recovery phrase belongs to another mesh than the one in this folder")
    said = root_statement(root, AWAY, key_of_peer(meant["device"]), None, "away")
    answer = ask(options, "devices.away", device=meant["device"], statement=said.encoded.hex())
    show(options, answer, lambda found: print(f"history is not kept for {found['name']} any more"))


# --- for people --------------------------------------------------------------------------------------------------------


def _err(line: str) -> None:
    click.echo(line, err=True)


def _say_devices(found: Sequence[Mapping[str, Any]]) -> None:
    names = {device["device"]: device["name"] for device in found}
    rows = []
    for device in found:
        marks = [word for word in ("this", "forked", "away") if device.get(word)]
        if device["revoked"]:
            marks.append("revoked by " + " and ".join(_who(by, names) for by in device["revoked_by"]))
        rows.append((device["name"], _who(device["enrolled_by"], names), ", ".join(marks) or "-", device["device"]))
    table(rows, ("NAME", "LET IN BY", "STATE", "DEVICE"))


def _who(author: str, names: Mapping[str, str]) -> str:
    return "the phrase" if author == "root" else names.get(author, short(author))


def _say_preview(preview: Mapping[str, Any], with_enrolled: bool) -> None:
    _err(f"{preview['name']} ({preview['device']})")
    _err(f"  {plural(preview['head'], 'entry')} of its log stay, {preview['beyond']:,} later ones count no more")
    if preview["enrolled"]:
        names = ", ".join(f"{device['name']} ({short(device['device'])})" for device in preview["enrolled"])
        _err(f"  it let in: {names}")
        _err("  they go with it" if with_enrolled else "  they stay members; --with-enrolled puts them out too")


def _say_revoked(answer: Mapping[str, Any]) -> None:
    print(
        f"{answer['name']} is out"
        + (f", with {plural(len(answer['revoked']) - 1, 'device')} it let in" if answer["revoked"][1:] else "")
    )
    print("The other devices learn it as they connect. What it knew it still knows: change passwords that it had.")


def _say_operations(answer: Mapping[str, Any]) -> None:
    _err(f"{plural(len(answer['entries']), 'entry')} of {answer['name']} that count for nothing now:")
    left = SHOWN_OPERATIONS
    for entry in answer["entries"]:
        for operation in entry["operations"][:left]:
            _err(f"  {entry['seq']:>6}  {local_time(entry['time'])}  {operation}")
        left -= len(entry["operations"][:left])
    total = sum(len(entry["operations"]) for entry in answer["entries"])
    if total > SHOWN_OPERATIONS:
        _err(f"  and {total - SHOWN_OPERATIONS:,} more; --json shows all")


def _say_rescued(answer: Mapping[str, Any]) -> None:
    if answer["entries"]:
        print(f"{plural(answer['rescued'], 'entry')} of {answer['name']} written anew")
    else:
        print(f"nothing to rescue: all that {answer['name']} wrote counts, as far as this device has it")
