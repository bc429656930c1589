"""One of several processes that decide on windows as fast as they can, on one database: to be killed at any moment.

``python -m tests.crash.spender DATABASE ROOT SEED DRAWS``: ROOT and SEED are the seeds of the mesh's root key and of the device, in
hex; what is sampled is written down in the file DRAWS, and synced, before it is stored. Every window of 60 years is over.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import sys
from pathlib import Path

from mycelnode import schema
from mycelnode.encoding import blake2b
from mycelnode.errors import BudgetSpent
from mycelnode.identity import Identity, RootKey, verify
from mycelnode.privacy import budget, partstore, released
from mycelnode.privacy.accounting import CHOICES
from mycelnode.privacy.release import decide
from mycelnode.protocols.release_records import CHOICES as NAMES
from mycelnode.protocols.release_records import Spend
from mycelnode.protocols.release_window import Window

FIRST, WINDOWS = 224, 240  # quarters: 2026 and the years after it
NOW = Window(FIRST + WINDOWS).closes
COUNTS = {bytes((number,)): days for number, days in enumerate((1, 8, 14, 17, 30, 60))}


def transaction(connection: object, work: object) -> object:
    """As the writer thread of a node does it."""
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")  # type: ignore[attr-defined]
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):  # SQLite is not fair to those who wait
                raise
    try:
        done = work(connection)  # type: ignore[operator]
        connection.execute("COMMIT")  # type: ignore[attr-defined]
    except BaseException:
        connection.execute("ROLLBACK")  # type: ignore[attr-defined]
        raise
    return done


def main(database: str, root_seed: str, seed: str, draws: str) -> None:
    root, me = RootKey(bytes.fromhex(root_seed)), Identity(bytes.fromhex(seed))
    connection = schema.open_writer(Path(database), schema.shipped_migrations())
    note = os.open(draws, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    print("ready", flush=True)
    choice = CHOICES[NAMES[1]]
    for quarter in range(FIRST, FIRST + WINDOWS):
        window, nonce = Window(quarter), secrets.token_bytes(16)
        spend = Spend(me.device, window, NAMES[1], bytes(32), blake2b(nonce), nonce).signed(root.public, me.sign)

        def reserve(connection: object, spend: Spend = spend) -> None:
            budget.reserve(connection, [spend], root.public, verify, NOW)  # type: ignore[arg-type]

        try:
            transaction(connection, reserve)
        except BudgetSpent:
            continue
        outputs = decide(COUNTS, choice)
        line = {"window": window.id, "nonce": nonce.hex(), "outputs": {key.hex(): n for key, n in outputs.items()}}
        os.write(note, json.dumps(line).encode() + b"\n")
        os.fsync(note)

        def store(connection: object, spend: Spend = spend, outputs: dict[bytes, int] = outputs) -> None:
            found = released.store(connection, spend.window.id, NAMES[1], spend.version, outputs, NOW)  # type: ignore[arg-type]
            budget.note_decision(connection, spend, found, secrets.token_bytes(16), NOW)  # type: ignore[arg-type]
            partstore.drawn(connection, spend.window.start, NOW)  # type: ignore[arg-type]

        transaction(connection, store)
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
