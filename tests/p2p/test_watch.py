"""The watch on the network: a change of addresses is told within seconds, by the kernel or by looking; a sleep after waking."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mycel_simnet.namespaces import open_lan
from mycelnode.p2p import watch
from mycelnode.p2p.watch import SLEPT_SECONDS, Sleeps, watch_network
from tests.needs import need_namespaces
from tests.p2p.netns import START_SECONDS, child

PROMISE_SECONDS = 3.0
ANNOUNCED_SECONDS = 1.0  # when the kernel tells: well below the time between two looks

WATCHER = """
import contextlib, trio.testing
from mycelnode.clock import SystemClock
from mycelnode.p2p import watch
how = sys.argv[1]
if how == "look":
    watch._kernel_messages = contextlib.nullcontext
async def main():
    before = open_files()
    async with trio.open_nursery() as nursery:
        changed = lambda what: say(event=what, at=sorted(watch.reachable_at()))
        seconds = 60.0 if how == "kernel" else 0.5
        nursery.start_soon(lambda: watch.watch_network(SystemClock(), changed, poll_seconds=seconds))
        await trio.testing.wait_all_tasks_blocked()
        say(event="watching", at=sorted(watch.reachable_at()), files=open_files() - before)
        async for order in orders():
            pass
        nursery.cancel_scope.cancel()
    say(event="ended", left=open_files() - before)
trio.run(main)
"""


@pytest.mark.parametrize("how", ["kernel", "look"])
async def test_changes_of_the_addresses_are_told(how: str) -> None:
    need_namespaces()
    patience = ANNOUNCED_SECONDS if how == "kernel" else PROMISE_SECONDS
    async with open_lan() as lan:
        host = await lan.add_host("10.77.0.1/24")
        # Without link-local addresses the kernel speaks of nothing but the changes below.
        await host.ip("link", "set", "eth0", "addrgenmode", "none")
        await host.ip("address", "flush", "dev", "eth0", "scope", "link")
        async with child(host, WATCHER, how) as watcher:
            began = await watcher.hear(START_SECONDS)
            assert began == {"event": "watching", "at": ["10.77.0.1"], "files": 1 if how == "kernel" else 0}

            await host.change_address("10.77.0.1/24", "10.77.0.2/24")
            told = await watcher.hear_until(patience, lambda event: event["at"] != [])  # for a moment there was none
            assert told == {"event": "addresses", "at": ["10.77.0.2"]}

            await host.add_address("fd77::2/64")
            assert await watcher.hear(patience) == {"event": "addresses", "at": ["10.77.0.2", "fd77::2"]}

            await host.unplug()  # IPv4 addresses stay on a card without a cable, but nobody reaches them
            assert await watcher.hear(patience) == {"event": "addresses", "at": []}
            await host.plug()
            assert await watcher.hear(patience) == {"event": "addresses", "at": ["10.77.0.2"]}

            await watcher.hang_up()
            assert await watcher.hear(patience) == {"event": "ended", "left": 0}


async def test_what_changes_nothing_is_not_told() -> None:
    need_namespaces()
    async with open_lan() as lan:
        host = await lan.add_host("10.77.0.1/24")
        async with child(host, WATCHER, "kernel") as watcher:
            await watcher.hear(START_SECONDS)
            await host.ip(
                "link", "add", "spare0", "type", "veth", "peer", "name", "spare1"
            )  # a card without an address
            await host.ip("address", "add", "fe80::77/64", "dev", "eth0", "nodad")  # an address of no use to others
            await trio.sleep(3 * watch.CALM_SECONDS)  # time for a wrong word, which would come before the next one
            await host.add_address("10.77.0.9/24")
            assert await watcher.hear(ANNOUNCED_SECONDS) == {"event": "addresses", "at": ["10.77.0.1", "10.77.0.9"]}


class SleepyClock:
    """A clock that tests put to sleep."""

    def __init__(self) -> None:
        self.asleep = 0.0

    def wall(self) -> int:
        return 0

    def monotonic(self) -> float:
        return trio.current_time()

    def boottime(self) -> float:
        return trio.current_time() + self.asleep


async def test_waking_up_is_told_once_and_soon(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "reachable_at", frozenset)
    clock, events = SleepyClock(), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_network, clock, events.append)
        await trio.sleep(100)
        assert events == []
        clock.asleep += 3600
        await trio.sleep(PROMISE_SECONDS)
        assert events == ["woke"]
        await trio.sleep(100)
        assert events == ["woke"]
        nursery.cancel_scope.cancel()


async def test_a_machine_that_cannot_list_its_addresses_for_a_moment_is_watched_on(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([{"10.0.0.1"}, None, {"10.0.0.1"}, {"10.0.0.2"}])

    def addresses() -> frozenset[str]:
        if (answer := next(answers, {"10.0.0.2"})) is None:
            raise OSError("too many open files")
        return frozenset(answer)

    monkeypatch.setattr(watch, "reachable_at", addresses)
    events: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_network, SleepyClock(), events.append)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert events == ["addresses"]


# --- the arithmetic of sleep -----------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.one_of(st.just(0.0), st.floats(0, 0.1), st.floats(2.1, 1e6))), max_size=20)
)
def test_every_sleep_is_seen_and_nothing_else(naps: list[tuple[float, float]]) -> None:
    boottime, monotonic = 1000.0, 500.0
    sleeps = Sleeps(boottime, monotonic)
    unseen = 0.0
    for awake, asleep in naps:
        monotonic += awake
        boottime += awake + asleep
        unseen += asleep
        seen = sleeps.look(boottime, monotonic)
        if asleep > SLEPT_SECONDS:
            assert seen == pytest.approx(unseen, abs=1e-3)
        if seen:
            assert seen > SLEPT_SECONDS
            unseen = 0.0
    assert unseen <= SLEPT_SECONDS + 1e-3


def test_clocks_that_run_apart_the_wrong_way_are_no_sleep() -> None:
    sleeps = Sleeps(1000.0, 0.0)
    assert sleeps.look(1000.0, 10.0) == 0.0
    assert sleeps.look(1020.0, 20.0) == 10.0
