"""`mycelnode audit`: the record of who was let in and put out, of rescues and of returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mycelnode.cli._common import Options, ask, command, group, local_time, plural, show, table, working
from mycelnode.errors import AuditBroken

MAX_TAIL = 1000  # events shown at once


@group(name="audit", short_help="Who came and went, in a chain of hashes.")
def audit(options: Options) -> None:
    """The record of who was let in and put out, of rescues and of returns; each event holds the hash of the one before."""


@command(audit, name="verify")
def verify(options: Options) -> None:
    """Check that no event of the record was changed, removed or put in. Exit status 1 if one was."""
    with working("checking the record"):
        answer = ask(options, "audit.verify")
    show(options, answer, _say_report)
    if not answer["ok"]:
        raise AuditBroken(f"the audit record does not verify: {answer['reason']}")


@command(audit, name="tail")
@click.option("-n", "--count", type=click.IntRange(1, MAX_TAIL), default=20, show_default=True, help="How many events.")
def tail(options: Options, count: int) -> None:
    """Show the last events."""
    show(options, ask(options, "audit.tail", count=count), _say_events)


def _say_report(answer: Mapping[str, Any]) -> None:
    if answer["ok"]:
        print(f"ok: {plural(answer['events'], 'event')}, head {answer['head'][:16]}")


def _say_events(answer: Mapping[str, Any]) -> None:
    rows = [
        (str(e["seq"]), local_time(e["time"]), e["kind"], " ".join(f"{k}={v}" for k, v in e["fields"].items()))
        for e in answer["events"]
    ]
    table(rows, ("#", "TIME", "WHAT", "DETAILS"))
