"""`mycelnode demo`: what a person sees of the demo. Light to import, as `mycelnode --help` shows what it does."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click


class DemoFailed(click.ClickException):
    """The devices did not keep a promise."""


def _show_table(rows: list[dict[str, Any]]) -> None:
    from mycel_simnet.cluster import SHOWN

    print(f"\n{'device':8}{'entries':>9}  {'digest':10}member")
    for row in rows:
        digest = (row["digest"] or "?")[:SHOWN]
        member = {True: "yes", False: "no (revoked)", None: "?"}[row["member"]]
        print(f"{row['device']:8}{'?' if row['entries'] is None else row['entries']:>9}  {digest:10}{member}")


@click.command()
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Play the same story again (default: a new one).")
@click.option("--keep", is_flag=True, help="Keep the devices' folders to look at, and say where they are.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for scripts.")
@click.pass_context
def demo(ctx: click.Context, seed: int | None, keep: bool, as_json: bool) -> None:
    """Three real devices on this machine: pair, part, meet, kill, revoke. About half a minute; leaves nothing behind."""
    import trio

    from mycel_simnet.demo import play

    as_json = as_json or bool(getattr(ctx.find_root().obj, "as_json", False))
    seed = secrets.randbits(32) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="mycel-demo-"))

    def tell(text: str) -> None:
        if not as_json:
            print(text, flush=True)

    tell(f"three devices on this machine, each a real node with a folder of its own; seed {seed}\n")
    try:
        answer = trio.run(play, folder, seed, tell)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if keep:
        answer["folder"] = str(folder)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    else:
        _show_table(answer["devices"])
        print(f"\n{answer['seconds']:.1f} s" + (f"; kept in {folder}" if keep else ""), flush=True)
    if not answer["ok"]:
        raise DemoFailed(f"{answer['differences'][0]}\n(seed {seed})")
