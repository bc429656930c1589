"""What `sync` says of an answer of the node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from mycelnode.cli import status
from mycelnode.errors import NotAMember, NotInStep

DEVICES = [
    {"device": "1" * 44 + "AAAAAAAA", "name": "owl"},
    {"device": "1" * 44 + "BBBBBBBB", "name": "owl"},
    {"device": "1" * 44 + "CCCCCCCC", "name": "bee"},
]
OWL, OTHER_OWL, BEE = (device["device"] for device in DEVICES)


class Node:
    """Answers as the control socket does."""

    def __init__(self, answer: dict[str, Any], member: bool) -> None:
        self.answers = {"sync": answer, "status": {"member": member, "devices": DEVICES}}

    def call(self, kind: str, **_: Any) -> Any:
        return self.answers[kind]


def sync(monkeypatch: pytest.MonkeyPatch, member: bool = True, **answer: list[str]) -> tuple[str, BaseException | None]:
    """(standard output, what it raised)."""

    @contextmanager
    def client(_: object) -> Iterator[Node]:
        yield Node({"synced": [], "unreachable": [], **answer}, member)

    monkeypatch.setattr(status, "node_client", client)
    done = CliRunner().invoke(status.sync, [])
    return done.stdout, None if done.exit_code == 0 else done.exception


def test_devices_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sync(monkeypatch, synced=[OWL, BEE]) == ("in step with AAAAAAAA, bee\n", None)
    assert sync(monkeypatch) == ("this is the only device of the mesh\n", None)


def test_out_of_reach_is_told_from_not_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    out, error = sync(monkeypatch, synced=[BEE], unreachable=[OWL], behind=[OTHER_OWL])
    assert out == "in step with bee\n"
    assert isinstance(error, NotInStep)
    assert str(error).startswith(
        "not in step with AAAAAAAA (out of reach) and BBBBBBBB (not in time); `mycelnode status"
    )
    assert isinstance(sync(monkeypatch, behind=[BEE])[1], NotInStep)


def test_a_device_that_is_out_is_in_step_with_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    out, error = sync(monkeypatch, member=False)
    assert out == ""
    assert isinstance(error, NotAMember)
