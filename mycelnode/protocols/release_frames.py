"""What two devices of a person say to each other about releases: the frames of ``/mycel/release/1``, in canonical CBOR.

One end asks, the other answers; a stream is for one question. See docs/protocols/release.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from mycelnode.encoding import as_bytes, as_int, as_list, as_text, decode, encode
from mycelnode.errors import EncodingError
from mycelnode.protocols.release_records import ID_BYTES, MAX_RECORD_BYTES, VERSION_BYTES
from mycelnode.protocols.release_steps import Call, Terms
from mycelnode.protocols.release_units import MARK_BYTES, Handed
from mycelnode.protocols.release_window import MAX_QUARTER, YEAR, Window

PROTOCOL: Final = "/mycel/release/1"
MEET, TERMS, PART, SIGN = "meet", "terms", "part", "sign"  # what can be asked
MAX_FRAME: Final = 1 << 20
MAX_SAID: Final = 300  # characters of a reason
MAX_ITEMS: Final = 200_000  # in one frame, each number and text counted
CHUNK_BYTES: Final = 512 << 10  # about so much goes into one frame of a long answer
MAX_HANDED: Final = 1_000_000  # turns in one part
RECORDS_IN_A_FRAME: Final = 2_000
WORDS_IN_A_FRAME: Final = 1_000
MAX_WORD_CHARS: Final = 120
BUCKETS: Final = 256
DIGEST_BYTES: Final = 8
LABEL_BYTES: Final = 2
END: Final = encode(["end"])

Mark = tuple[bytes, int]


def read(frame: bytes, kind: str, *lengths: int) -> Sequence[Any]:
    """What a frame of this kind says. Raises `EncodingError`."""
    found = as_list(decode(frame, max_bytes=MAX_FRAME, max_depth=4, max_items=MAX_ITEMS))
    if not found or found[0] != kind or (lengths and len(found) - 1 not in lengths):
        raise EncodingError("another frame was expected")
    return found[1:]


def kind_of(frame: bytes) -> str:
    """What a frame is. Raises `EncodingError`."""
    found = as_list(decode(frame, max_bytes=MAX_FRAME, max_depth=4, max_items=MAX_ITEMS))
    return as_text(found[0], 16) if found else ""


def said(reason: str) -> bytes:
    """A refusal."""
    return encode(["no", reason[:MAX_SAID]])


def refusal(frame: bytes) -> str:
    """Why; an empty text if it is none."""
    return _reason(frame, "no") or "it refuses" if kind_of(frame) == "no" else ""


def nothing(reason: str) -> bytes:
    """Before a part in which there is nothing: why."""
    return encode(["empty", reason[:MAX_SAID]])


def why_nothing(frame: bytes) -> str:
    """Why a part is empty; an empty text if nobody says so."""
    return _reason(frame, "empty") or "nothing of it can count" if kind_of(frame) == "empty" else ""


def _reason(frame: bytes, kind: str) -> str:
    said = as_text(read(frame, kind, 1)[0], MAX_SAID)
    return "".join(char if char.isprintable() else "·" for char in said)  # it is shown on a terminal


# --- records, and marks by their buckets ----------------------------------------------------------------------------------------


def write_records(records: Sequence[bytes]) -> Iterator[bytes]:
    """Frames with records."""
    for start in range(0, len(records), RECORDS_IN_A_FRAME):
        yield encode(["records", list(records[start : start + RECORDS_IN_A_FRAME])])


def read_records(frame: bytes) -> list[bytes]:
    """The records in a frame. Raises `EncodingError`."""
    (found,) = read(frame, "records", 1)
    records = [as_bytes(one) for one in _some(found)]
    if any(len(one) > MAX_RECORD_BYTES for one in records):
        raise EncodingError("a record is too long")
    return records


def write_digests(digests: Sequence[bytes]) -> bytes:
    """What stands for the marks of each bucket."""
    return encode(["marks", b"".join(digests)])


def read_digests(frame: bytes) -> list[bytes]:
    """The inverse. Raises `EncodingError`."""
    packed = as_bytes(read(frame, "marks", 1)[0], BUCKETS * DIGEST_BYTES)
    return [packed[place : place + DIGEST_BYTES] for place in range(0, len(packed), DIGEST_BYTES)]


def write_marks(marks: Iterable[Mark]) -> Iterator[bytes]:
    """Frames with marks and their labels."""
    packed = bytearray()
    for mark, label in marks:
        packed += mark + label.to_bytes(LABEL_BYTES, "big")
        if len(packed) >= CHUNK_BYTES:
            yield encode(["some", bytes(packed)])
            packed.clear()
    if packed:
        yield encode(["some", bytes(packed)])


def read_marks(frame: bytes) -> list[Mark]:
    """The inverse. Raises `EncodingError`."""
    packed, size = as_bytes(read(frame, "some", 1)[0]), MARK_BYTES + LABEL_BYTES
    if not packed or len(packed) % size:
        raise EncodingError("marks are cut")
    pieces = (packed[place : place + size] for place in range(0, len(packed), size))
    return [
        (piece[:MARK_BYTES], as_int(int.from_bytes(piece[MARK_BYTES:], "big"), 0, MAX_QUARTER + 1)) for piece in pieces
    ]


# --- terms -------------------------------------------------------------------------------------------------------------------


def ask_terms(window: Window, dictionary: bytes) -> bytes:
    """By which version and dictionary is a window read? ``dictionary``: what stands for that which we have."""
    return encode([TERMS, window.start, window.quarters, dictionary])


def read_asked_terms(frame: bytes) -> tuple[Window, bytes]:
    """The inverse. Raises `EncodingError`."""
    start, quarters, dictionary = read(frame, TERMS, 3)
    return Window(as_int(start, 0, MAX_QUARTER), as_int(quarters, 1, YEAR)), as_bytes(dictionary, ID_BYTES)


def write_terms(terms: Terms) -> bytes:
    """The answer; the words follow, if they are others."""
    return encode([TERMS, terms.version, terms.dictionary])


def read_terms(frame: bytes) -> Terms:
    """The inverse. Raises `EncodingError`."""
    version, dictionary = read(frame, TERMS, 2)
    return Terms(as_bytes(version, VERSION_BYTES), as_bytes(dictionary, ID_BYTES))


def write_words(words: Sequence[str]) -> Iterator[bytes]:
    """Frames with the words of a dictionary."""
    for start in range(0, len(words), WORDS_IN_A_FRAME):
        yield encode(["words", list(words[start : start + WORDS_IN_A_FRAME])])


def read_words(frame: bytes) -> list[str]:
    """The inverse. Raises `EncodingError`."""
    return [as_text(one, MAX_WORD_CHARS) for one in _some(read(frame, "words", 1)[0])]


def _some(value: Any) -> Sequence[Any]:
    """A list that is not empty: frames without an end would never be too many."""
    found = as_list(value)
    if not found:
        raise EncodingError("a frame with nothing in it")
    return found


# --- parts --------------------------------------------------------------------------------------------------------------------


def write_call(call: Call) -> bytes:
    """The releaser's question."""
    window, terms = call.window, call.terms
    return encode([PART, window.start, window.quarters, call.plan, terms.version, terms.dictionary, call.secrets])


def read_call(frame: bytes) -> Call:
    """The inverse. Raises `EncodingError`."""
    start, quarters, plan, version, dictionary, secrets = read(frame, PART, 6)
    return Call(
        Window(as_int(start, 0, MAX_QUARTER), as_int(quarters, 1, YEAR)),
        as_bytes(plan, ID_BYTES),
        Terms(as_bytes(version, VERSION_BYTES), as_bytes(dictionary, ID_BYTES)),
        as_bytes(secrets, ID_BYTES),
    )


def write_part(handed: Iterable[Handed]) -> Iterator[bytes]:
    """Frames with turns as they are handed over."""
    some: list[Any] = []
    size = 0
    for one in handed:
        some.append(one.write())
        size += len(one.key) + len(one.marks) * (MARK_BYTES + 2) + 16
        if size >= CHUNK_BYTES:
            yield encode(["turns", some])
            some, size = [], 0
    if some:
        yield encode(["turns", some])


def read_part(frame: bytes) -> list[Handed]:
    """The inverse. Raises `EncodingError`."""
    return [Handed.read(one) for one in _some(read(frame, "turns", 1)[0])]
