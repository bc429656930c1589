"""`mycelnode backup`: encrypted files with what the mesh knows, and no key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mycelnode.cli._common import (
    PASSPHRASE,
    Options,
    command,
    group,
    local_time,
    megabytes,
    plural,
    read_secret,
    show,
    table,
    working,
)

if TYPE_CHECKING:
    from mycelnode.backup import Backup


@group(name="backup", short_help="Encrypted files with what the mesh knows.")
def backup(options: Options) -> None:
    """Encrypted files with what the mesh knows. A backup holds no key: it brings data back, never an identity.

    The passphrase comes from MYCEL_BACKUP_PASSPHRASE, the terminal, or standard input.
    """


@command(backup, name="create")
@click.option(
    "--output",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="A new file, or a folder (default: `backups` in the data folder).",
)
def create(options: Options, output: Path | None) -> None:
    """Write a backup; the node may be running."""
    from mycelnode import backup as backups
    from mycelnode import clock

    passphrase = read_secret("Passphrase for the backup", PASSPHRASE, twice=True)
    with working("writing the backup"):
        made = backups.create(options.data, passphrase, output, clock=clock.system())
    show(options, _as_json(made), partial(_say_created, in_folder=output is None))


@command(backup, name="list")
def list_(options: Options) -> None:
    """The backups in the data folder."""
    from mycelnode.backup import list_backups

    show(options, {"backups": [_as_json(made) for made in list_backups(options.data)]}, _say_list)


@command(backup, name="restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="How this device is to be called (default: the machine's name).")
def restore(options: Options, file: Path, name: str | None) -> None:
    """Put a backup back into an empty folder. The device then joins with an invite, or recovers with the phrase."""
    from mycelnode import backup as backups
    from mycelnode import clock
    from mycelnode.commands import rfc3339

    passphrase = read_secret("Passphrase of the backup", PASSPHRASE)
    with working("putting the backup back"):
        made = backups.restore(options.data, file, passphrase, name, clock=clock.system())
    answer = {
        "mesh": made.mesh,
        "device": made.device,
        "name": made.name,
        "entries": made.entries,
        "created": rfc3339(made.created),
        "patterns": made.patterns,
        "config_aside": None if made.config_aside is None else str(made.config_aside),
        "spender": made.spender or None,
    }
    show(options, answer, partial(_say_restored, options))


def _as_json(made: Backup) -> dict[str, Any]:
    from mycelnode.commands import rfc3339

    said = {"file": str(made.file), "bytes": made.size, "mesh": made.mesh, "created": rfc3339(made.created)}
    return {**said, "left_out": [str(cid) for cid in made.left_out]} if made.left_out else said


def _say_created(answer: Mapping[str, Any], in_folder: bool) -> None:
    print(f"{answer['file']} ({megabytes(answer['bytes'])})")
    if answer.get("left_out"):
        print(f"Not in it, as their blocks are missing here or damaged: {', '.join(answer['left_out'])}")
    if in_folder:
        print(
            "It lies on the same disk as the data: copy it to another one. Without its passphrase nobody can read it."
        )


def _say_list(answer: Mapping[str, Any]) -> None:
    rows = [(local_time(b["created"]), megabytes(b["bytes"]), b["mesh"], b["file"]) for b in answer["backups"]]
    table(rows, ("MADE", "SIZE", "MESH", "FILE"))


def _say_restored(options: Options, answer: Mapping[str, Any]) -> None:
    print(
        f"{plural(answer['entries'], 'entry')} of the mesh {answer['mesh']} are back, as of {local_time(answer['created'])}."
    )
    if answer["patterns"]:
        print(f"{plural(answer['patterns'], 'pattern')} came with them.")
    if answer["config_aside"]:
        print(f"The settings that lay here are in {answer['config_aside']} now.")
    if answer["spender"]:
        print(said_of_spender(answer["spender"]))
    print(
        "Private turns are in no backup, nor what was released and is not public yet; what was decided since is not known here."
    )
    print("This device has a new key and is no member yet.")
    print(f"now: {options.program('join')} INVITE, with an invite from another device;")
    print(f"  or, when there is no other: {options.program('recover')}, with the recovery phrase")


def said_of_spender(account: str) -> str:
    """That another account has to pay here than the one that did where the backup was made."""
    return (
        f"{account} paid for uses there and does not here, as its key is in no backup: `mycelnode chain account create` makes"
        " another one; if that device is gone, and you have its key file, `chain account import FILE --spender` takes it in."
    )
