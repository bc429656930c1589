"""`mycelnode status` and `mycelnode sync`: how this device and the others stand."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from mycelnode.cli._common import (
    SHORT_CHARS,
    Options,
    ask,
    command,
    local_time,
    megabytes,
    node_client,
    plural,
    short,
    show,
    table,
    working,
)
from mycelnode.errors import NotAMember, NotInStep

MAX_WAIT_SECONDS = 24 * 3600.0
DEFAULT_WAIT_SECONDS = 30.0


@command(name="status")
def status(options: Options) -> None:
    """This device, the others, and what is wrong."""
    show(options, ask(options, "status"), _say_status)


def _refuse_nan(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):  # which is in every range, as far as comparing tells
        raise click.BadParameter("'nan' is no number of seconds", param_hint="--wait")
    return value


@command(name="sync")
@click.option(
    "--wait",
    type=click.FloatRange(0, MAX_WAIT_SECONDS),
    callback=_refuse_nan,
    default=DEFAULT_WAIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to try.",
)
def sync(options: Options, wait: float) -> None:
    """Wait until in step with every device. Exit status 1 if one could not be reached, or was not in step in time."""
    with node_client(options) as client:
        with working("getting in step with the other devices"):
            answer = client.call("sync", wait=wait)
        known = client.call("status")
    missed = {"out of reach": answer["unreachable"], "not in time": answer.get("behind", [])}
    alone = known["member"] and not any(missed.values())
    show(options, answer, lambda found: _say_synced(found, known["devices"], alone))
    if not known["member"]:
        raise NotAMember(
            f"this device is out of the mesh, and in step with nobody; `{options.program('status')}` says why"
        )
    if any(missed.values()):
        named = (f"{_references(peers, known['devices'])} ({why})" for why, peers in missed.items() if peers)
        raise NotInStep(f"not in step with {' and '.join(named)}; `{options.program('status')}` says what was tried")


def _say_synced(answer: Mapping[str, Any], devices: Sequence[Mapping[str, Any]], alone: bool) -> None:
    if answer["synced"]:
        print(f"in step with {_references(answer['synced'], devices)}")
    elif alone:
        print("this is the only device of the mesh")


def _references(peers: Sequence[str], devices: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(_reference(peer, devices) for peer in peers)


# --- status for people ---------------------------------------------------------------------------------------------------


def _blocks(known: Mapping[str, int]) -> str:
    return f"{megabytes(known['bytes'])} of patterns (at most {megabytes(known['quota'])})"


def _say_status(answer: Mapping[str, Any]) -> None:
    running = "running" if answer["running"] else "no node is running"
    print(f"{answer['name']} ({answer['device']})")
    print(f"mesh {answer['mesh']}, {running}, {megabytes(answer['disk'])} on disk, and {_blocks(answer['blocks'])}")
    for address in answer["addrs"]:
        print(f"  listening on {address}/p2p/{answer['device']}")
    if answer.get("swarm"):
        swarm = answer["swarm"]
        print(f"in the collective as {swarm['peer']}, with {plural(swarm['peers'], 'peer')} connected")
        for address in swarm["addrs"]:
            print(f"  listening on {address}/p2p/{swarm['peer']}")
    print()
    table([_row(device) for device in answer["devices"]], ("NAME", "STATE", "HEAD", "LAG", "LAST SEEN", "DEVICE"))
    _say_services(answer["services"])
    for line in [*_warnings(answer), *_unreachable(answer)]:
        print(line)


def _row(device: Mapping[str, Any]) -> tuple[str, ...]:
    if device["revoked"]:
        state = "revoked"
    elif device["this"]:
        state = "this"
    else:
        state = "connected" if device["connected"] else "away"
    lag = "-" if device["lag"] is None else str(device["lag"])
    return device["name"], state, str(device["head"]), lag, local_time(device["last_seen"]), short(device["device"])


def _say_services(services: Mapping[str, Mapping[str, str]]) -> None:
    print()
    for name, service in services.items():
        print(f"{name}: {service['state']}" + (f" ({service['detail']})" if service.get("detail") else ""))


def _reference(device: str, devices: Sequence[Mapping[str, Any]]) -> str:
    """How to name a device on a command line: by its name, or where that is not its alone, by the end of its peer id."""
    names = {known["device"]: known["name"] for known in devices}
    name = names.get(device)
    alone = name is not None and list(names.values()).count(name) == 1
    return shlex.quote(name) if name is not None and alone else device[-SHORT_CHARS:]


def _warnings(answer: Mapping[str, Any]) -> list[str]:
    this = next((device for device in answer["devices"] if device["this"]), None)
    lines = []
    if answer["cloned"]:
        lines.append(
            "this device was cloned: another copy of its key wrote too. `mycelnode join INVITE` gives it a new key"
        )
    elif this is None:
        lines.append(
            "this device is not enrolled yet: `mycelnode join INVITE` or `mycelnode recover` makes it a member"
        )
    elif this["revoked"]:
        lines.append(
            "this device was revoked: it keeps its data and writes no more. `mycelnode join INVITE` brings it back"
        )
    elif not answer["member"]:
        lines.append("this device is no member: who let it in was put out too. `mycelnode join INVITE` brings it back")
    if answer["clock_wrong"]:
        lines.append("the clock of this device is more than a day off: set it")
    for held in answer["held"]:
        name = _reference(held["device"], answer["devices"])
        if this is not None and held["device"] == this["device"]:
            lines.append(
                f"this device wrote with a clock far ahead, from entry {held['seq']} on: if it is right now, `mycelnode join"
                f" INVITE` or `mycelnode recover` gives it a new key, and then `mycelnode devices rescue"
                f" {held['device'][-SHORT_CHARS:]}` brings its changes back"
            )
            continue
        lines.append(
            f"{name} wrote with a clock far ahead: from entry {held['seq']} on its log waits until {local_time(held['until'])},"
            f" or for `mycelnode devices rescue {name}`"
        )
    for fenced in answer["fenced"]:
        name = _reference(fenced["device"], answer["devices"])
        reason = f" ({fenced['reason']})" if fenced["reason"] else ""
        lines.append(
            f"not counted of {name}: {plural(fenced['beyond'], 'entry')} after entry {fenced['at']}{reason};"
            f" `mycelnode devices rescue {name}` shows what"
        )
    lines += _history_lines(answer)
    return [f"! {line}" for line in lines]


def _history_lines(answer: Mapping[str, Any]) -> list[str]:
    """Who holds the clean-up of history back, and what may help."""
    connected = {device["device"] for device in answer["devices"] if device["connected"]}
    history = f"{megabytes(answer['history']['bytes'])} of history stay on every device until"
    lines = []
    for device in answer["history"]["waits_for"]:
        name = _reference(device, answer["devices"])
        back = "has agreed to a snapshot; if it does not, though it is connected" if device in connected else "is back"
        lines.append(
            f"{history} {name} {back}: `mycelnode devices away {name}` (with the recovery phrase) lets the others go on,"
            f" `mycelnode devices revoke {name}` puts it out"
        )
    if answer["history"]["unsettled"]:
        names = [_reference(device, answer["devices"]) for device in answer["history"]["unsettled"]]
        lines.append(
            f"{history} the recovery phrase has put out {', '.join(names)}, too, whom devices put out that were out themselves:"
            f" `mycelnode recover {' '.join(f'--revoke {name}' for name in names)}`"
        )
    for device in answer["history"]["disputed"]:
        name = _reference(device, answer["devices"])
        lines.append(
            f"{name} offers a snapshot that is not what this device's logs say; if {name} was not damaged, it is not honest:"
            f" `mycelnode devices revoke {name}`"
        )
    for missing in answer["history"]["missing"]:
        name = _reference(missing["device"], answer["devices"])
        lines.append(
            f"entries of {name} after number {missing['after']} are missing here: the recovery phrase undid the snapshot that stood"
            " for them; they come as soon as this device meets one that still has them"
        )
    return sorted(lines)


def _unreachable(answer: Mapping[str, Any]) -> list[str]:
    """What was tried for each device that is away, and what may help."""
    lines = []
    for device in answer["devices"]:
        finding = device.get("finding")
        if not finding or device["revoked"]:
            continue
        lines.append(f"{device['name']} is away")
        lines += [f"    tried {address or 'it'}: {outcome}" for address, outcome in finding["tried"].items()]
        if finding.get("hint"):
            lines.append(f"    {finding['hint']}")
    return lines
