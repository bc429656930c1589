"""A member that writes without end cannot fill the disk of another so far that this one cannot write any more."""

from __future__ import annotations

import os
from pathlib import Path

from tests.disks import small_disk
from tests.node.nodes import founder, let_in, running, until

MIB = 1 << 20
DISK, TAKEN = 240, 180  # MiB: a tenth is the reserve, and this much is taken by something else at first


async def test_what_others_send_is_refused_on_a_nearly_full_disk_and_asked_for_once_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", DISK << 10) as disk:
        something = disk / "something"
        something.write_bytes(bytes(TAKEN * MIB))
        async with founder(disk) as laptop, running(await let_in(tmp_path, laptop, "phone")) as phone:
            await until(lambda: all(device["connected"] for device in laptop.status()["devices"]), "they meet")
            body = os.urandom(240_000)
            for number in range(300):
                if not laptop.mesh.has_room():
                    break
                await phone.register(f"r{number}").set(body)
            await until(lambda: "disk" in laptop.status()["services"], "it says that its disk is nearly full")
            size = {device["name"]: device["bytes"] for device in laptop.status()["devices"]}
            assert size["phone"] > 4 * MIB > size["laptop"]
            for number in range(20):
                await phone.register(f"more{number}").set(body)
                await laptop.map("notes").put("own", number)  # the reserve is for this
            assert laptop.register("more19").get() is None
            something.unlink()
            await until(lambda: laptop.register("more19").get() == body, "it asks for the rest")
            await until(lambda: phone.map("notes").get("own") == 19, "the phone has what was written meanwhile")
            assert "disk" not in laptop.status()["services"]
