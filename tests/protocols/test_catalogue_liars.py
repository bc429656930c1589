"""Peers that lie in a catalogue session: whatever they say, it ends, and costs no more than its bounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mycelnode.encoding import encode
from mycelnode.errors import BusyError, PeerMisbehaved
from mycelnode.protocols import catalogue_frames as frames
from mycelnode.protocols import catalogue_hints as hints
from mycelnode.protocols.catalogue import Initiator
from mycelnode.protocols.catalogue_answers import Responder
from mycelnode.protocols.catalogue_frames import (
    CELLS,
    CUT,
    ENDS,
    GOES_ON,
    HELLO,
    HERE,
    LACKS,
    LIST,
    LISTED,
    MORE,
    PARTS,
    SPLIT,
)
from mycelnode.protocols.catalogue_hints import HintBook
from mycelnode.protocols.ranges import FINGERPRINT_BYTES
from mycelnode.protocols.riblt import CELL_BYTES, COUNT_BYTES, MAX_CELLS, Cells, Decoder, Encoder, keyed, places
from tests.protocols.catalogues import KEY, Wire, check, digest, many, view

MINE = many(range(2000))
ONE = b"\x01" + bytes(CELL_BYTES - COUNT_BYTES - 1)  # some cell
Liar = Callable[[list[Any]], Iterator[list[Any]]]


def deceive(liar: Liar, mine: list[bytes] = MINE) -> tuple[Initiator, int]:
    """A session with a liar, until it ends or is cut; and how many bytes it could say."""
    initiator, said = Initiator(mine), 0
    asked = [initiator.start()]
    for _ in range(10 * frames.MAX_REQUESTS):
        if not asked:
            break
        for answer in liar(frames.message(asked.pop(0))[1]):
            frame = encode(answer)
            said += len(frame)
            asked += initiator.receive(frame)
            if initiator.result is not None:
                return initiator, said
    assert said, "the liar never spoke"
    return initiator, said


def here(count: int, cells: int = MAX_CELLS, row: bytes = bytes(CELL_BYTES - COUNT_BYTES)) -> list[Any]:
    return [HERE, 1, KEY, count, cells, row + (count % 65536).to_bytes(COUNT_BYTES, "big")]


# --- responders that lie -------------------------------------------------------------------------------------------------------


def test_random_cells_end_in_ranges_and_then_in_silence() -> None:
    rng, asked = random.Random(1), list[int]()

    def liar(said: list[Any]) -> Iterator[list[Any]]:
        asked.append(said[0])
        if said[0] == HELLO:
            yield here(2000, row=rng.randbytes(CELL_BYTES - COUNT_BYTES))
        elif said[0] == MORE:
            for start in range(said[1], said[1] + said[2], frames.CELLS_PER_FRAME):
                count = min(frames.CELLS_PER_FRAME, said[1] + said[2] - start)
                counts = Encoder(KEY, MINE).extend(start + count)[start:].counts + np.uint16(rng.randrange(3))
                yield [CELLS, start, count, rng.randbytes(count * (CELL_BYTES - 2)) + counts.astype(">u2").tobytes()]
        else:
            yield [PARTS, [[[b"", 2000, bytes(FINGERPRINT_BYTES)]]]] if said[0] == SPLIT else [LISTED, b"", GOES_ON]

    with pytest.raises(PeerMisbehaved):
        deceive(liar)
    assert MORE in asked
    assert len(asked) < 40


def liar_with(claimed: Callable[[int], Cells]) -> Liar:
    """A responder that knows the key, as it chose it, and whose cells are made to deceive."""

    def liar(said: list[Any]) -> Iterator[list[Any]]:
        if said[0] == HELLO:
            yield [HERE, 1, KEY, int(claimed(1).counts[0]), MAX_CELLS, claimed(1).encode()]
        elif said[0] == MORE:
            for start in range(said[1], said[1] + said[2], frames.CELLS_PER_FRAME):
                end = min(start + frames.CELLS_PER_FRAME, said[1] + said[2])
                yield [CELLS, start, end - start, claimed(end)[start:].encode()]
        else:
            yield [LISTED, b"", ENDS]

    return liar


def put(cells: Cells, item: bytes, at: list[int], by: int = 1) -> Cells:
    """``item`` in cells of the liar's choice."""
    rows, counts = cells.rows.copy(), cells.counts.copy()
    inside = [place for place in at if place < len(counts)]
    rows[inside] ^= np.frombuffer(item + keyed(KEY)(item)[0], dtype=np.uint64)
    counts[inside] += np.uint16(by % 65536)
    return Cells(rows, counts)


def test_a_digest_that_comes_out_again_and_again_is_noticed() -> None:
    """In cells where it does not lie, it would come out of one, go into another, and out of that, for ever."""
    ours, items = Encoder(KEY, MINE), [digest(number) for number in range(9997, 10_000)]

    def claimed(end: int) -> Cells:
        cells = put(ours.extend(max(end, 24))[:end], items[0], list(range(1, 24)))
        return put(put(cells, items[1], [0]), items[2], [0])

    with pytest.raises(PeerMisbehaved, match="contradict"):
        deceive(liar_with(claimed))


def test_what_is_ours_does_not_come_out_as_theirs() -> None:
    ours, item = Encoder(KEY, MINE), MINE[7]
    everywhere = list(places(keyed(KEY)(item)[1], MAX_CELLS))
    with pytest.raises(PeerMisbehaved, match="not so"):
        deceive(liar_with(lambda end: put(ours.extend(max(end, 24))[:end], item, everywhere)))


def test_what_is_not_ours_does_not_come_out_as_ours() -> None:
    ours, item = Encoder(KEY, MINE), digest(9999)
    everywhere = list(places(keyed(KEY)(item)[1], MAX_CELLS))
    with pytest.raises(PeerMisbehaved, match="not so"):
        deceive(liar_with(lambda end: put(ours.extend(max(end, 24))[:end], item, everywhere, -1)))


@pytest.mark.parametrize("count", [32767, 32768, 65535])
def test_counts_at_the_edge_of_their_bits_overflow_nothing(count: int) -> None:
    ours = Encoder(KEY, MINE)

    def claimed(end: int) -> Cells:
        cells = ours.extend(max(end, 24))[:end]
        return Cells(cells.rows ^ np.uint64(1), np.full(end, count, np.uint16))

    with pytest.raises(PeerMisbehaved, match="fewer digests"):
        deceive(liar_with(claimed))


def test_no_more_comes_out_than_there_are_cells() -> None:
    """A liar may claim digests that do not exist: hints, of which each costs it a cell."""
    lies = many(range(50_000, 50_800))
    theirs = Encoder(KEY, sorted(MINE + lies))
    initiator, said = deceive(liar_with(lambda end: theirs.extend(max(end, 1300))[:end]))
    assert initiator.result is not None
    assert len(initiator.result.here) <= max(initiator.result.cells, 1)
    assert said >= CELL_BYTES * len(initiator.result.here)


def answers(*said: list[Any]) -> Liar:
    """One answer to each request."""
    ready = iter(said)

    def liar(_: list[Any]) -> Iterator[list[Any]]:
        yield next(ready)

    return liar


def test_a_replayed_frame_is_refused() -> None:
    initiator = Initiator(MINE)
    initiator.start()
    (request,) = initiator.receive(encode(here(2000, row=ONE)))
    _, first, count = frames.message(request)[1]
    with pytest.raises(PeerMisbehaved, match="not asked for"):
        initiator.receive(encode(here(2000)))
    half = [CELLS, first, count // 2, bytes(CELL_BYTES * (count // 2))]
    assert initiator.receive(encode(half)) == []
    with pytest.raises(PeerMisbehaved, match="not asked for"):
        initiator.receive(encode(half))


def test_more_cells_than_were_asked_for_are_refused() -> None:
    too_many = [CELLS, 1, 1000, bytes(CELL_BYTES * 1000)]
    with pytest.raises(PeerMisbehaved, match="not asked for"):
        deceive(answers(here(2000, row=ONE), too_many))


def endless(start: int) -> Iterator[list[Any]]:
    number = start
    while True:
        part = b"".join((number + at).to_bytes(32, "big") for at in range(frames.DIGESTS_PER_FRAME))
        yield [LISTED, part, GOES_ON]
        number += frames.DIGESTS_PER_FRAME


def test_a_list_without_end_ends_with_what_was_said_to_be_there() -> None:
    def liar(said: list[Any]) -> Iterator[list[Any]]:
        return iter([here(frames.MAX_DIGESTS)]) if said[0] == HELLO else endless(1)

    taken: list[int] = []

    def counted(said: list[Any]) -> Iterator[list[Any]]:
        for answer in liar(said):
            taken.append(1)
            yield answer

    with pytest.raises(PeerMisbehaved, match="more digests are listed"):
        deceive(counted, mine=[])
    assert len(taken) <= frames.MAX_DIGESTS / frames.DIGESTS_PER_FRAME + 3


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ([LISTED, b"", GOES_ON], "says nothing"),
        ([LISTED, b"", CUT], "says nothing"),
        ([LISTED, MINE[1] + MINE[0], ENDS], "out of order"),
        ([LISTED, MINE[1] + MINE[1], ENDS], "out of order"),
        ([LISTED, MINE[1][:-1], ENDS], "out of order"),
        ([LISTED, b"".join(MINE[:31]), ENDS], "more digests are listed"),
        ([LISTED, b"".join(MINE[:29]), ENDS], "fewer digests are listed"),
        ([LISTED, b"", ENDS], "fewer digests are listed"),
        ([LISTED, b"".join(MINE[:2]), 3], "out of range"),
        ([LISTED, MINE[0]], "another length"),
        ([CELLS, 0, 1, bytes(CELL_BYTES)], "not asked for"),
        ([99], "not asked for"),
        ([], "says nothing"),
    ],
)
def test_a_list_that_cannot_be_is_refused(listed: list[Any], why: str) -> None:
    with pytest.raises(PeerMisbehaved, match=why):
        deceive(answers(here(30), listed), mine=[])


def parts_in_vain(said: list[Any]) -> Iterator[list[Any]]:
    """A range that is cut into parts of which one has everything, again and again."""
    if said[0] == HELLO:
        yield here(100_000, cells=1, row=ONE)
        return
    if said[0] == LIST:
        yield [LISTED, b"", ENDS]
        return
    answered = []
    for low, high in said[1]:
        middle = low + b"\x00"
        answered.append([[middle, 0, bytes(16)], [high, 100_000, bytes(16)]])
    yield [PARTS, answered]


def test_ranges_that_are_cut_in_vain_end_the_session() -> None:
    with pytest.raises(PeerMisbehaved, match="in vain"):
        deceive(parts_in_vain, mine=many(range(90_000)))


@pytest.mark.parametrize(
    "parts",
    [
        [[b"", 2000, bytes(16)]],
        [],
        [[b"\x80", 1000, bytes(16)], [b"\x80", 0, bytes(16)], [b"", 1000, bytes(16)]],
        [[b"\x80", 1000, bytes(16)], [b"\x70", 500, bytes(16)], [b"", 500, bytes(16)]],
        [[b"\x80", 2000, bytes(16)], [b"", 2000, bytes(16)]],
        [[b"\x80", 1000, bytes(16)], [b"\x90", 1000, bytes(16)]],
        [[b"", 1000, bytes(16)], [b"\x80", 1000, bytes(16)]],
        [[b"\x80", 1000, bytes(15)], [b"", 1000, bytes(16)]],
        [[b"\x80" * 34, 1000, bytes(16)], [b"", 1000, bytes(16)]],
        [[bytes([at]), 100, bytes(16)] for at in range(1, 20)] + [[b"", 100, bytes(16)]],
    ],
)
def test_parts_that_do_not_make_up_the_range_are_refused(parts: list[Any]) -> None:
    with pytest.raises(PeerMisbehaved):
        deceive(answers(here(2000, cells=1, row=ONE), [PARTS, [parts]]))


@pytest.mark.parametrize(
    "said",
    [
        here(frames.MAX_DIGESTS + 1),
        here(10, cells=MAX_CELLS + 1),
        here(10, cells=0),
        here(10, row=bytes(CELL_BYTES - COUNT_BYTES - 1)),
        [HERE, 1, KEY[1:], *here(10)[3:]],
        [HERE, 0, *here(10)[2:]],
        [HERE, 1, KEY, 10, MAX_CELLS, bytes(CELL_BYTES)],
        [HERE, 1, KEY, -1, MAX_CELLS, bytes(CELL_BYTES)],
    ],
)
def test_a_catalogue_that_cannot_be_is_refused(said: list[Any]) -> None:
    with pytest.raises(PeerMisbehaved):
        deceive(answers(said))


def test_a_peer_without_time_says_so() -> None:
    initiator = Initiator(MINE)
    initiator.start()
    with pytest.raises(BusyError):
        initiator.receive(encode([frames.BUSY]))


def test_no_more_is_learnt_than_was_asked_for() -> None:
    wire = Wire([], view(many(range(5000))), most=100)
    result = wire.run()
    assert len(result.here) == 100
    assert not result.complete


def test_a_full_catalogue_learns_nothing_and_says_so() -> None:
    full = [number.to_bytes(32, "big") for number in range(frames.MAX_DIGESTS)]
    result = Wire(full, view(many(range(50)))).run()
    assert not result.here
    assert not result.complete


# --- digests that were made to collide ---------------------------------------------------------------------------------------


def test_digests_in_the_same_cells_go_by_ranges_instead() -> None:
    """Whoever knows a key can look for two that lie alike. In 300 cells that takes a moment."""
    seen: dict[tuple[int, ...], bytes] = {}
    hashed = keyed(KEY)
    pair: tuple[bytes, bytes] | None = None
    for number in range(20_000, 60_000):
        item = digest(number)
        where = tuple(places(hashed(item)[1], 300))
        if where in seen:
            pair = (seen[where], item)
            break
        seen[where] = item
    assert pair is not None
    for more in range(0, 30, 10):
        wire, result = check(MINE, sorted([*MINE, *pair, *many(range(5000, 5000 + more))]))
        assert result.ranged
        assert wire.responder.stuck, "its end learns of it, and takes another key"
        assert wire.bytes < 12_000
    _, result = check(MINE, sorted([*MINE, *pair]))
    other = bytes(16)
    assert not Wire(MINE, view(sorted([*MINE, *pair]), other)).run().ranged


def test_checksums_that_cancel_give_nothing_that_is_not_there() -> None:
    """A cell of three whose xor looks like a digest has the wrong checksum."""
    three = many(range(3))
    decoder = Decoder(KEY)
    cell = Encoder(KEY, three).extend(1)
    decoder.add(Cells(cell.rows, np.array([1], np.uint16)), Encoder(KEY, []).extend(1))
    assert not decoder.found
    assert not decoder.done


# --- initiators that ask for ever --------------------------------------------------------------------------------------------


def asked(*requests: list[Any]) -> int:
    """Bytes that a responder says; raises as it does."""
    responder, said = Responder(view(MINE)), 0
    for request in requests:
        said += sum(map(len, responder.receive(encode(request))))
    return said


WHOLE = [[b"", b""]]
GREETING = [HELLO, 1]


@pytest.mark.parametrize(
    ("requests", "why"),
    [
        ([GREETING, GREETING], "one greeting"),
        ([[MORE, 1, 10]], "one greeting"),
        ([GREETING, [MORE, 1, 10], [MORE, 1, 10]], "once, in order"),
        ([GREETING, [MORE, 5, 10]], "once, in order"),
        ([GREETING, *[[MORE, at, 6000] for at in range(1, MAX_CELLS, 6000)]], "once, in order"),
        ([GREETING, [MORE, 1, 6001]], "out of range"),
        ([GREETING, [MORE, 1, 0]], "out of range"),
        ([GREETING, [LIST, WHOLE], [LIST, WHOLE]], "asked for again"),
        ([GREETING, *[[SPLIT, WHOLE]] * 9], "again and again"),
        ([GREETING, [SPLIT, WHOLE * 2]], "out of order"),
        ([GREETING, [SPLIT, [[b"\x80", b"\x80"]]]], "out of order"),
        ([GREETING, [SPLIT, [[b"\x80", b"\x90"], [b"\x8f", b""]]]], "out of order"),
        ([GREETING, [SPLIT, [[b"", b"\x90" * 34]]]], "at most 33 bytes"),
        ([GREETING, [SPLIT, []]], "1 to 64"),
        (
            [
                GREETING,
                [LIST, [[bytes([at]), bytes([at + 1])] for at in range(255)] + [[b"\xff", b"\xff0"], [b"\xff0", b""]]],
            ],
            "1 to 256",
        ),
        ([GREETING, *[[SPLIT, [[b"", b"\x00\x00\x00\x01"]]]] * 200], "requests in one"),
        ([GREETING, [LACKS, b""]], "1 to 8192"),
        (
            [GREETING, *[[LACKS, b"".join(many(range(10_000))[at : at + 1900])] for at in range(0, 9500, 1900)]],
            "1 to 8192",
        ),
        ([GREETING, *[[LACKS, MINE[1]]] * 2], "in order"),
        ([GREETING, [LACKS, MINE[1] + MINE[0]]], "out of order"),
        ([GREETING, [HERE]], "no request"),
        ([GREETING, [77]], "no request"),
        ([[]], "says nothing"),
    ],
)
def test_who_asks_too_much_is_refused(requests: list[list[Any]], why: str) -> None:
    with pytest.raises(PeerMisbehaved, match=why):
        asked(*requests)


def test_what_a_session_can_be_made_to_say_is_bounded() -> None:
    cells = ([MORE, at, min(6000, MAX_CELLS - at)] for at in range(1, MAX_CELLS, 6000))
    most = asked(GREETING, *cells, [LIST, WHOLE])
    assert most < 1.01 * (CELL_BYTES * MAX_CELLS + 32 * len(MINE))


def test_told_digests_that_are_here_are_no_hints() -> None:
    responder = Responder(view(MINE))
    for request in (GREETING, [LACKS, b"".join(sorted([*MINE[:10], digest(9999)]))]):
        list(responder.receive(encode(request)))
    assert responder.told == [digest(9999)]


# --- hints -------------------------------------------------------------------------------------------------------------------


def test_a_peer_whose_hints_prove_false_is_shunned_for_a_while() -> None:
    book = HintBook()
    assert all(book.hint_failed("liar", 0) for _ in range(hints.FREE_FAILURES))
    assert not book.shuns("liar", 0)
    assert not book.hint_failed("liar", 0)
    assert book.shuns("liar", hints.SHUNNED_SECONDS - 1)
    assert not book.shuns("liar", hints.SHUNNED_SECONDS)
    for _ in range(100):
        book.hint_held("honest")
    assert all(book.hint_failed("honest", 0) for _ in range(hints.FREE_FAILURES + 25))
    assert not book.hint_failed("honest", 0)


def test_the_book_of_hints_is_bounded() -> None:
    book = HintBook()
    for number in range(2 * hints.MAX_PEERS):
        book.hint_failed(str(number), 0)
    assert len(book) == hints.MAX_PEERS
