"""What the release machine holds on disk, and what it may tell its driver to do (`mycelnode.protocols.release`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from mycelnode.crdt.changelog import DeviceId
from mycelnode.protocols.release_records import Plan, Record, Spend
from mycelnode.protocols.release_window import Window

# --- what is kept -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which a window opened: the version of the keys, and what stands for the owner's dictionary. 32 bytes each."""

    version: bytes
    dictionary: bytes


@dataclass(slots=True)
class Kept:
    """What a device keeps besides the ledger; windows are named by their first quarter.

    ``opened``: the terms; ``agreed``: which device has told us to read by these; ``frozen``: for whom our own turns were
    taken, with the window; ``got``: whose turns are here, to be counted; ``drawn``: what was decided, its outputs on disk.
    """

    opened: dict[int, Terms] = field(default_factory=dict)
    agreed: dict[int, DeviceId] = field(default_factory=dict)
    frozen: dict[int, tuple[Window, DeviceId]] = field(default_factory=dict)
    got: dict[int, set[DeviceId]] = field(default_factory=dict)
    drawn: set[int] = field(default_factory=set)

    def free(self, quarter: int) -> int:
        """To which quarter what comes in within ``quarter`` belongs: to that, or the first one after it of which our part was not
        taken yet. A part that was taken in a time to come, by a clock that was ahead, makes no difference before that time."""
        while taken := [window.end for window, _ in self.frozen.values() if window.start <= quarter < window.end]:
            quarter = max(taken)
        return quarter


# --- what is to be done -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Keep the terms under which a window opened, and forget those of windows that begin later, unless our part of them was taken;
    then call `Part.opened`."""

    window: Window
    terms: Terms


@dataclass(frozen=True, slots=True)
class Agree:
    """Keep the terms by which the device that decides a window reads it, and the dictionary of these, in place of ours; then call
    `Part.agreed`."""

    window: Window
    terms: Terms
    releaser: DeviceId


@dataclass(frozen=True, slots=True)
class Freeze:
    """In one transaction: take the turns that came in within the window and may count, mark them and their days as handed in it,
    and keep them for ``releaser``; then call `Part.froze`. With ``empty``, that is nothing: why is in ``said``.

    ``terms``: by which they are read. Nothing is kept if it does not stand any more (`Part.stands`) once they are.
    """

    window: Window
    releaser: DeviceId
    said: str = ""
    terms: Terms | None = field(default=None, compare=False)

    @property
    def empty(self) -> bool:
        """Is nothing to be taken?"""
        return bool(self.said)


@dataclass(frozen=True, slots=True)
class Give:
    """Send what was kept for the releaser, and erase it once that says it is on its disk. With ``empty``, that is nothing: what was
    taken was taken under other terms, and is erased; why is in ``said``."""

    window: Window
    said: str = ""

    @property
    def empty(self) -> bool:
        """Is nothing to be sent?"""
        return bool(self.said)


@dataclass(frozen=True, slots=True)
class No:
    """Refuse, in a sentence."""

    said: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a device for its part (`Call`), put it on the disk, then call `Part.got`; or `Part.silent`."""

    call: Call
    device: DeviceId


@dataclass(frozen=True, slots=True)
class Compare:
    """Exchange what counts no more with the witness, or with a device that may have decided before us, both ways; on both disks,
    call `Part.compared`, else `Part.silent`."""

    window: Window
    witness: DeviceId


@dataclass(frozen=True, slots=True)
class Seal:
    """Count what is here, and call `Part.sealed` with what stands for it."""

    window: Window
    devices: frozenset[DeviceId]  # whose turns are counted


@dataclass(frozen=True, slots=True)
class Countersign:
    """Ask the witness to see a record, and call `Part.countersigned` with its answer, or `Part.silent`."""

    record: Spend | Plan
    witness: DeviceId


@dataclass(frozen=True, slots=True)
class Keep:
    """Put these records on the disk, with their notes in the audit log, then call `Part.kept`."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """Decide on what was sealed, put all of it on the disk in one transaction, then call `Part.drew`.

    With ``again``, another device may have decided an older window while it was counted: it is counted once more before, and if the
    digest is another one now, nothing is decided; call `Part.missed`.
    """

    spend: Spend
    devices: frozenset[DeviceId]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done about a window before these devices are there."""

    window: Window
    devices: frozenset[DeviceId]
    witness: bool = False  # nothing is decided without them: the witness, or who may have decided before us


Effect = Open | Freeze | Ask | Compare | Seal | Countersign | Keep | Draw | Wait


@dataclass(frozen=True, slots=True)
class Call:
    """What the releaser asks of a device: its turns of a window, if it has the same plan, terms and secrets."""

    window: Window
    plan: bytes
    terms: Terms
    secrets: bytes  # what stands for those of the mesh that the device knows
