"""How a device becomes part of a mesh and leaves it: init, invite, join, recover, leave."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from mycelnode.cli._common import (
    PASSPHRASE,
    Options,
    command,
    confirm,
    local_time,
    node_client,
    parse_since,
    read_phrase,
    read_secret,
    short,
    show,
    working,
)
from mycelnode.cli._streams import OutputLost, output_missing
from mycelnode.cli.backup import said_of_spender

TELL_SECONDS = 10.0  # how long `leave` tries to reach the others, and then to tell them
MAX_TTL_SECONDS = 7 * 86400  # as `mycelnode.node` has it, which is too heavy to import for that
PHRASE_COLUMNS = 4


@command(name="init", short_help="Begin a mesh with this device.")
@click.option("--name", help="How your other devices call this one (default: the machine's name).")
def init(options: Options, name: str | None) -> None:
    """Begin a new mesh with this device, and show its recovery phrase once."""
    import trio

    from mycelnode import clock, joining

    def tell(made: joining.Initialised) -> None:
        try:
            if output_missing():
                raise OSError("standard output is closed")
            show(options, asdict(made), partial(_say_made, options))
        except OSError as error:
            raise OutputLost(
                f"the recovery phrase could not be shown ({error.strerror or error}), so no mesh was begun: run"
                f" `{options.program('init')}` again where its output can be read"
            ) from error

    trio.run(partial(joining.init_mesh, options.data, name, clock=clock.system(), tell=tell))


@command(name="invite", short_help="Let one more device in.")
@click.option(
    "--ttl",
    metavar="TIME",
    help="How long it is good: 90 (seconds), 10m, 2h, 1d (default: the setting mesh.invite_ttl).",
)
def invite(options: Options, ttl: str | None) -> None:
    """Let one more device in: shows the invite to paste there, then who joined. Ctrl-C withdraws it."""
    from mycelnode.errors import InviteError

    seconds = None if ttl is None else _parse_ttl(ttl)
    with node_client(options) as client:
        if seconds is None:
            seconds = client.call("config.get", key="mesh.invite_ttl")["value"]
        if options.as_json:
            show(options, client.call("invite", ttl=seconds), lambda _: None)
            return
        try:
            for answer in client.stream("invite.wait", ttl=seconds):
                if answer["type"] == "event":
                    _say_invite(answer)
                elif answer["joined"] is None:
                    raise InviteError(
                        "the invite has expired and nobody used it; make a new one with `mycelnode invite`"
                    )
                else:
                    print(f"\n{answer['joined']['name']} joined, key {short(answer['joined']['device'])}")
                    print(
                        "Compare: that screen shows the same end of its key. If it is not yours: `mycelnode devices revoke`"
                    )
        except KeyboardInterrupt:
            print("\nwithdrawn", file=sys.stderr)
            raise


def _parse_ttl(text: str) -> float:
    from mycelnode.config_keys import parse_duration
    from mycelnode.errors import ConfigError

    try:
        seconds = parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(str(error), param_hint="--ttl") from None
    if not 1 <= seconds <= MAX_TTL_SECONDS:
        raise click.BadParameter(f"an invite is good for one second to seven days, not {text}", param_hint="--ttl")
    return seconds


@command(name="join", short_help="Join a mesh with an invite.")
@click.argument("invite")
@click.option("--name", help="How your other devices call this one (default: the machine's name).")
def join(options: Options, invite: str, name: str | None) -> None:
    """Make this device a member, with the INVITE that another one shows (-: from standard input)."""
    import trio

    from mycelnode import clock, joining
    from mycelnode.commands import rfc3339
    from mycelnode.encoding import peer_id
    from mycelnode.identity import mesh_id
    from mycelnode.protocols.pairing import parse_invite

    if invite == "-":
        invite = read_secret("Invite")
    parsed = parse_invite(invite)
    if not options.as_json:
        print(
            f"mesh {mesh_id(parsed.root)}, invited by the device with the key {short(peer_id(parsed.inviter))}", end=""
        )
        print(f", until {local_time(rfc3339(parsed.expires * 1000))}", flush=True)
    with working("asking the inviting device"):
        joined = trio.run(partial(joining.join_mesh, options.data, invite, name, clock=clock.system()))
    show(options, asdict(joined), partial(_say_joined, options))


@command(name="recover", short_help="Come back, or put a device out, with the phrase.")
@click.option(
    "--peer", metavar="ADDR", help="Get in step first with a device of the mesh, at this address (…/p2p/<peer id>)."
)
@click.option(
    "--backup",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Put this backup back into the empty folder first.",
)
@click.option(
    "--revoke", multiple=True, metavar="DEVICE", help="Put this device out with the phrase's authority; repeatable."
)
@click.option(
    "--since",
    metavar="TIME",
    help="What those wrote and did from then on counts no more: the moment of a theft. As with `devices revoke`.",
)
@click.option(
    "--blind", is_flag=True, help="Revoke without knowing what the others wrote lately: that falls away with them."
)
@click.option("--name", help="How your other devices call this one (default: the machine's name).")
def recover(
    options: Options,
    peer: str | None,
    file: Path | None,
    revoke: tuple[str, ...],
    since: str | None,
    blind: bool,
    name: str | None,
) -> None:
    """Use the recovery phrase, read from standard input: to come back when all devices are lost, or to put one out."""
    import trio

    from mycelnode import clock, recovering
    from mycelnode.errors import PeerUnreachable
    from mycelnode.identity import root_from_phrase

    if peer is not None:
        try:
            recovering.peer_address(peer)
        except PeerUnreachable as error:
            raise click.BadParameter(str(error), param_hint="--peer") from None
    if since is not None and not revoke:
        raise click.UsageError("--since says from when on a device that --revoke names counts no more")
    since_ms = None if since is None else parse_since(since, datetime.now().astimezone())
    phrase = read_phrase(one_line=file is not None)
    root, spender = root_from_phrase(phrase), ""
    if file is not None:
        from mycelnode import backup

        passphrase = read_secret("Passphrase of the backup", PASSPHRASE)
        if not backup.restored_from(options.data, file):  # by this command, before something else of it was refused
            with working("putting the backup back"):
                restored = backup.restore(options.data, file, passphrase, name, clock=clock.system(), root=root.public)
                spender = restored.spender
    with working("recovering"):
        answer = trio.run(
            partial(
                recovering.recover_mesh,
                options.data,
                phrase,
                clock=clock.system(),
                name=name,
                peer=peer,
                revoke=revoke,
                blind=blind,
                since_ms=since_ms,
            )
        )
    show(options, {**answer, "spender": spender or None}, partial(_say_recovered, options))


@command(name="leave", short_help="Take this device out of its mesh.")
@click.option("--erase", is_flag=True, help="Erase the keys and data of this device, instead of putting them aside.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def leave(options: Options, erase: bool, yes: bool) -> None:
    """Take this device out of its mesh, for ever: its key is never let in again. Stop the node first."""
    import trio

    from mycelnode import clock, leaving
    from mycelnode.control import ControlClient
    from mycelnode.errors import NodeNotRunning, NodeRunning

    options.data.check_begun()
    with suppress(NodeNotRunning), ControlClient(options.data):
        raise NodeRunning("a node is running on this data folder; stop it first, with Ctrl-C where it runs")
    kept = "Its data on this device are erased." if erase else "Its data are put aside in the same folder."
    confirm(options, f"Take this device out of the mesh for ever? {kept}", yes)
    with working("telling the other devices"):
        answer = trio.run(
            partial(leaving.leave_mesh, options.data, clock=clock.system(), erase=erase, wait=TELL_SECONDS)
        )
    show(options, answer, _say_left)


# --- for people ----------------------------------------------------------------------------------------------------------


def phrase_grid(words: Sequence[str]) -> str:
    """The numbered words, column by column."""
    rows = -(-len(words) // PHRASE_COLUMNS)
    cells = [f"{place:>2} {word:<9}" for place, word in enumerate(words, 1)]
    return "\n".join("   " + "  ".join(cells[row::rows]).rstrip() for row in range(rows))


def _say_made(options: Options, made: Mapping[str, Any]) -> None:
    print(f"{made['name']} is the first device of the mesh {made['mesh']}.\n")
    print("Its recovery phrase, column by column:\n")
    print(phrase_grid(made["phrase"].split()))
    print(
        "\nWrite it down on paper, now: it is shown once and stored nowhere. With it you come back when all devices"
        "\nare lost, and put out a stolen one for good. Whoever reads it can do the same."
    )
    print(f"\nnow: {options.program('run')}")


def _say_invite(answer: Mapping[str, Any]) -> None:
    print(f"{answer['name']} ({short(answer['device'])}) invites one device into the mesh {answer['mesh']}.")
    print(f"On the other device, until {local_time(answer['expires'])}:\n")
    print(f"mycelnode join {answer['invite']}\n")
    print("Whoever sees this line first can join: show it to nobody else. Waiting; Ctrl-C withdraws it.", flush=True)


def _say_joined(options: Options, joined: Mapping[str, Any]) -> None:
    print(f"{joined['name']}, key {short(joined['device'])}, was let in by {joined['inviter']}.")
    print(f"now: {options.program('run')}")


def _say_recovered(options: Options, answer: Mapping[str, Any]) -> None:
    print(f"{answer['name']}, key {short(answer['device'])}, is a member of the mesh {answer['mesh']}.")
    for peer in answer["revoked"]:
        print(f"{short(peer)} is out.")
    for device in answer["still_out"]:
        print(
            f"{device['name']} ({short(device['device'])}) is out by the word of a device that you have just put out."
        )
        print("If that was a thief: recover once more, with --since and the time of the theft.")
    if answer["spender"]:
        print(said_of_spender(answer["spender"]))
    if not answer["synced"]:
        print("What the other devices know comes as soon as they and this one run.")
    if answer["decides"] is None:
        print("Who decides releases is not known here: others tell it when they and this device meet.")
        print("If there are none left, `mycelnode budget plan --phrase` lets this one decide.")
    print(f"now: {options.program('run')}")


def _say_left(answer: Mapping[str, Any]) -> None:
    if answer["mesh"] is None:
        print(
            "Nothing was told to a mesh. If this device was a member, put it out from another: `mycelnode devices revoke`."
        )
    elif not answer["others"]:
        print("This device is out. It was the last one of its mesh.")
    elif answer["told"]:
        print(f"This device is out, and {len(answer['told'])} of the others know it already.")
    else:
        print(
            "This device is out, but none of the others could be told: put it out there too, `mycelnode devices revoke`."
        )
    print("Its keys and data are erased." if answer["erased"] else f"Its data lie in {answer['aside']}.")
    if answer["spender"]:
        print(
            f"{answer['spender']} paid for uses from here and may have money left: its key stays where NEAR's tools look for it,"
            " in ~/.near-credentials."
        )
    for folder in answer["kept"]:
        print(f"Put aside before, and still there: {folder}")
