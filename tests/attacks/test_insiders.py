"""An enrolled device turned hostile: whatever it does, the others stay in step, say who it is, hold no more than their bounds, and
can put it out. Two real nodes, and an attacker that has the key of a device that was really let in, and no line of our code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mycelnode.errors import NodeNotRunning
from mycelnode.protocols.shares import MAX_ENROLMENTS
from tests.attacks.processes import until
from tests.attacks.two_nodes import NOTES, VISIBLE_SECONDS, Honest, Thief, TwoNodes, two_nodes

ATTACK_SECONDS = 3.0  # in full swing, before anything is asked of the victims
STOP_SECONDS = 40.0  # for an attacker to end that was told to, on a loaded machine
OUT_SECONDS = 45.0  # from `devices revoke` to the last of it; measured: under 8
BACK_SECONDS = 15.0  # for the sockets of an attacker that has left
BACK_FILES = 3  # that a node may have opened meanwhile for itself
MEMORY_MIB = 250.0  # that a victim may take at any moment; measured: up to 27
ENTRIES_MIB = 450.0  # the same in a flood of entries: they are members' data, and are kept; measured: up to 85
FRAME_SECONDS = 1.0  # of computing, for a MiB of frames; measured: 0.04

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    with two_nodes(tmp_path_factory.mktemp("insiders")) as nodes:
        yield nodes


@dataclass
class Seen:
    """What an attack amounted to: what the attacker saw, and what each victim computed meanwhile, in seconds."""

    thief: Thief
    saw: dict[str, Any]
    cpu: list[float]


def visible(mesh: TwoNodes, key: str) -> float:
    """How long a write of each takes to be seen at the other, at worst, in seconds."""
    worst = 0.0
    for writer, reader in (mesh.both, mesh.both[::-1]):
        name = f"{key}-{writer.name}"
        started = time.monotonic()
        writer.put(name, key)
        assert until(lambda name=name, reader=reader: reader.notes().get(name) == key, VISIBLE_SECONDS), (  # type: ignore[misc]
            writer.log()[-3000:]
        )
        worst = max(worst, time.monotonic() - started)
    return worst


def under(
    mesh: TwoNodes,
    attack: str,
    *,
    most: float = MEMORY_MIB,
    during: Callable[[Thief], None] = lambda thief: None,
) -> Seen:
    """Let a device in, let it attack, see that the others stay in step within their bounds, and put it out."""
    thief = mesh.let_in()
    victims = [node.process for node in mesh.both]
    memory, files, cpu = ([getattr(v, what) for v in victims] for what in ("memory", "files", "cpu"))
    for victim in victims:
        victim.forget_peak()
    try:
        with mesh.attacked(attack, thief) as attacker:
            time.sleep(ATTACK_SECONDS)
            worst = max(visible(mesh, f"{attack}-{number}") for number in range(2))
            during(thief)
            saw = attacker.stop(STOP_SECONDS)
        grown = max(victim.peak - was for victim, was in zip(victims, memory, strict=True))
        spent = [victim.cpu - was for victim, was in zip(victims, cpu, strict=True)]
        for victim, was in zip(victims, files, strict=True):
            assert until(lambda victim=victim, was=was: victim.files <= was + BACK_FILES, BACK_SECONDS), (  # type: ignore[misc]
                f"{victim.files} files are open; {was} were"
            )
    finally:
        put_out(mesh, thief)
    print(f"{attack}: visible after {worst:.1f} s, {grown:.0f} MiB, {max(spent):.1f} s of CPU, {saw}")
    assert not [what for what in saw if what.startswith("failed")], saw
    assert saw.pop("went on") > 0, f"the attack was over at once: {saw}"
    assert grown < most, f"{attack} cost {grown:.0f} MiB; {saw}"
    return Seen(thief, saw, spent)


def put_out(mesh: TwoNodes, thief: Thief) -> None:
    """`devices revoke` on one is enough: both say so, neither lets it in any more, and they agree on everything."""
    mesh.laptop.ask("devices.revoke", device=thief.name, with_enrolled=True)
    assert until(lambda: all(node.device(thief.name)["revoked"] for node in mesh.both), OUT_SECONDS)
    assert until(lambda: not any(node.device(thief.name)["connected"] for node in mesh.both), OUT_SECONDS)
    with mesh.attacked("knock", thief) as knocking:
        saw = knocking.stop(STOP_SECONDS)
        assert saw["knocked"] > 0
        assert saw.get("admitted", 0) == 0
    assert until(mesh.in_step, OUT_SECONDS), [node.ask("mesh.digest") for node in mesh.both]


# --- logs --------------------------------------------------------------------------------------------------------------------


def test_forged_reordered_truncated_and_foreign_logs_are_not_believed(mesh: TwoNodes) -> None:
    seen = under(mesh, "forged")
    assert seen.saw["sent"] >= 9
    assert "believed" not in seen.saw
    assert not any(key.startswith("evil") for node in mesh.both for key in node.notes())
    assert "does not verify" in mesh.laptop.log()
    assert seen.thief.peer in mesh.laptop.log()


def test_replayed_logs_change_nothing(mesh: TwoNodes) -> None:
    def told(thief: Thief) -> None:
        assert [node.device(thief.name)["head"] for node in mesh.both] == [1, 1]

    seen = under(mesh, "replayed", during=told)
    assert seen.saw["sent"] > 20


def test_a_flood_of_entries_slows_nobody_down_and_is_told_by_whom(mesh: TwoNodes) -> None:
    def told(thief: Thief) -> None:
        assert mesh.laptop.device(thief.name)["bytes"] > 1 << 20

    seen = under(mesh, "flood", most=ENTRIES_MIB, during=told)
    assert seen.saw["bytes"] > 2 << 20


def test_a_flood_of_the_largest_entries(mesh: TwoNodes) -> None:
    seen = under(mesh, "huge", most=ENTRIES_MIB)
    assert seen.saw["bytes"] > 2 << 20


def test_deletions_end_with_their_author_and_come_back(mesh: TwoNodes) -> None:
    """Deleting is a member's right; so the fence is set before it began, and what was deleted is there again."""
    began = round(time.time() * 1000)
    thief = mesh.let_in()
    with mesh.attacked("deletions", thief) as attacker:
        assert until(lambda: not any(f"key-{n}" in mesh.phone.notes() for n in range(NOTES)), VISIBLE_SECONDS)
        visible(mesh, "deletions")
        assert attacker.stop(STOP_SECONDS)["went on"] > 0
    mesh.laptop.ask("devices.revoke", device=thief.name, since_ms=began)
    assert until(lambda: all(node.notes().get("key-7") == 7 for node in mesh.both), OUT_SECONDS)
    put_out(mesh, thief)
    assert all(f"key-{n}" in node.notes() for n in range(NOTES) for node in mesh.both)


def test_writes_from_a_clock_far_ahead_are_held(mesh: TwoNodes) -> None:
    def told(thief: Thief) -> None:
        held = mesh.laptop.ask("status")["held"]
        assert [item["device"] for item in held] == [mesh.laptop.device(thief.name)["device"]]
        assert mesh.laptop.notes()["key-1"] == 1

    under(mesh, "ahead", most=ENTRIES_MIB, during=told)


def test_many_versions_of_a_log(mesh: TwoNodes) -> None:
    def told(thief: Thief) -> None:
        for node in mesh.both:
            assert until(lambda node=node: thief.name in forked(node), VISIBLE_SECONDS)  # type: ignore[misc]

    seen = under(mesh, "versions", during=told)
    assert seen.saw["versions"] > 5
    assert not any(key.startswith("evil") for node in mesh.both for key in node.notes())


# --- statements --------------------------------------------------------------------------------------------------------------


def test_enrolments_without_end_leave_room_for_the_others(mesh: TwoNodes) -> None:
    def told(thief: Thief) -> None:
        for node in mesh.both:
            assert node.device(thief.name)["statements"] <= MAX_ENROLMENTS
        assert mesh.laptop.device(thief.name)["statements"] == MAX_ENROLMENTS

    seen = under(mesh, "enrolments", during=told)
    assert seen.saw["entries"] > MAX_ENROLMENTS


def test_statements_without_end_leave_room_for_the_others(mesh: TwoNodes) -> None:
    def told(thief: Thief) -> None:
        for node in mesh.both:
            assert node.device(thief.name)["statements"] == MAX_ENROLMENTS

    seen = under(mesh, "statements", during=told)
    assert seen.saw["said"] > 2 * MAX_ENROLMENTS


# --- lies and noise ----------------------------------------------------------------------------------------------------------


def test_who_says_to_hold_what_does_not_exist_is_asked_for_it_in_vain_and_cut(mesh: TwoNodes) -> None:
    seen = under(mesh, "lies")
    assert seen.saw["told"] > 5
    assert seen.saw["cut"] > 0


def test_states_that_nobody_asked_for_confirmed_or_has(mesh: TwoNodes) -> None:
    seen = under(mesh, "states")
    assert not any(node.ask("status")["history"]["missing"] for node in mesh.both)
    assert {"unasked, cut", "unconfirmed, cut", "wanted, ignored"} == set(seen.saw)


def test_who_asks_faster_than_it_reads_is_cut(mesh: TwoNodes) -> None:
    seen = under(mesh, "probes")
    assert seen.saw["asked"] > 1000
    assert seen.saw["cut"] > 0


def test_goodbyes_without_end_leave_nothing_behind(mesh: TwoNodes) -> None:
    seen = under(mesh, "goodbyes")
    assert seen.saw["left"] > 10
    assert not any("\x1b" in node.log() for node in mesh.both)


def test_comings_and_goings_without_a_word_leave_nothing_behind(mesh: TwoNodes) -> None:
    seen = under(mesh, "returns")
    assert seen.saw["came"] > 50


def test_frames_that_are_slow_to_decode_cost_no_more_than_their_length(mesh: TwoNodes) -> None:
    seen = under(mesh, "collisions")
    assert seen.saw["sent"] > 4
    assert "believed" not in seen.saw
    assert sum(seen.cpu) < FRAME_SECONDS * seen.saw["bytes"] / (1 << 20)


def test_a_member_that_is_busy_for_seven_seconds_goes_on_where_it_was(mesh: TwoNodes) -> None:
    """What is written meanwhile is more than a stream's window, and libp2p gives up a write after five seconds (`test_ends`)."""

    def written(thief: Thief) -> None:
        mesh.laptop.put("stall-first", 0)
        for number in range(60):
            mesh.laptop.put("stall", str(number) * 50_000)
        mesh.laptop.put("stall-last", 0)
        assert until(lambda: "stall-last" in mesh.phone.notes(), VISIBLE_SECONDS)

    seen = under(mesh, "stalled", during=written)
    assert seen.saw == {"caught up": 2}


def test_the_record_says_who_was_put_out(mesh: TwoNodes) -> None:
    """After all of the above: the audit chain is whole, and names each of them."""
    assert mesh.laptop.ask("audit.verify")["ok"]
    events = mesh.laptop.ask("audit.tail", count=1000)["events"]
    named = {event["fields"].get("device") for event in events if event["kind"] == "device.revoke"}
    out = {
        device["device"] for device in mesh.laptop.ask("devices.list")["devices"] if device["name"].startswith("thief")
    }
    assert len(out) == mesh.thieves
    assert out <= named


def forked(node: Honest) -> set[str]:
    """The names of the devices whose keys have signed two histories."""
    try:
        return {device["name"] for device in node.ask("devices.list")["devices"] if device["forked"]}
    except NodeNotRunning:
        return set()
