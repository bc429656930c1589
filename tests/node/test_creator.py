"""The creator key: one for all devices of a person, whatever happens to any of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mycelnode import creator
from mycelnode.crdt import document as ops
from mycelnode.errors import CreatorKeyMissing
from mycelnode.identity import KeyPair, seal
from mycelnode.joining import init_mesh
from mycelnode.node import Node
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.solutions import Code
from mycelnode.recovering import recover_mesh
from tests.node.nodes import SkewedClock, folder, let_in, running, until

PLAIN = Pattern("Largest files", "shell", Code("ls -S", "bash"), bytes(32), 0)


def signed(key: creator.Creator) -> Manifest:
    pattern = replace(PLAIN, creator=key.public)
    return Manifest.sign(pattern, key.sign, succeeds=key.succeeds)


async def has_it(node: Node) -> creator.Creator:
    await until(lambda: creator.current(node.mesh) is not None, f"{node.name} gets the creator key")
    found = creator.current(node.mesh)
    assert found is not None
    return found


async def test_devices_that_join_get_the_key_and_one_that_had_it_and_is_put_out_has_it_replaced(tmp_path: Path) -> None:
    data = folder(tmp_path, "laptop")
    phrase = str((await init_mesh(data, "laptop", clock=SkewedClock())).phrase)
    async with running(data) as laptop:
        assert creator.current(laptop.mesh) is None
        first = await creator.obtain(laptop.mesh)
        assert (await creator.obtain(laptop.mesh)).public == first.public
        async with running(await let_in(tmp_path, laptop, "phone")) as phone:
            assert (await has_it(phone)).seed == first.seed
            assert (await creator.obtain(phone.mesh)).public == first.public
        await laptop.revoke("phone")
        second = await creator.obtain(laptop.mesh)
        assert second.public != first.public
        assert [former.creator for former in signed(second).succeeds] == [first.public]
        assert (await creator.obtain(laptop.mesh)).public == second.public
        async with running(await let_in(tmp_path, laptop, "tablet")) as tablet:
            assert (await has_it(tablet)).succeeds == second.succeeds
            await tablet.sync()
            peer = f"{tablet.addresses[0]}/p2p/{tablet.device}"
            answer = await recover_mesh(folder(tmp_path, "new"), phrase, clock=SkewedClock(), peer=peer)
            assert answer["synced"]
    async with running(folder(tmp_path, "new")) as new:  # everybody else may be lost
        assert (await has_it(new)).seed == second.seed


async def test_the_phrase_alone_opens_it(tmp_path: Path) -> None:
    data = folder(tmp_path, "laptop")
    phrase = str((await init_mesh(data, "laptop", clock=SkewedClock())).phrase)
    async with running(data) as laptop:
        made = await creator.obtain(laptop.mesh)
        await laptop.mesh.write(
            [ops.map_put(creator.CREATORS, f"{made.public.hex()}/{laptop.device}", b"not what it was")]
        )
        assert creator.current(laptop.mesh) is None
    await recover_mesh(data, phrase, clock=SkewedClock())
    async with running(data) as laptop:
        assert (await has_it(laptop)).seed == made.seed


async def test_a_device_waits_for_the_key_that_others_have_unless_told_to_make_one(tmp_path: Path) -> None:
    data = folder(tmp_path, "laptop")
    await init_mesh(data, "laptop", clock=SkewedClock())
    async with running(data) as laptop, running(await let_in(tmp_path, laptop, "phone")) as phone:
        key = KeyPair(b"k" * 32)
        await laptop.mesh.write(
            [
                ops.register_set(creator.CREATOR, key.public),
                ops.map_put(creator.CREATORS, f"{key.public.hex()}/{phone.device}", b"its copy"),
            ]
        )
        with pytest.raises(CreatorKeyMissing, match="`mycelnode sync` brings it"):
            await creator.obtain(laptop.mesh)
        made = await creator.obtain(laptop.mesh, anew=True)
        assert made.public != key.public
        assert made.succeeds == ()


@pytest.mark.parametrize("named", [None, 7, "key", b"short", bytes(32)])
async def test_what_a_hostile_member_says_of_it_is_no_key(tmp_path: Path, named: object) -> None:
    data = folder(tmp_path, "laptop")
    await init_mesh(data, "laptop", clock=SkewedClock())
    async with running(data) as laptop:
        wrong = seal(laptop.mesh.identity.device, b"another seed, of 32 bytes ......")
        public = named.hex() if isinstance(named, bytes) else "-"
        await laptop.mesh.write(
            [
                ops.register_set(creator.CREATOR, named),  # type: ignore[arg-type]
                ops.map_put(creator.CREATORS, f"{public}/{laptop.device}", wrong),
                ops.map_put(creator.CREATORS, f"{public}/succeeds", [bytes(32), bytes(64)]),
            ]
        )
        assert creator.current(laptop.mesh) is None
        made = await creator.obtain(laptop.mesh)
        assert signed(made).succeeds == ()
