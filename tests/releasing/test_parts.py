"""What a releaser takes of what another device hands over."""

from __future__ import annotations

from pathlib import Path

import pytest

from mycelnode.encoding import encode
from mycelnode.errors import EncodingError, PeerMisbehaved
from mycelnode.privacy.interactions import DAY_MS
from mycelnode.privacy.key import Key
from mycelnode.protocols.release_units import Handed
from mycelnode.releasing.releases import open_releases
from mycelnode.turns import Turns
from tests.node.nodes import founder
from tests.releasing.persons import current


async def test_a_part_that_was_taken_before_an_update_is_counted_and_nonsense_is_refused(tmp_path: Path) -> None:
    old = Key(("plan", "test"), "coding").encode()
    with pytest.raises(EncodingError):
        Key.decode(old)  # this version never makes it
    async with founder(tmp_path) as node:
        releases = await open_releases(node.mesh, Turns(node.mesh))
        window = current(releases.now())
        device, day = b"d" * 32, window.start // DAY_MS
        assert await releases.put_part(window, device, [Handed((bytes(32),), old, day, dated=True)])
        assert old in await releases.count(window, [device])
        for nonsense in (b"key", encode([["plan", "xyzzy"], "coding", []])):
            with pytest.raises(PeerMisbehaved, match="no habit"):
                await releases.put_part(window, device, [Handed((bytes(32),), nonsense, day, dated=True)])
