"""Large inputs break no promise either: up to 64 KiB here, and as large as each decoder takes them in `make soak`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from mycelnode.encoding import MAX_BYTES, decode, encode
from mycelnode.errors import EncodingError
from tests.fuzz.guard import Broken, Target, traced
from tests.fuzz.sizes import enlarged
from tests.fuzz.targets import DECODERS

SMALL, SIZES = 8 << 10, (16 << 10, 64 << 10)  # the size up to which `make soak` guides its inputs, and sizes beyond
WATCHED = ("part_repeated", "lines", "other_members", "empty_lists")  # shapes whose memory is traced, which takes long
every_decoder = pytest.mark.parametrize("target", DECODERS, ids=str)


def inputs(target: Target, size: int) -> list[tuple[str, bytes]]:
    return list(enlarged(list(target.seeds()), min(size, target.largest), random.Random(f"{target} {size}")))


@every_decoder
def test_no_large_input_takes_long(target: Target) -> None:
    for size in SIZES:
        for _, data in inputs(target, size):
            target.feed(data)


@every_decoder
def test_no_large_input_takes_much_memory(target: Target) -> None:
    unhurried = target.unhurried()
    unhurried.feed(target.seeds()[0])  # what is loaded with the first input is no input's
    watched = [data for shape, data in inputs(target, SIZES[-1]) if shape in WATCHED]
    with traced():
        for data in watched:
            unhurried.feed_within_memory(data)


@every_decoder
def test_what_is_too_large_costs_no_more_than_what_is_not(target: Target) -> None:
    """Whoever refuses it looks at its length first."""
    for seed in target.seeds()[:3]:
        target.feed((seed * (2 * MAX_BYTES // len(seed) + 1))[: 2 * MAX_BYTES])


# --- what only large inputs find -------------------------------------------------------------------------------------------------


def _slow(data: bytes) -> None:
    """Looks for each member of a list among all of them."""
    waiting = [decode(data)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
            any(value.count(member) > 1 for member in value)


def _hoards(data: bytes) -> None:
    """Keeps more for each byte than is allowed, which is less in all than any input may cost until there are enough of them."""
    bytearray(300 * len(data))


WRONG: Sequence[tuple[Callable[[bytes], Any], str]] = [(_slow, "of CPU"), (_hoards, "of memory")]


@pytest.mark.parametrize(("decoder", "what"), WRONG, ids=[decoder.__name__ for decoder, _ in WRONG])
def test_what_small_inputs_do_not_find_is_found(decoder: Callable[[bytes], Any], what: str) -> None:
    target = Target("wrong", decoder, (EncodingError,), lambda: [encode([[300, "a"], [301, "b"]])])

    small, large = inputs(target, SMALL), inputs(target, SIZES[-1])
    with traced() if what == "of memory" else nullcontext():
        feed = target.feed_within_memory if what == "of memory" else target.feed
        for _, data in small:
            feed(data)
        with pytest.raises(Broken, match=what):
            for _, data in large:
                feed(data)
