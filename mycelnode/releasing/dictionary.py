"""The owner's dictionary, which all devices of a person share: what they, and nobody else, know to be private.

A window goes by the entries that there were when it opened for the device that decides it; what is added later counts from the next
one on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mycelnode.encoding import blake2b, encode
from mycelnode.errors import ValueRefused
from mycelnode.mesh import Mesh
from mycelnode.privacy.owner import Dictionary
from mycelnode.protocols.release_frames import MAX_WORD_CHARS

WORDS: Final = "mycel.dictionary"  # an observed-remove set of entries
MAX_ENTRIES: Final = 10_000
MAX_ENTRY_CHARS: Final = MAX_WORD_CHARS
BATCH: Final = 500  # entries in one transaction


def entries(mesh: Mesh) -> list[str]:
    """All entries, in the order of their letters. Members can write anything there: what is no entry is left out."""
    found = {
        one for one in mesh.replica.document.orset(WORDS) if isinstance(one, str) and 0 < len(one) <= MAX_ENTRY_CHARS
    }
    return sorted(found)[:MAX_ENTRIES]


def owner(mesh: Mesh) -> Dictionary:
    """All of them, as the generaliser wants them."""
    return Dictionary(entries(mesh))


def digest(found: Sequence[str]) -> bytes:
    """32 bytes that stand for them."""
    return blake2b(encode(list(found)))


async def add(mesh: Mesh, new: Iterable[str]) -> int:
    """Add entries: how many were new. On disk when this returns. Raises `ValueRefused`, and what `Mesh.write` raises."""
    known = set(entries(mesh))
    wanted = [one for one in dict.fromkeys(" ".join(one.split()) for one in new) if one and one not in known]
    if any(len(one) > MAX_ENTRY_CHARS for one in wanted):
        raise ValueRefused(f"an entry of the dictionary has at most {MAX_ENTRY_CHARS} characters")
    if len(known) + len(wanted) > MAX_ENTRIES:
        raise ValueRefused(f"the dictionary has at most {MAX_ENTRIES:,} entries")
    for start in range(0, len(wanted), BATCH):
        await mesh.write([mesh.replica.document.add(WORDS, one) for one in wanted[start : start + BATCH]])
    return len(wanted)


async def remove(mesh: Mesh, old: Iterable[str]) -> int:
    """Remove entries: how many there were. Raises what `Mesh.write` raises."""
    known = set(entries(mesh))
    wanted = [one for one in dict.fromkeys(" ".join(one.split()) for one in old) if one in known]
    for start in range(0, len(wanted), BATCH):
        await mesh.write([mesh.replica.document.remove(WORDS, one) for one in wanted[start : start + BATCH]])
    return len(wanted)
