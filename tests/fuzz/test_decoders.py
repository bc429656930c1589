"""Nothing from outside breaks a decoder or a machine: no crash, no hang, no unbounded memory, one encoding a value. `make soak`
goes on where this stops."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mycelnode.encoding import decode, encode
from mycelnode.errors import EncodingError
from tests.fuzz.guard import Broken, Target, same, traced
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS

EXAMPLES, SLOW_EXAMPLES = 40, 10  # drawn by hypothesis; each is four inputs
every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=str)
unhurried = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


@cache
def seeds(name: str) -> list[bytes]:
    return list(TARGETS[name].seeds())


@every_target
def test_real_inputs_are_accepted(target: Target) -> None:
    """So what is made from them gets deep enough. Only what is marked as meant for somebody else is refused."""
    with traced():
        refusals = [_refusal(target, data) for data in seeds(target.name)]
    assert None in refusals
    said = [refusal for refusal in refusals if refusal is not None]
    assert [refusal for refusal in said if not any(part in refusal for part in target.refused)] == []
    assert [
        part for part in target.refused if not any(part in refusal for refusal in said)
    ] == []  # nothing is marked in vain


def _refusal(target: Target, data: bytes) -> str | None:
    if target.feed_within_memory(data):
        return None
    with pytest.raises(target.promised) as found:
        target.run(data)
    return str(found.value)


@every_target
def test_no_input_breaks_a_promise(target: Target) -> None:
    found = seeds(target.name)

    @settings(unhurried, max_examples=SLOW_EXAMPLES if target.slow else EXAMPLES)
    @given(st.integers(0, 2**32), st.binary(max_size=60))
    def feed(number: int, noise: bytes) -> None:
        rng = random.Random(number)
        target.feed_within_memory(noise)
        for _ in range(3):
            target.feed_within_memory(mutate(rng.choice(found), rng, found))

    with traced():
        feed()


# --- what the fuzzer finds ---------------------------------------------------------------------------------------------------


def _crashes(data: bytes) -> None:
    """Believes that a list has two members."""
    value = decode(data)
    if isinstance(value, list):
        _ = value[0], value[1]


def _hangs(data: bytes) -> None:
    """Compares each member of a list with each, for each."""
    waiting = [decode(data)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
            for one in value:
                sum(one is other for other in value for _ in range(len(value)))


def _allocates(data: bytes) -> None:
    """Believes a length."""
    bytearray(int.from_bytes(data[:4], "big") % (1 << 28))


def _two_encodings(data: bytes) -> None:
    """Takes a number written long for the number."""
    try:
        value = cbor2.loads(data, allow_indefinite=False)
        again = encode(value)
    except Exception as error:
        raise EncodingError(str(error) or "no") from error
    same("two encodings", again, data)


def _wordless(data: bytes) -> None:
    """Refuses without a sentence, by an error of another kind."""
    if data[:1] == b"\x83":
        raise KeyError("list")


WRONG: list[tuple[Callable[[bytes], Any], str]] = [
    (_crashes, "IndexError"),
    (_hangs, "of CPU"),
    (_allocates, "of memory"),
    (_two_encodings, "and writes"),
    (_wordless, "KeyError"),
]


@pytest.mark.parametrize(("decoder", "what"), WRONG, ids=[decoder.__name__ for decoder, _ in WRONG])
def test_a_wrong_decoder_is_found(decoder: Callable[[bytes], Any], what: str) -> None:
    """By the same inputs that all others are given, in the same number."""
    target = Target(
        "wrong", decoder, (EncodingError,), lambda: [encode([1, 2, [300, 4, 5]]), encode([[], {"a": 1}, 9])]
    )
    found, rng = list(target.seeds()), random.Random(1)
    with traced(), pytest.raises(Broken, match=what):
        for _ in range(EXAMPLES * 3 * len(WRONG)):
            target.feed_within_memory(mutate(rng.choice(found), rng, found))
