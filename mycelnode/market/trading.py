"""Buying and registering, for those who use patterns; with a node or without one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import trio

from mycelnode.background import open_background
from mycelnode.chain.service import Chain, open_chain
from mycelnode.collective.commands import commands_without_node
from mycelnode.market.buying import Buyer
from mycelnode.market.commands import SENDING_SECONDS
from mycelnode.market.rating import Rater
from mycelnode.market.registering import Registrar
from mycelnode.market.selling import Seller
from mycelnode.mesh import Mesh


class Trade:
    """What a chain adds to patterns."""

    def __init__(self, chain: Chain) -> None:
        self.buyer, self.rater = Buyer(chain), Rater(chain)
        self.registrar, self.seller = Registrar(chain), Seller(chain)


async def ask_without_node(mesh: Mesh, kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Carry a command about patterns out on the data folder itself; its lock is held. What is not done by then waits."""
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(open_chain(mesh))
        nursery = await stack.enter_async_context(open_background())
        nursery.start_soon(chain.run)
        if request.get("register"):  # as the version before it
            await chain.send_waiting(trio.current_time() + SENDING_SECONDS)
        return await (await commands_without_node(mesh, Trade(chain)))[kind](request)
