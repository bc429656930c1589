"""`python -m mycel_simnet`: random stories on real nodes, one seed after the other; simnet/README.md says how to read them."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import click
import trio

from mycel_simnet.cluster import NotConverged, open_cluster
from mycel_simnet.process import NoAnswer, NodeFailed, Refused, texts
from mycel_simnet.scenario import Player, Step, generate, parse_steps
from mycel_simnet.virtual.command import releases, virtual

NAMES = ("laptop", "phone", "desk", "tablet", "server", "watch", "car", "attic", "cellar", "shed")


async def tell(
    folder: Path, names: Sequence[str], steps: Sequence[Step], seed: int, converge: float, told: Callable[[Step], None]
) -> tuple[list[str], str]:
    """One story; returns what was wrong, and a line about what happened."""
    began = trio.current_time()
    settled = 0.0
    wrong: list[str] = []
    outcomes: Counter[str] = Counter()
    try:
        async with open_cluster(folder, names, seed=seed) as cluster:
            await cluster.converged(converge)
            player = Player(cluster, told)
            await player.play(steps)
            played = trio.current_time()
            wrong += map(str, await player.finish(converge))
            settled = trio.current_time() - played
            outcomes.update(write.outcome.value for write in player.record.writes)
    except* (NotConverged, NodeFailed, NoAnswer, Refused) as group:
        wrong += texts(group)
    counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "broken off"
    took = trio.current_time() - began
    return wrong, f"{counted}; in step {settled:.1f} s after the last fault; {took:.0f} s in all"


@click.group(invoke_without_command=True)
@click.option("--seed", type=int, default=None, help="The first seed (default: a random one).")
@click.option("--runs", default=1, show_default=True, help="How many seeds, one after the other.")
@click.option("--devices", type=click.IntRange(4, len(NAMES)), default=5, show_default=True)
@click.option("--edits", default=200, show_default=True)
@click.option("--faults", default=20, show_default=True, help="One of them is a revocation.")
@click.option(
    "--steps", "source", type=click.File(), help="Play these steps, as --show prints them, instead of random ones."
)
@click.option("--converge", default=60.0, show_default=True, help="Seconds for all to be in step after the last step.")
@click.option("--show", is_flag=True, help="Print each step as it is taken.")
@click.option("--keep", is_flag=True, help="Keep the folder of a run in which something was wrong.")
@click.pass_context
def main(
    ctx: click.Context,
    seed: int | None,
    runs: int,
    devices: int,
    edits: int,
    faults: int,
    source: TextIO | None,
    converge: float,
    show: bool,
    keep: bool,
) -> None:
    """Play random stories on real nodes. Exit status 1 if anything was lost, differed or hung."""
    if ctx.invoked_subcommand is not None:
        return
    first = secrets.randbits(31) if seed is None else seed
    names = NAMES[:devices]
    given = None if source is None else parse_steps(source.read())
    failed = 0
    for number in range(first, first + runs):
        steps = given or generate(number, names, edits=edits, faults=faults)
        folder = Path(tempfile.mkdtemp(prefix="mycel-simnet-"))
        wrong: list[str] = ["interrupted"]
        try:
            wrong, happened = trio.run(
                tell,
                folder,
                names,
                steps,
                number,
                converge,
                (lambda step: print(step, flush=True)) if show else _ignore,
            )
        finally:
            if not (keep and wrong):
                shutil.rmtree(folder, ignore_errors=True)
        print(f"seed {number}: {'ok' if not wrong else 'WRONG'}: {happened}", flush=True)
        for text in wrong:
            print(text, flush=True)
        if wrong and keep:
            print(f"kept in {folder}", flush=True)
        failed += bool(wrong)
    sys.exit(1 if failed else 0)


def _ignore(step: Step) -> None:
    return


main.add_command(virtual)
main.add_command(releases)


if __name__ == "__main__":
    main(prog_name="python -m mycel_simnet")
