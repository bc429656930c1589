"""`mycelnode run`: the node itself."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from functools import partial

import click

from mycelnode.cli._common import Options, command


@command(name="run")
@click.option(
    "--listen", multiple=True, metavar="ADDR", help="A multiaddr to listen on, instead of `mesh.listen`; repeatable."
)
@click.option("--dev", is_flag=True, help="Log everything to the terminal.")
def run(options: Options, listen: tuple[str, ...], dev: bool) -> None:
    """Run this device until Ctrl-C."""
    import trio

    from mycelnode import clock
    from mycelnode.config import Settings
    from mycelnode.errors import AlreadyInitialised
    from mycelnode.logs import logging_to
    from mycelnode.node import open_node
    from mycelnode.returning import make_ready

    data = options.data

    async def main() -> None:
        async with open_node(data, clock=clock.system(), listen=listen or None, control=True) as node:
            with trio.open_signal_receiver(
                signal.SIGINT, signal.SIGTERM
            ) as signals:  # whoever reads "ready" may stop us at once
                line = node.ready_line
                if options.as_json:
                    print(json.dumps(line), flush=True)
                else:
                    swarm = line["swarm"]["peer"] if line["swarm"] else "off"
                    addrs = ",".join(line["addrs"])
                    print(f"ready mesh={line['mesh']} peer={line['peer']} addrs={addrs} swarm={swarm}", flush=True)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_until_asked, node.stopping, nursery.cancel_scope)
                    async for _ in signals:
                        break
                    nursery.cancel_scope.cancel()
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends it at once
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    if data.joining.exists():
        with suppress(AlreadyInitialised):  # a crash came right before the end of a join
            trio.run(partial(make_ready, data, None, clock.system()))
    data.check_member()
    settings = Settings(data)
    level = "debug" if dev else settings.get("log.level")
    with logging_to(data, level=level, files=settings.get("log.files"), interactive=dev or sys.stderr.isatty()):
        trio.run(main)


async def _until_asked(stopping: object, scope: object) -> None:
    await stopping.wait()  # type: ignore[attr-defined]
    scope.cancel()  # type: ignore[attr-defined]
