"""Making a failing story short: the same failure with fewer steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from mycel_simnet.virtual.keys import Broken
from mycel_simnet.virtual.story import Story


class Tellable(Protocol):
    """A story of any of the worlds."""

    steps: list[Any]

    def of(self, steps: Sequence[Any]) -> Self:
        """Other steps under the same conditions."""
        ...

    def run(self) -> object:
        """Raises `Broken`."""
        ...


S = TypeVar("S", bound=Tellable)


@dataclass(frozen=True, slots=True)
class Told:
    """What went wrong in the story of a seed, and the shortest story found in which the same goes wrong."""

    seed: int
    kind: str
    detail: str
    story: Tellable

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.kind}: {self.detail}\n    {self.story}"


def shrink(story: S, kind: str) -> S:
    """Leave out runs of steps, long ones first, for as long as the story fails in the same way."""
    size = max(1, len(story.steps) // 2)
    while size:
        start = 0
        while start < len(story.steps):
            less = story.of(story.steps[:start] + story.steps[start + size :])
            if _kind(_failure(less)) == kind:
                story = less
            else:
                start += size
        size //= 2
    return story


def tell(seed: int, make: Callable[[int], Tellable] = Story) -> Told | None:
    """What went wrong in the story of a seed, as short as it can be told. ``make``: the story of a seed."""
    story = make(seed)
    error = _failure(story)
    if error is None:
        return None
    short = shrink(story, error.kind)
    final = _failure(short) or error
    return Told(seed, final.kind, final.detail, short)


def _failure(story: Tellable) -> Broken | None:
    try:
        story.run()
    except Broken as error:
        return error
    return None


def _kind(error: Broken | None) -> str | None:
    return None if error is None else error.kind
