"""What crosses the wire in `/mycel/catalogue/1`, and its bounds. The machines are in `catalogue` and `catalogue_answers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final

from mycelnode.encoding import as_bytes, as_int, as_list, decode, encode
from mycelnode.errors import EncodingError
from mycelnode.protocols.riblt import DIGEST_BYTES, Cells

PROTOCOL: Final = "/mycel/catalogue/1"
VERSION: Final = 1

# asked by the initiator, answered by the responder
HELLO: Final = 1  # [1, version]
HERE: Final = 2  # [2, version, key, digests held, cells to be had, cell 0]
MORE: Final = 3  # [3, first cell, cells]: each cell once, in order
CELLS: Final = 4  # [4, first cell, cells, cells encoded]: as many frames as it takes
SPLIT: Final = 5  # [5, [[low, high], …]]
PARTS: Final = 6  # [6, [[[upper bound, digests held, fingerprint], …], …]]: of each range
LIST: Final = 7  # [7, [[low, high], …]]
LISTED: Final = 8  # [8, digests, how it goes on]: as many frames as it takes; the digests of all ranges in order
LACKS: Final = 9  # [9, digests]: not answered; digests that the responder does not have
BUSY: Final = 10  # [10], instead of HERE: too many sessions; later

GOES_ON, ENDS, CUT = range(
    3
)  # how LISTED goes on: in the next frame; not at all; to be asked for beyond the last digest

MAX_FRAME: Final = 1 << 16  # bytes
MAX_ITEMS: Final = 8192  # in a frame: PARTS of 64 ranges have 5,000
MAX_DIGESTS: Final = 200_000  # in a catalogue: 6.4 MB of digests
CELLS_PER_FRAME: Final = 1500
DIGESTS_PER_FRAME: Final = 1900
SPLITS: Final = 64  # ranges that are cut up for one request
LISTS: Final = 256  # ranges that are listed for one request
# For one request, 4 frames: a host cuts off strangers of whom 512 KiB lie unread, and libp2p opens its window before they are read.
CELLS_AT_ONCE: Final = 4 * CELLS_PER_FRAME
LISTED_DIGESTS: Final = 4 * DIGESTS_PER_FRAME
LEVELS: Final = 8  # how often a digest is fingerprinted in one session: 16 parts of 16 parts … of 200,000 end after 5
MAX_REQUESTS: Final = 128  # of one session: to an empty catalogue, 100,000 digests take 15
MAX_TOLD: Final = 8192  # digests that a session may tell its responder of

read: Final = partial(decode, max_bytes=MAX_FRAME, max_items=MAX_ITEMS, max_depth=5)


@dataclass(frozen=True, slots=True)
class View:
    """A catalogue as it is at one moment: its ``digests`` in order, and its first ``cells`` under ``key``."""

    key: bytes
    cells: Cells
    digests: Sequence[bytes]


def message(data: bytes) -> tuple[int, Sequence[Any]]:
    """The kind of a frame, and all that it says. Raises `EncodingError`."""
    said = as_list(read(data))
    if not said:
        raise EncodingError("a message says nothing")
    return as_int(said[0]), said


def listing(digests: Sequence[bytes], last: int) -> Iterator[bytes]:
    """LISTED frames; ``last`` is how the last of them goes on."""
    for at in range(0, max(len(digests), 1), DIGESTS_PER_FRAME):
        goes = GOES_ON if at + DIGESTS_PER_FRAME < len(digests) else last
        yield encode([LISTED, b"".join(digests[at : at + DIGESTS_PER_FRAME]), goes])


def read_digests(value: Any) -> list[bytes]:
    """Digests one after the other, strictly in order. Raises `EncodingError`."""
    data = as_bytes(value)
    found = [data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)]
    if found and (len(data) % DIGEST_BYTES or any(one >= other for one, other in pairwise(found))):
        raise EncodingError("digests are out of order, or cut off")
    return found
