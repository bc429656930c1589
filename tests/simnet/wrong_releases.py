"""Rules of releases that look right and are wrong, for their world to catch: each puts one into the machine or its driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from mycel_simnet.virtual import releases_deciding, releases_device
from mycel_simnet.virtual.releases_deciding import Device
from mycel_simnet.virtual.releases_device import DiskFull
from mycel_simnet.virtual.releases_disk import read_kept
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import blake2b
from mycelnode.protocols.release import Part
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import Plan, Seen, Spend
from mycelnode.protocols.release_steps import Call, Draw, Keep, Kept
from mycelnode.protocols.release_units import Handed


@contextmanager
def the_witness_forgets() -> Iterator[None]:
    """It gives its word and keeps nothing."""
    asked = Part.asked

    def forgetting(self: Part, record: Spend | Plan, caller: DeviceId, now: int) -> object:
        answer = asked(self, record, caller, now)
        if isinstance(answer, Keep) and isinstance(record, Spend):
            return next(one for one in answer.records if isinstance(one, Seen))
        return answer

    with mock.patch.object(Part, "asked", forgetting):
        yield


@contextmanager
def the_witness_sees_two() -> Iterator[None]:
    """It gives its word to whoever decides, as often as that asks."""
    with mock.patch.object(Part, "_against", return_value=""):
        yield


@contextmanager
def the_nonce_is_kept() -> Iterator[None]:
    """It is of the device, and not of the process: a copy signs the very same spend."""
    begin = Part.__init__

    def knowing(self: Part, root: bytes, me: DeviceId, *more: Any) -> None:
        begin(self, root, me, *more[:-1], lambda count: blake2b(me)[:count])

    with mock.patch.object(Part, "__init__", knowing):
        yield


@contextmanager
def the_spend_is_kept_after_the_draw() -> Iterator[None]:
    """It is decided first."""
    following = Part.next

    def eager(self: Part, *arguments: Any, **options: Any) -> object:
        effect = following(self, *arguments, **options)
        attempt = self._attempt
        if isinstance(effect, Keep) and attempt is not None and attempt.spend is not None:
            return Draw(attempt.spend, attempt.devices)
        return effect

    with mock.patch.object(Part, "next", eager):
        yield


@contextmanager
def what_was_frozen_is_not_noted() -> Iterator[None]:
    """Not on the disk."""

    def reading(kept: Kept) -> Kept:
        found = read_kept(kept)
        found.frozen.clear()
        return found

    with mock.patch.object(releases_device, "read_kept", reading):
        yield


@contextmanager
def what_was_handed_before_counts_again() -> Iterator[None]:
    """A turn or a day that was handed over in an earlier window, if its label is compared the wrong way round."""
    right = releases_deciding.counts

    def wrong(handed: Iterable[Handed], window: int, labels: Any, day_marks: Any) -> dict[bytes, int]:
        return right(handed, window, lambda mark: [2 * window - found for found in labels(mark)], day_marks)

    with mock.patch.object(releases_deciding, "counts", wrong):
        yield


@contextmanager
def what_is_spent_can_be_spent_again() -> Iterator[None]:
    """Whatever the ledger says."""
    with mock.patch.object(Ledger, "spent_until", return_value=0):
        yield


@contextmanager
def a_lost_window_is_refunded() -> Iterator[None]:
    """What was spent and not decided is not taken for spent by who wanted to decide it."""
    begin = Part.__init__

    def refunding(
        self: Part, root: bytes, me: DeviceId, sign: Any, verify: Any, ledger: Ledger, kept: Kept, *more: Any
    ) -> None:
        held = [
            one
            for one in ledger
            if not (isinstance(one, Spend) and one.author == me and one.window.start not in kept.drawn)
        ]
        begin(self, root, me, sign, verify, Ledger(root, held), kept, *more)

    with mock.patch.object(Part, "__init__", refunding):
        yield


@contextmanager
def a_late_part_is_taken_in() -> Iterator[None]:
    """After what is here was counted."""
    following = Part.next

    def late(self: Part, *arguments: Any, **options: Any) -> object:
        effect = following(self, *arguments, **options)
        if isinstance(effect, Draw):
            return Draw(effect.spend, frozenset(self.local.got.get(effect.spend.window.start, ())) & self._members)
        return effect

    with mock.patch.object(Part, "sealing", return_value=False), mock.patch.object(Part, "next", late):
        yield


@contextmanager
def a_plan_needs_nobody_to_see_it() -> Iterator[None]:
    """Not the witness of the plan before."""

    def after(self: Ledger, last: Plan, following: Iterable[Plan]) -> list[Plan]:
        return [one for one in following if one.author == last.releaser and one.number == last.number + 1]

    with mock.patch.object(Ledger, "_after", after):
        yield


@contextmanager
def a_full_disk_has_it_sampled_anew() -> Iterator[None]:
    """What could not be stored is thrown away."""
    draw = Device._draw

    def redrawing(self: Device, effect: Draw) -> None:
        try:
            draw(self, effect)
        except DiskFull:
            self.counted[effect.spend.window].outputs = None
            raise

    with mock.patch.object(Device, "_draw", redrawing):
        yield


@contextmanager
def who_takes_over_asks_nobody_what_counts() -> Iterator[None]:
    """Neither the witness, nor who decided before."""
    with mock.patch.object(Part, "_who_knows", return_value=set()):
        yield


@contextmanager
def a_part_is_handed_over_unmarked() -> Iterator[None]:
    """What was handed over is not noted as that."""
    with mock.patch.object(Device, "_marks", return_value=[]):
        yield


@contextmanager
def each_device_reads_by_its_own_dictionary() -> Iterator[None]:
    """Whatever the device that decides reads by."""
    rightly = Part.call

    def lax(self: Part, call: Call, *more: Any) -> object:
        begun = self.local.opened.get(call.window.start, call.terms)
        return rightly(self, replace(call, terms=replace(call.terms, dictionary=begun.dictionary)), *more)

    with mock.patch.object(Part, "call", lax), mock.patch.object(Part, "agree", return_value=None):
        yield


WRONG_RELEASES: tuple[Callable[[], Any], ...] = (
    the_witness_forgets,
    the_witness_sees_two,
    the_nonce_is_kept,
    the_spend_is_kept_after_the_draw,
    what_was_frozen_is_not_noted,
    what_was_handed_before_counts_again,
    what_is_spent_can_be_spent_again,
    a_lost_window_is_refunded,
    a_late_part_is_taken_in,
    a_plan_needs_nobody_to_see_it,
    a_full_disk_has_it_sampled_anew,
    who_takes_over_asks_nobody_what_counts,
    a_part_is_handed_over_unmarked,
    each_device_reads_by_its_own_dictionary,
)
