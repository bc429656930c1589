"""The twin does as the real Kubo does: see `kubo_suite`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from mycelnode.adapters.kubo import open_ipfs
from mycelnode.patterns.cid import Cid
from mycelnode.ports import IpfsNode
from tests.adapters.kubo_suite import SUITE
from tests.adapters.kubo_twin import KuboTwin, serving

SOON = 20.0


@pytest.mark.parametrize("client", ["httpx", "ipfshttpclient"])
@pytest.mark.parametrize("holds", SUITE)
async def test_it_does_what_is_relied_on(holds: Callable[[IpfsNode[Cid]], Awaitable[None]], client: str) -> None:
    async with serving(KuboTwin()) as twin, open_ipfs(twin.url, client) as node:
        with trio.fail_after(SOON):
            await holds(node)
