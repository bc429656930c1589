"""What has taken the place of a pattern in the registry, as far as this device can tell.

The contract knows patterns by their numbers, and by the hashes that they have now: which hashes were before, only who dealt with
them has kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from mycelnode.chain.registry import Registered
from mycelnode.chain.service import Chain
from mycelnode.patterns import library
from mycelnode.patterns.cid import Cid
from mycelnode.protocols.payment_journal import Entry


async def successor(chain: Chain, creator: str, cid: Cid) -> Registered | None:
    """By the number under which it was registered or bought here, or by what its creator has published since.

    Raises what `Registry` raises.
    """
    for number in dict.fromkeys(_numbers(chain, str(cid))):
        found = await chain.registry.pattern(number)
        if found is not None and found.creator == creator and found.cid != str(cid):
            return found
    later = chain.mesh.database.look(partial(library.later, cid=cid))
    return None if later is None else await chain.registry.pattern_by_hash(creator, later.digest.hex())


def _numbers(chain: Chain, cid: str) -> Iterator[int]:
    here = (chain.known, chain.registry.contract)
    for line in chain.journal.about(cid):
        intent = line.entry.intent
        number = _number(line.entry)
        if (intent.network, intent.receiver) == here and type(number) is int and number >= 0:
            yield number


def _number(entry: Entry) -> Any:
    """Of the pattern that was called for; what registering it has answered is a server's word."""
    with suppress(ValueError, RecursionError):
        if entry.intent.method == "register_pattern":
            return None if entry.outcome is None else json.loads(entry.outcome.value)
        return json.loads(entry.intent.args).get("id")
    return None
