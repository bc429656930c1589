"""Errors leave a block of background tasks as they were raised, whatever else is going on."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from mycelnode.background import open_background, open_together, to_its_end


class Ours(Exception):
    pass


async def test_tasks_end_with_the_block() -> None:
    ended = False

    async def task() -> None:
        nonlocal ended
        try:
            await trio.sleep_forever()
        finally:
            ended = True

    async with open_background() as nursery:
        nursery.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()
    assert ended


async def test_what_the_block_raises_comes_bare_with_its_cause() -> None:
    with pytest.raises(Ours) as caught:
        async with open_background() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise Ours from ValueError("why")
    assert isinstance(caught.value.__cause__, ValueError)


async def test_what_the_block_raises_survives_a_cancellation() -> None:
    async def obstinate() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()

    with trio.CancelScope() as scope, pytest.raises(Ours):
        async with open_background() as nursery:
            nursery.start_soon(obstinate)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            raise Ours


async def test_what_a_task_raises_cancels_the_block_and_comes_bare() -> None:
    async def task() -> None:
        raise Ours from ValueError("why")

    with pytest.raises(Ours) as caught:
        async with open_background() as nursery:
            nursery.start_soon(task)
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, ValueError)


async def test_errors_of_both_come_together() -> None:
    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError

    with pytest.raises(ExceptionGroup) as caught:
        async with open_background() as nursery:
            nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked()
            raise Ours
    assert [type(error) for error in caught.value.exceptions] == [Ours, KeyError]


async def test_a_lone_error_of_tasks_that_are_waited_for_comes_bare() -> None:
    async def task(fails: bool) -> None:
        if fails:
            raise Ours

    with pytest.raises(Ours):
        async with open_together() as nursery:
            nursery.start_soon(task, False)
            nursery.start_soon(task, True)
    with pytest.raises(ExceptionGroup):
        async with open_together() as nursery:
            nursery.start_soon(task, True)
            raise Ours


async def test_a_cancellation_passes_through() -> None:
    with trio.CancelScope() as scope:
        async with open_background() as nursery:
            nursery.start_soon(trio.sleep_forever)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_what_should_not_be_left_half_done_ends_although_its_caller_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    done: list[str] = []

    async def work() -> str:
        await trio.sleep(5)
        done.append("all of it")
        return "done"

    assert await to_its_end(work, 20) == "done"
    with trio.move_on_after(1) as scope:
        await to_its_end(work, 20)
    assert scope.cancelled_caught
    assert done == ["all of it"] * 2
    started = trio.current_time()
    with trio.move_on_after(1):
        await to_its_end(work, 2)
    assert len(done) == 2, "it is waited for so long, and no longer"
    assert trio.current_time() == pytest.approx(started + 3)


async def test_an_error_of_what_is_done_to_its_end_comes_bare() -> None:
    async def fails() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("bare")

    with pytest.raises(ValueError, match="bare"):
        await to_its_end(fails, 1)
    begun, cancelled = trio.Event(), []

    async def fails_late() -> None:
        begun.set()
        await trio.testing.wait_all_tasks_blocked()
        raise ValueError("bare")

    async def leave(scope: trio.CancelScope) -> None:
        await begun.wait()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(leave, scope)
            try:
                await to_its_end(fails_late, 5)
            except ValueError as error:
                cancelled.append(str(error))
    assert cancelled == ["bare"], "it goes before the cancellation"


async def test_what_is_cancelled_already_is_not_begun() -> None:
    begun = False

    async def work() -> None:
        nonlocal begun
        begun = True

    with trio.CancelScope() as scope:
        scope.cancel()
        await to_its_end(work, 1)
    assert not begun
