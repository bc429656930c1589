"""A host that comes back on the port of the last run, as others remember it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from mycelnode.errors import NetworkError
from mycelnode.p2p.host import Admission, Host, HostConfig, open_host

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_lasting_host(
    seed: bytes, config: HostConfig, last_port: int | None, *, admit: Callable[[bytes], Admission]
) -> AsyncIterator[Host]:
    """As `open_host`; where an address leaves the port open, ``last_port`` is taken, if it is free."""
    again = [
        addr.removesuffix("/0") + f"/{last_port}" if last_port and addr.endswith("/tcp/0") else addr
        for addr in config.listen
    ]
    async with AsyncExitStack() as stack:
        try:
            host = await stack.enter_async_context(open_host(seed, replace(config, listen=again), admit=admit))
        except NetworkError as error:
            if again == list(config.listen):
                raise
            _log.warning("port %d of the last run is taken (%s); taking another", last_port, error)
            host = await stack.enter_async_context(open_host(seed, config, admit=admit))
        yield host
