"""The command line is light: what only talks to a running node must not wait for libp2p, trio or crypto to be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import SECONDS, environment

HEAVY = ("libp2p", "numpy", "trio", "nacl", "multiaddr", "torch", "bittensor", "sqlite3", "wasmtime", "keyring")
WATCH = f"""
import contextlib, io, sys
from mycelnode.cli import main
for line in sys.stdin:
    sys.argv = ["mycelnode", *line.split()]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            main()
    for name in {HEAVY}:
        if name in sys.modules:
            sys.exit(f"{{line.strip()!r}} imports {{name}}")
"""


def first_heavy(*commands: str) -> str:
    """The first of these commands, run one after the other, that imports something heavy; empty if none does."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment(),
        check=False,
    )
    return done.stderr


def test_help_imports_nothing_heavy() -> None:
    groups = ("init run invite join status sync recover leave completion", "devices config audit backup interactions")
    assert first_heavy("--help", "--version", *(f"{name} --help" for name in " ".join(groups).split())) == ""


def test_a_command_for_the_node_imports_nothing_heavy_before_it_asks(tmp_path: Path) -> None:
    commands = (
        "status",
        "sync",
        "invite",
        "devices list",
        "devices revoke x",
        "audit verify",
        "config list --local",
        "interactions list",
    )
    assert first_heavy(*(f"{command} --data-dir {tmp_path / 'none'}" for command in commands)) == ""


def test_the_watch_sees_what_is_imported(tmp_path: Path) -> None:
    assert "imports trio" in first_heavy(f"init --data-dir {tmp_path / 'new'}")
