"""`mycelnode demo` and `mycelnode chain devchain`: what a person sees of them. Light to import, as `--help` shows what they do."""

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
    """Three real devices on this machine: pair, part, meet, kill, revoke; then share, and sell.

    About half a minute; leaves nothing behind.
    """
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


class NoWasmtime(click.ClickException):
    """The virtual machine is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the local chain runs contracts on wasmtime, which is not installed: pip install 'mycelnode[simnet]'"
        )


class ChainUnusable(click.ClickException):
    """The chain can't be opened or reached."""


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=3030, show_default=True, help="0 takes a free one.")
@click.option(
    "--block-time", type=click.FloatRange(0), default=0.0, help="Seconds from block to block (default: none)."
)
@click.option("--protocol", type=click.IntRange(86, 88), default=86, show_default=True, help="Of a chain that begins.")
@click.option("--data-dir", type=click.Path(), help="The folder of this device; the chain is in `devchain` in it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for scripts.")
@click.pass_context
def devchain(
    ctx: click.Context, port: int, block_time: float, protocol: int, data_dir: str | None, as_json: bool
) -> None:
    """A NEAR chain of this machine's own: real contracts, funded test accounts, until Ctrl-C.

    It is kept in the data folder and goes on where it stopped. Its RPC listens on loopback only.
    """
    import signal
    import sqlite3

    import trio

    from mycelnode.paths import DataDir, make_private_folder

    try:
        from mycel_simnet.near.devchain import open_devchain, ready_line
        from mycel_simnet.near.store import ChainFileBusy, ChainFileUnusable
    except ModuleNotFoundError as error:
        if error.name != "wasmtime":
            raise
        raise NoWasmtime from None

    options = ctx.find_root().obj
    as_json = as_json or bool(getattr(options, "as_json", False))
    data = DataDir(data_dir or getattr(options, "data_dir", None))
    make_private_folder(data.path)
    folder = data.path / "devchain"

    async def main() -> None:
        async with open_devchain(folder, port=port, block_seconds=block_time, protocol_version=protocol) as chain:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                line = ready_line(chain)
                if as_json:
                    print(json.dumps(line), flush=True)
                else:
                    keys = ",".join(line["keys"].values())
                    where = f"url={line['url']} chain={line['chain_id']} genesis={line['genesis_hash']}"
                    print(f"ready {where} keys={keys}", flush=True)
                async for _ in signals:
                    break

    try:
        trio.run(main)
    except (ChainFileBusy, ChainFileUnusable) as error:
        raise ChainUnusable(str(error)) from None
    except sqlite3.Error as error:
        raise ChainUnusable(f"the chain in {folder} cannot be written: {error}") from None
    except OSError as error:
        raise ChainUnusable(f"port {port} can't be had: {error.strerror or error}") from None
