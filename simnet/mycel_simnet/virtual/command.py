"""`python -m mycel_simnet virtual` and `releases`: many random stories in one process; what goes wrong is told as a short story."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mycel_simnet.virtual.shrink import Tellable


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Which stories, and how they are told."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object for scripts."),
        click.option(
            "--runs",
            type=click.IntRange(1),
            default=1000,
            show_default=True,
            help="How many seeds, one after the other.",
        ),
        click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="The first seed."),
    ):
        command = option(command)
    return command


@click.command()
@_options
def virtual(**options: Any) -> None:
    """Play random stories of whole meshes on a virtual clock. Exit status 1 if a promise was broken in one."""
    from mycel_simnet.virtual.story import Story

    _play(Story, **options)


@click.command()
@_options
def releases(**options: Any) -> None:
    """Play random stories of release decisions over years. Exit status 1 if a promise was broken in one."""
    from mycel_simnet.virtual.releases_story import Story

    _play(Story, **options)


def _play(story: Callable[[int], Tellable], seed: int, runs: int, as_json: bool) -> None:
    from mycel_simnet.virtual.shrink import Told, tell

    began = time.monotonic()
    wrong: list[Told] = []
    with click.progressbar(range(seed, seed + runs), label="stories", file=sys.stderr, hidden=as_json) as seeds:
        for number in seeds:
            told = tell(number, story)
            if told is not None:
                wrong.append(told)
                if not as_json:
                    print(f"\n{told}", flush=True)
    seconds = time.monotonic() - began
    if as_json:
        failed = [{"seed": t.seed, "kind": t.kind, "detail": t.detail, "story": repr(t.story)} for t in wrong]
        print(json.dumps({"seed": seed, "runs": runs, "failed": failed, "seconds": round(seconds, 3)}))
    else:
        outcome = f"{len(wrong)} went wrong" if wrong else "all ended well"
        print(f"{runs:,} stories, seeds {seed} to {seed + runs - 1}: {outcome}; {seconds:.0f} s")
    sys.exit(1 if wrong else 0)
