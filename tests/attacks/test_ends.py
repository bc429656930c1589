"""Peers that stop: frozen, killed in the middle of a frame, or too busy to read for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from mycelnode.protocols.simultaneous import SIMULTANEOUS_SECONDS
from tests.attacks.conftest import StockYard, Table
from tests.attacks.doors import Door, mesh_door
from tests.attacks.processes import Attacker, Victim, attack, line_of, until
from tests.attacks.test_attacks import BACK_FILES, HARM_SECONDS, in_time, most_in_time

FREED_SECONDS = 30.0  # the promise for a frozen peer
STILL_FROZEN = 4  # connections, at least, that are held while others get in

pytestmark = pytest.mark.timeout(180)


def test_frozen_peers_are_let_go_within_30_seconds(
    stock: StockYard, doors: dict[str, Door], table: Table, tmp_path: Path
) -> None:
    """Strangers, known devices, and such as had us write until nothing more went; all at once.

    Meanwhile a newcomer gets in, and the known device, in whose place a frozen process seems to be.
    """
    with ExitStack() as stack:
        victim = stack.enter_context(stock.one())
        before = {each: each.files for each in (victim, *doors.values())}
        frozen: list[Attacker] = []

        def freeze(name: str, at: Victim, source: str, **options: str) -> None:
            folder = tmp_path / str(len(frozen))
            folder.mkdir()
            one = stack.enter_context(attack(name, at.addr, folder, source=source, **options))
            one.wait_on()
            frozen.append(one)

        freeze("multiplexing.frozen", victim, "127.0.0.2")
        freeze("multiplexing.frozen_reader", victim, "127.0.0.3")
        for door in doors.values():
            freeze("multiplexing.frozen", door, "127.0.0.2", **door.options)
            freeze("multiplexing.frozen_reader", door, "127.0.0.3", **door.options)
            freeze("multiplexing.frozen", door, "127.0.0.4", **door.options, seed=door.known_seed.hex())
        began = time.monotonic()
        assert all(door.files >= before[door] + STILL_FROZEN for door in doors.values())
        row = table["frozen"]
        for name, door in doors.items():
            time.sleep(max(0.0, began + SIMULTANEOUS_SECONDS - time.monotonic()))  # the frozen ones have its key, too
            assert in_time(most_in_time(door.newcomer))
            assert in_time(most_in_time(door.known))
            assert door.files >= before[door] + STILL_FROZEN, "they were let go before anybody came"
            left = began + FREED_SECONDS - time.monotonic()
            assert until(lambda door=door: door.files <= before[door] + BACK_FILES, left), door.files  # type: ignore[misc]
            row[name] = f"let go after {time.monotonic() - began:.0f} s at most"
        time.sleep(max(0.0, began + FREED_SECONDS - time.monotonic()))
        assert victim.files >= before[victim] + 8, "the stock host has let them go"
        row["stock"] = "never let go"
        for one in frozen:
            one.running.kill()


def ending_at(victim: Victim, folder: Path, said: Callable[[], str], **options: str) -> list[str]:
    """What the victim says of a peer that was killed in the middle of a frame, and of one that ended its stream."""
    with attack("multiplexing.half_a_frame", victim.addr, folder, **options) as attacker:
        attacker.wait_on()
        attacker.running.kill()
        killed = said()
    with attack("multiplexing.clean_end", victim.addr, folder, **options) as attacker:
        attacker.wait_on()
        attacker.stop()
    return [killed, said()]


def test_a_peer_that_was_killed_is_told_from_one_that_has_ended(
    stock: StockYard, doors: dict[str, Door], table: Table, tmp_path: Path
) -> None:
    row = table["killed in the middle of a frame"]
    with stock.one() as victim:
        assert ending_at(victim, tmp_path, lambda: line_of(victim.running, victim.errors)) == [
            "8 bytes, clean",
            "12 bytes, clean",
        ]
        row["stock"] = "taken for an end"
    door = doors["open"]
    assert ending_at(door, tmp_path, lambda: line_of(door.running, door.errors)) == [
        "8 bytes, broken",
        "12 bytes, clean",
    ]
    for each in doors.values():
        assert in_time(most_in_time(each.newcomer))
        assert in_time(most_in_time(each.known))
    row["open"] = "told apart"
    with mesh_door(tmp_path, log_level="debug") as mesh:
        mesh.invite()  # else strangers cannot begin to pair
        log = tmp_path / "victim" / "node.log"

        def said() -> str:
            until(lambda: " ended: " in log.read_text()[seen[-1] :], 3.0 if seen[-1] else HARM_SECONDS)
            new = [line for line in log.read_text()[seen[-1] :].splitlines() if "a stream of" in line]
            seen.append(len(log.read_text()))
            return new[-1] if new else "clean"

        seen = [0]
        killed, ended = ending_at(mesh, tmp_path, said, **mesh.options)
        assert "broke" in killed
        assert ended == "clean"
    row["mesh"] = "told apart"


def test_a_reader_that_is_busy_for_seven_seconds(
    stock: StockYard, doors: dict[str, Door], table: Table, tmp_path: Path
) -> None:
    """libp2p gives a stream up after five seconds in which it could not write, and says so to nobody.

    At the mesh door only members are sent that much: `test_insiders.test_a_member_that_is_busy…`.
    """
    row = table["stalled reader"]
    name = "multiplexing.stalled_reader"
    with stock.one() as victim, attack(name, victim.addr, tmp_path) as attacker:
        attacker.wait_on()
        assert until(lambda: not victim.alive, HARM_SECONDS)
        row["stock"] = "the program ends, if the handler lets the error through"
    door = doors["open"]
    with attack(name, door.addr, tmp_path) as attacker:
        attacker.wait_on()
        assert in_time(most_in_time(door.newcomer))
        assert in_time(most_in_time(door.known))
        saw = attacker.stop()
    assert saw["goes_on"], saw
    assert saw["connected"]
    assert door.alive
    row["open"] = "goes on"
    row["mesh"] = "goes on (members: test_insiders)"
