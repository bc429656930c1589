"""Requests with progress: each ends with a result or with its error, whoever of the two tasks comes first."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from mycelnode.cli import _progress
from mycelnode.collective.api import Tell
from mycelnode.errors import BlockMissing
from mycelnode.streaming import Watcher, with_progress


async def test_an_error_is_never_lost() -> None:
    """The scheduler of trio takes tasks in any order, so once would show nothing."""

    async def handler(request: Any, tell: Tell) -> dict[str, Any]:
        await trio.to_thread.run_sync(lambda: None)
        raise BlockMissing("it is not here")

    for _ in range(30):
        with pytest.raises(BlockMissing, match="not here"):
            [answer async for answer in with_progress(handler)({})]


async def test_what_is_waited_for_is_told_and_shown() -> None:
    async def handler(request: Any, tell: Watcher) -> dict[str, Any]:
        tell.say("paying")
        await trio.lowlevel.checkpoint()
        return {"cid": "b"}

    told, done = [answer async for answer in with_progress(handler)({})]
    assert (told, done) == ({"type": "event", "event": "waiting", "said": "paying"}, {"type": "result", "cid": "b"})
    assert _progress._bar(told) == "paying…"


async def test_progress_comes_before_the_result(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(request: Any, tell: Tell) -> dict[str, Any]:
        for here in range(1, 4):
            await trio.sleep(1)
            tell(here, 3)
        return {"cid": "b"}

    answers = [answer async for answer in with_progress(handler)({})]
    assert answers[-1] == {"type": "result", "cid": "b"}
    assert [answer["bytes"] for answer in answers[:-1]] == [1, 2, 3]
    assert {answer["total"] for answer in answers[:-1]} == {3}
