"""Of several connections between two devices both ends keep the same one, each by what it has seen alone."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mycelnode.protocols.simultaneous import MOST, SIMULTANEOUS_SECONDS, keep


@dataclass(frozen=True)
class Line:
    number: int
    dialled_here: bool
    began: float
    since: float


def dialled(number: int, at: float, *, here: bool = True) -> Line:
    return Line(number, here, at, at + 0.01)


def numbers(kept: list[Line]) -> list[int]:
    return [line.number for line in kept]


@given(
    dials=st.lists(st.tuples(st.booleans(), *[st.floats(0, SIMULTANEOUS_SECONDS / 2)] * 2), min_size=1, max_size=MOST)
)
def test_both_ends_keep_one_in_common_whenever_each_sees_them_stand(dials: list[tuple[bool, float, float]]) -> None:
    """Each end sees the same connections stand in an order of its own, all within the time for simultaneous dials."""
    ends = []
    for end in (0, 1):
        seen = sorted((dial[1 + end], number, dial[0] == (end == 0)) for number, dial in enumerate(dials))
        ends.append([dialled(number, at, here=here) for at, number, here in seen])
    smaller, larger = (set(numbers(keep(ends[end], smaller=end == 0))) for end in (0, 1))
    dialler = smaller if any(dial[0] for dial in dials) else larger  # of it one is left: the other end follows
    assert len(dialler) == 1
    assert dialler <= smaller & larger


def test_of_two_dialled_at_once_the_smaller_peers_stays() -> None:
    lines = [dialled(0, 0.0), dialled(1, 0.1, here=False)]
    assert numbers(keep(lines, smaller=True)) == [0]
    assert numbers(keep(lines, smaller=False)) == [1]


def test_a_peer_that_dials_anew_has_lost_the_old_one() -> None:
    old = dialled(0, 0.0)
    late = dialled(1, old.since + SIMULTANEOUS_SECONDS + 0.1, here=False)
    assert numbers(keep([old, late], smaller=True)) == [1]


def test_a_peer_that_dials_without_end_is_held_to_some() -> None:
    lines = [dialled(number, 0.0, here=False) for number in range(3 * MOST)]
    assert numbers(keep(lines, smaller=True)) == list(range(MOST))
    assert keep([], smaller=True) == []
