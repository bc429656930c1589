"""Requests that may take long, with a bar on the terminal meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mycelnode.cli._common import ERASE_LINE, Options, ask_offline, megabytes
from mycelnode.errors import NodeNotRunning

BAR_CHARS = 30


def ask_with_progress(options: Options, kind: str, doing: str = "fetching", /, **fields: Any) -> dict[str, Any]:
    """As `ask`; what is said of the progress is shown where somebody looks. ``doing``: what is done with the bytes."""
    from mycelnode.control import ControlClient

    watched = sys.stderr.isatty()

    def draw(event: Mapping[str, Any]) -> None:
        if watched:
            print(f"{ERASE_LINE}{_bar(event, doing)}", end="", file=sys.stderr, flush=True)

    try:
        try:
            client = ControlClient(options.data)
        except NodeNotRunning:
            return ask_offline(options, kind, fields, draw)
        answer: dict[str, Any] = {}
        with client:
            for answer in client.stream(kind, **fields):
                if answer["type"] == "event":
                    draw(answer)
    finally:
        if watched:
            print(ERASE_LINE, end="", file=sys.stderr, flush=True)
    return {key: value for key, value in answer.items() if key != "type"}


def _bar(event: Mapping[str, Any], doing: str = "fetching") -> str:
    """One line: what is waited for; or what is done with how many bytes, and of how many, as far as that is known yet."""
    if event["event"] == "waiting":
        return f"{event['said']}…"
    done, total = event["bytes"], event["total"]
    if not done:
        return "asking who has it…"
    if not total:
        return f"{doing}: {megabytes(done)}"
    filled = min(BAR_CHARS, BAR_CHARS * done // total)
    return f"{doing}: [{'#' * filled}{'.' * (BAR_CHARS - filled)}] {megabytes(done)} of {megabytes(total)}"
