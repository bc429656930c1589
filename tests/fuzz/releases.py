"""What the devices of a person say about releases: records, keys, turns that are handed over, a ledger of whatever members sign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

from mycelnode.encoding import as_list, decode, encode
from mycelnode.errors import EncodingError
from mycelnode.privacy.key import Key, key_of
from mycelnode.protocols import release_frames as frames
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import MAX_RECORD_BYTES, Record, read_record
from mycelnode.protocols.release_steps import Call
from mycelnode.protocols.release_units import MAX_KEY_BYTES, MAX_MARKS, Handed, counts
from mycelnode.protocols.release_window import MAX_QUARTER, Window
from tests.fuzz.guard import Broken, Target, same
from tests.protocols import releases as mesh

MAX_LEDGER_BYTES = 1 << 16
SIGNERS = {one.public: one for one in (mesh.ROOT, mesh.A, mesh.B, mesh.C, mesh.D)}


def _record(data: bytes) -> None:
    record = read_record(data)
    same("release-record", record.encoded, data)
    record.verified(mesh.ROOT.public, mesh.verify)


def _turn(data: bytes) -> None:
    turn = Handed.read(decode(data))
    same("release-turn", encode(turn.write()), data)
    counts([turn, turn], 1, lambda mark: (), lambda key, day: ())


def _ledger(data: bytes) -> None:
    """Records of any content, signed by whom they name if that is a device of ours: what holds does not depend on their order."""
    found: list[Record] = []
    for packed in as_list(decode(data)):
        if type(packed) is not bytes:
            raise EncodingError("not a record")
        record = read_record(packed)
        by = SIGNERS.get(record.author)
        found.append(record if by is None else record.signed(mesh.ROOT.public, by.sign))
    part = mesh.part(mesh.C)
    heard = part.hear(found, mesh.OVER)
    if heard is None:
        return
    part.kept(heard)
    if _reading(part.ledger) != _reading(Ledger(mesh.ROOT.public, reversed(list(part.ledger)))):
        raise Broken(f"release-ledger: order makes a difference for {data.hex()}")
    for now in (0, mesh.NOW, mesh.OVER, 1 << 48):
        part.due(now)
        part.open(now, mesh.TERMS)
        part.own(now, mesh.TERMS.version)


def _reading(ledger: Ledger) -> object:
    near = [*range(mesh.FIRST.start - 5, mesh.FIRST.start + 9), MAX_QUARTER]
    return [ledger.plan(one) for one in near], [ledger.window_of(one) for one in near], ledger.spent_until()


@cache
def _records() -> Sequence[Record]:
    first = mesh.plan_of_root(mesh.A, mesh.B)
    year = mesh.plan_of_root(mesh.B, number=1, since=Window.called("2027").start, quarters=4)
    second = mesh.plan_after(first, mesh.A, releaser=mesh.C, witness=mesh.D, since=mesh.FIRST.end)
    spent = mesh.spend(mesh.A)
    return [first, year, second, mesh.seen(second, mesh.B), spent, mesh.seen(spent, mesh.B)]


def _turns() -> Sequence[bytes]:
    turns = [
        Handed((bytes(32),), b"key", 20_000, True),
        Handed((b"m" * 32,) * MAX_MARKS, b"k" * MAX_KEY_BYTES, 0, False),
    ]
    return [encode(turn.write()) for turn in turns]


def _ledgers() -> Sequence[bytes]:
    return [encode([one.encoded for one in _records()[:size]]) for size in (1, 3, len(_records()))]


def _habit(data: bytes) -> None:
    key = Key.decode(data)
    same("release-key", key.encode(), data)
    assert key.title.isprintable()


def _habits() -> Sequence[bytes]:
    asked = ("write a test in python", "translate this to german", "plan a trip", "practice spanish words")
    return [key.encode() for key in map(partial(key_of, answer=""), asked) if key is not None]


def _frame(data: bytes) -> None:
    """Whatever a device may send: read as each kind of frame, it is written again as it was, or it is none."""
    known = False
    for read, write in FRAMES:
        with suppress(EncodingError):
            found = read(data)
            known = True
            again = write(found)
            if len(again) == 1:  # long ones are cut anew
                same("release-frame", again[0], data)
    if not known:
        frames.kind_of(data)
        frames.refusal(data)


FRAMES: Sequence[tuple[Callable[[bytes], Any], Callable[[Any], list[bytes]]]] = (
    (frames.read_records, lambda found: list(frames.write_records(found))),
    (frames.read_digests, lambda found: [frames.write_digests(found)]),
    (frames.read_marks, lambda found: list(frames.write_marks(found))),
    (frames.read_call, lambda found: [frames.write_call(found)]),
    (frames.read_part, lambda found: list(frames.write_part(found))),
)


def _frames() -> Sequence[bytes]:
    call = Call(mesh.FIRST, bytes(32), mesh.TERMS, bytes(32))
    turn = Handed((bytes(32),), b"key", 20_000, True)
    return [
        frames.write_call(call),
        frames.said("no"),
        frames.END,
        frames.write_digests([bytes(8)] * frames.BUCKETS),
        *frames.write_marks([(bytes(32), 1)]),
        *frames.write_part([turn]),
        *frames.write_records([one.encoded for one in _records()]),
    ]


RELEASES = (
    Target("release-frame", _frame, (EncodingError,), _frames, largest=1 << 16, seconds_per_byte=2e-5, per_byte=1024),
    Target("release-key", _habit, (EncodingError,), _habits, largest=MAX_KEY_BYTES),
    Target(
        "release-record",
        _record,
        (EncodingError,),
        lambda: [one.encoded for one in _records()],
        largest=MAX_RECORD_BYTES,
    ),
    Target("release-turn", _turn, (EncodingError,), _turns, largest=2 * MAX_KEY_BYTES),
    Target(
        "release-ledger",
        _ledger,
        (EncodingError,),
        _ledgers,
        largest=MAX_LEDGER_BYTES,
        seconds_per_byte=2e-5,
        per_byte=1024,
    ),
)
