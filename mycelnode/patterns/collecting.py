"""Which blocks can go, the least recently used first: listed once, and then used until something could make the list wrong."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

Candidate = tuple[int, str, int]  # when it was last used, in ns; its name; what it takes, in bytes


class Candidates:
    """A list of what no pin reached when it was made. It is for one thread at a time.

    To find out what pins reach takes a look at all that is there. A full store does so once all that could go has gone, not for
    each block that comes.
    """

    def __init__(self) -> None:
        self._heap: list[Candidate] = []
        self._since: set[str] = set()  # put since the list was made: not in it, or not the file that was meant
        self.known = False  # is there a list that can be used?

    def forget(self) -> None:
        """Something may be reached now that was not, or the other way round."""
        self.known = False
        self._heap.clear()
        self._since.clear()

    def renew(self, found: Iterable[tuple[int, int, str]]) -> None:
        """Begin anew with what can go: of each when it was used, what it takes, its name."""
        self._heap = [(used, name, cost) for used, cost, name in found]
        heapq.heapify(self._heap)
        self._since.clear()
        self.known = True

    def put(self, name: str) -> None:
        """A block came."""
        if self.known:
            self._since.add(name)

    @property
    def has_more(self) -> bool:
        """Might another list have more?"""
        return bool(self._since)

    def choose(self, size: int, used: Callable[[str], int | None]) -> tuple[list[Candidate], bool]:
        """Take as many from the list as have ``size`` bytes, and say whether there were as many.

        ``used`` says when something was last used, by now; None if it is gone.
        """
        chosen: list[Candidate] = []
        while size > 0 and self._heap:
            then, name, cost = heapq.heappop(self._heap)
            now = used(name)
            if now is None or name in self._since:
                continue
            if now > then:
                heapq.heappush(self._heap, (now, name, cost))
                continue
            chosen.append((then, name, cost))
            size -= cost
        return chosen, size <= 0

    def give_back(self, chosen: list[Candidate]) -> None:
        """Put back what was taken, and did not go."""
        for candidate in chosen:
            heapq.heappush(self._heap, candidate)
