"""The peers themselves: what every other test with them stands on."""

from __future__ import annotations

import random
import subprocess

import pytest

from mycelnode.patterns.cid import RAW, Cid
from tests.peers.helia import Helia, HeliaError
from tests.peers.kubo import Kubo

MIB = 1 << 20
NOWHERE = str(Cid.of(RAW, b"nobody has this"))
V1_2025 = ("--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024")


def test_kubo_keeps_to_loopback(a_kubo: Kubo) -> None:
    assert a_kubo.version.startswith("kubo/0.40.1")
    assert a_kubo.addrs
    assert all(addr.startswith("/ip4/127.0.0.1/tcp/") for addr in a_kubo.addrs)
    assert a_kubo.api_url.startswith("http://127.0.0.1:")


def test_two_kubos_exchange_a_file(two_kubos: tuple[Kubo, Kubo]) -> None:
    first, second = two_kubos
    data = random.Random(1).randbytes(3 * MIB)
    cid = first.add(data, *V1_2025)
    assert not second.holds(cid)
    before = second.bitswap()["BlocksReceived"]
    assert second.cat(cid) == data
    assert second.holds(cid)
    assert second.bitswap()["BlocksReceived"] - before == 4  # the root, and three chunks


def test_helia_and_kubo_exchange_files_both_ways(a_kubo: Kubo, a_helia: Helia) -> None:
    assert a_helia.connect(a_kubo.addrs[0]) == a_kubo.peer_id
    assert a_kubo.peer_id in a_helia.peers()
    ours = b"from Kubo" * MIB
    assert a_helia.cat(a_kubo.add(ours, *V1_2025)) == ours
    theirs = b"from Helia" * MIB
    assert a_kubo.cat(a_helia.add(theirs)) == theirs


def test_helia_says_what_it_cannot_find(a_helia: Helia) -> None:
    with pytest.raises(HeliaError):
        a_helia.block_get(NOWHERE, seconds=1)


def test_kubo_says_what_it_cannot_find(a_kubo: Kubo) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        a_kubo.run("--offline", "cat", NOWHERE)
