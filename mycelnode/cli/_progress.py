"""Requests that may take long, with a bar on the terminal meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mycelnode.cli._common import ERASE_LINE, Options, ask_offline, megabytes
from mycelnode.errors import NodeNotRunning

BAR_CHARS = 30


def ask_with_progress(options: Options, kind: str, /, **fields: Any) -> dict[str, Any]:
    """As `ask`; what the node says of its progress is shown where somebody looks."""
    from mycelnode.control import ControlClient

    try:
        client = ControlClient(options.data)
    except NodeNotRunning:
        return ask_offline(options, kind, fields)
    watched = sys.stderr.isatty()
    answer: dict[str, Any] = {}
    with client:
        try:
            for answer in client.stream(kind, **fields):
                if answer["type"] == "event" and watched:
                    print(f"{ERASE_LINE}{_bar(answer)}", end="", file=sys.stderr, flush=True)
        finally:
            if watched:
                print(ERASE_LINE, end="", file=sys.stderr, flush=True)
    return {key: value for key, value in answer.items() if key != "type"}


def _bar(event: Mapping[str, Any]) -> str:
    """One line: what is waited for; or what is fetched, how much of it is here, and of how much, as far as that is known yet."""
    if event["event"] == "waiting":
        return f"{event['said']}…"
    done, total = event["bytes"], event["total"]
    if not done:
        return "asking who has it…"
    if not total:
        return f"fetching: {megabytes(done)}"
    filled = min(BAR_CHARS, BAR_CHARS * done // total)
    return f"fetching: [{'#' * filled}{'.' * (BAR_CHARS - filled)}] {megabytes(done)} of {megabytes(total)}"
