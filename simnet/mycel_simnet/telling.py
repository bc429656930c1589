"""A story that is told while it happens, and ends where a promise is not kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio


class PromiseBroken(Exception):
    """Something is not as the story promised: it ends here."""


@dataclass(slots=True)
class Story:
    """What happened, told as it happens, and what differed from what was promised."""

    tell: Callable[[str], None]
    steps: list[dict[str, Any]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    _began: float = field(default_factory=trio.current_time)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return round(trio.current_time() - self._began, 3)

    def say(self, text: str) -> None:
        """One step of the story, with its time."""
        self.steps.append({"seconds": self.seconds, "text": text})
        self.tell(f"{self.seconds:6.1f} s  {text}")

    def promise(self, text: str, expected: Any, found: Any) -> None:
        """Say that it was found as promised, or raise `PromiseBroken`."""
        if found != expected:
            self.say(f"{text} ✗")
            raise PromiseBroken(f"{text}: expected {expected!r}, found {found!r}")
        self.say(f"{text} ✓")
