"""The secret that a person's devices share: the same on all, found again by the phrase, and nothing to anybody else."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio

from mycelnode import clock, joining, mesh_secret
from mycelnode.crdt import operations as ops
from mycelnode.errors import MeshSecretMissing
from mycelnode.identity import RootKey, root_from_phrase, seal
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir
from mycelnode.privacy.interactions import Turn
from mycelnode.privacy.turnstore import Chosen, page
from mycelnode.returning import make_ready
from mycelnode.schema import open_reader
from mycelnode.turns import Turns
from tests.node.nodes import founder, let_in, running, until

CLOCK = clock.system()


@pytest.fixture
def begun(tmp_path: Path) -> tuple[DataDir, RootKey]:
    data = DataDir(tmp_path / "data")
    made = trio.run(partial(joining.init_mesh, data, "fox", clock=CLOCK))
    return data, root_from_phrase(made.phrase)


def test_it_is_made_once_and_is_in_no_entry_in_the_clear(begun: tuple[DataDir, RootKey]) -> None:
    async def run() -> None:
        async with open_mesh(begun[0], clock=CLOCK) as mesh:
            assert mesh_secret.known(mesh) == []
            (secret,) = await mesh_secret.obtain(mesh)
            assert await mesh_secret.obtain(mesh) == [secret]
            assert not mesh_secret.to_share(mesh)
            entries = mesh.database.look(lambda c: [bytes(row[0]) for row in c.execute("SELECT entry FROM entries")])
            assert secret not in b"".join(entries)
        async with open_mesh(begun[0], clock=CLOCK) as mesh:
            assert mesh_secret.known(mesh) == [secret]

    trio.run(run)


def test_the_phrase_opens_it_for_a_device_that_never_had_it(begun: tuple[DataDir, RootKey]) -> None:
    async def run() -> None:
        async with open_mesh(begun[0], clock=CLOCK) as mesh:
            (secret,) = await mesh_secret.obtain(mesh)
            mine = [key for key in mesh.replica.document.map(mesh_secret.SECRETS) if key.endswith(mesh.device)]
            await mesh.write([ops.map_remove(mesh_secret.SECRETS, key) for key in mine])
            assert mesh_secret.known(mesh) == []
            await mesh_secret.recover(mesh, begun[1])
            assert mesh_secret.known(mesh) == [secret]
            await mesh_secret.recover(mesh, begun[1])

    trio.run(run)


def test_two_that_were_made_apart_both_count_and_what_is_none_is_left_alone(begun: tuple[DataDir, RootKey]) -> None:
    async def run() -> None:
        async with open_mesh(begun[0], clock=CLOCK) as mesh:
            (first,) = await mesh_secret.obtain(mesh)
            other = bytes(range(32))
            mine = seal(mesh.identity.device, other)
            await mesh.write(
                [
                    ops.map_put(mesh_secret.SECRETS, f"{mesh_secret._id(other)}/{mesh.device}", mine),
                    ops.map_put(mesh_secret.SECRETS, f"0000000000000000/{mesh.device}", mine),
                    ops.map_put(mesh_secret.SECRETS, f"1111111111111111/{mesh.device}", b"nonsense"),
                    ops.map_put(mesh_secret.SECRETS, "nonsense", 5),
                ]
            )
            both = mesh_secret.known(mesh)
            assert both == sorted([first, other], key=mesh_secret._id)
            assert mesh_secret.to_share(mesh), "the phrase has no copy of the other yet"
            await mesh_secret.share(mesh)
            assert not mesh_secret.to_share(mesh)

    trio.run(run)


async def test_it_comes_to_devices_that_join_and_turns_are_known_alike_on_all(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        here, _ = await Turns(laptop.mesh).add(Turn("a", "b"))
        (secret,) = mesh_secret.known(laptop.mesh)
        async with running(await let_in(tmp_path, laptop, "phone")) as phone:
            await until(lambda: mesh_secret.known(phone.mesh) == [secret], "the phone gets the secret")
            there, state = await Turns(phone.mesh).add(Turn("a", "b"))
            assert (there, state) == (here, "new"), "each device keeps its own"


async def test_none_is_made_beside_one_that_others_have(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        (secret,) = await mesh_secret.obtain(laptop.mesh)
        async with running(await let_in(tmp_path, laptop, "phone")) as phone:
            await until(lambda: mesh_secret.known(phone.mesh) == [secret], "the phone gets the secret")
            mine = f"{mesh_secret._id(secret)}/{phone.device}"
            await phone.mesh.write([ops.map_remove(mesh_secret.SECRETS, mine)])
            with pytest.raises(MeshSecretMissing, match="`mycelnode sync` brings it"):
                await mesh_secret.obtain(phone.mesh)
            await until(lambda: mesh_secret.to_share(laptop.mesh), "the laptop hears that the phone has none")
            await mesh_secret.share(laptop.mesh)
            await until(lambda: mesh_secret.known(phone.mesh) == [secret], "the phone gets it again")


async def test_a_device_that_was_put_out_and_comes_back_counts_none_of_its_turns_again(tmp_path: Path) -> None:
    async with founder(tmp_path) as laptop:
        data = await let_in(tmp_path, laptop, "phone")
        async with running(data) as phone:
            await Turns(phone.mesh).add(Turn("a", "b"))
            assert not (await Turns(phone.mesh).page(Chosen(), 9)).turns[0][0].spent
            await laptop.revoke("phone")
            await until(lambda: phone.mesh.identity.device not in phone.mesh.replica.membership.members, "it hears so")
        await make_ready(data, laptop.mesh.root, CLOCK)
        with closing(open_reader(data.database)) as connection:
            (kept,) = page(connection, Chosen(), 9)
        assert kept.spent
