"""A device that was away comes back to a mesh in which much has happened."""

from __future__ import annotations

from pathlib import Path

from mycel_simnet.cluster import open_cluster

STEP = 30.0  # seconds


async def test_a_device_away_while_its_enroller_wrote_and_was_revoked_finds_back(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, ["laptop", "phone", "desk"]) as cluster:
        await cluster.converged(STEP)
        await cluster.kill("desk")
        await cluster.write("laptop", [["put", "notes", "shopping", "milk"]])
        await cluster.converged(STEP, ["laptop", "phone"])
        await cluster.revoke("phone", "laptop")
        await cluster.kill("laptop")
        await cluster.start("desk")
        await cluster.converged(STEP)
        assert await cluster.read("desk", "notes", "map") == {"shopping": "milk"}
        assert (await cluster.standing("desk")).members == {"phone", "desk"}
