"""What another package adds through entry points: commands at the top and below groups, and services of the node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mycelnode.extensions import found_below
from tests.node.nodes import ask, founder

PACKAGE = """
from contextlib import asynccontextmanager
import click

@click.command(short_help="Say hello.")
def hello():
    print("hello")

class Echo:
    state = ("ok", "listens")

    def __init__(self, node):
        self.commands = {"say": self.say}
        self.name = node.name

    async def say(self, request):
        return {"said": request["text"], "by": self.name}

@asynccontextmanager
async def echo(node):
    print("opened")
    yield Echo(node)
    print("closed")

@asynccontextmanager
async def broken(node):
    raise ValueError("no room")
    yield
"""
POINTS = """
[mycelnode.commands]
hello = guest_package:hello
run = guest_package:hello
tools.hello = guest_package:hello
tools.deep.er = guest_package:hello
devices.greet = guest_package:hello
devices.list = guest_package:hello

[mycelnode.services]
echo = guest_package:echo
broken = guest_package:broken
"""


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """A folder with the installed package, for `sys.path`."""
    site = tmp_path / "site"
    info = site / "guest_package-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "guest_package.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    return site


@pytest.fixture
def program(guest: Path) -> Callable[..., str]:
    """``program("tools", "hello")``: what the command line prints with the package installed."""

    def run(*arguments: str) -> str:
        path = os.pathsep.join((str(guest), *filter(None, sys.path)))
        command = [sys.executable, "-m", "mycelnode", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=50, check=True, env={**os.environ, "PYTHONPATH": path}
        )
        return done.stdout

    return run


def test_commands_are_listed_and_run_at_the_top_and_below_groups(program: Callable[..., str]) -> None:
    listed = " ".join(program("--help").split())
    assert "hello Of the package guest_package." in listed
    assert "tools Commands of the package guest_package." in listed
    assert program("hello") == program("tools", "hello") == program("tools", "deep", "er") == "hello\n"
    assert program("devices", "greet") == "hello\n"
    assert "greet" in program("devices", "--help")


def test_nothing_takes_the_place_of_a_command_of_ours(program: Callable[..., str]) -> None:
    assert "Run this device until Ctrl-C" in program("run", "--help")
    assert "All devices that were ever let in" in program("devices", "list", "--help")


def test_a_service_is_open_while_the_node_is(
    guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(guest))

    async def main() -> None:
        async with founder(tmp_path) as laptop:
            services = laptop.status()["services"]
            assert services["echo"] == {"state": "ok", "detail": "listens"}
            assert services["broken"] == {"state": "failed", "detail": "no room"}
            assert await ask(laptop, "echo.say", text="hi") == {"said": "hi", "by": "laptop"}
            assert capsys.readouterr().out == "opened\n"

    trio.run(main)
    assert capsys.readouterr().out == "closed\n"


def test_without_other_packages_there_are_the_demo_and_the_local_chain() -> None:
    assert list(found_below("")) == ["chain", "demo"]
    assert list(found_below("chain")) == ["devchain"]
