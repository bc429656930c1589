"""Whole meshes heal from whatever happens to them: five hundred random stories here, as many as you like in `make soak`."""

from __future__ import annotations

import pytest

from mycel_simnet.virtual.shrink import tell
from mycel_simnet.virtual.story import Story
from mycelnode.protocols.replica import Replica
from mycelnode.protocols.sync import SyncSession

RUNS, SEED = 500, 1
FOUND = {  # stories that once went wrong
    "a state kept what a fence left out": Story(115, [("clone", 4), ("fence", 3, 0, 2)]),
    "a state was taken for a lie": Story(
        46, [("enrol", 7), ("clone", 4), ("write", 4, "delete", 1, 9), ("write", 0, "put", 1, 60)]
    ),
    "the giver of a state was put out before anybody had the logs under it": Story(
        1456,
        [
            ("write", 4, "append", 1, 40),
            ("meet", 3, 2, 21),
            ("write", 5, "put", 1, 55),
            ("meet", 7, 5, 21),
            ("root", "revoke", 5, 8, 0),
        ],
    ),
    "a complete snapshot was known to one who lacked the logs that say so": Story(
        40000241,
        [
            ("image", 1),
            ("gather", 2.0),
            ("snapshot", 1),
            ("gather", 2.0),
            ("put_back", 1, 0),
            ("burst", 1, "add", 1),
            ("gather", 2.0),
            ("recover", 1, 2, 2, False),
            ("destroy", 1),
            ("recover", 2, 0, 0, False, None),
        ],
    ),
    "a clone in as many versions as are kept was never told so": Story(
        40000550,
        [
            ("image", 1),
            ("burst", 1, "append", 4),
            ("meet", 1, 2, 24),
            ("put_back", 1, 0),
            ("burst", 1, "append", 4),
            ("enrol", 8),
            ("destroy", 0),
            ("gather", 2.0),
            ("put_back", 3, 1),
            ("meet", 7, 0, 1, "reset", False),
            ("clone", 0),
            ("crash", 7, False, None),
            ("burst", 3, "assign", 3),
            ("burst", 0, "assign", 4),
            ("gather", 2.0),
            ("put_back", 0, 0),
            ("burst", 0, "assign", 3),
            ("burst", 2, "add", 12),
            ("meet", 1, 2),
            ("meet", 1, 0),
        ],
    ),
    "a state was there, and a log under it could not come": Story(
        50000542,
        [
            ("gather", 2.0),
            ("snapshot", 0),
            ("gather", 2.0),
            ("burst", 0, "set", 3),
            ("meet", 0, 2),
            ("revoke", 2, 0, 3),
            ("gather", 2.0),
            ("rescue", 2, 0),
            ("snapshot", 2),
            ("gather", 2.0),
            ("clone", 1),
            ("burst", 1, "remove", 4),
            ("write", -1, "put", 0, 0),
            ("gather", 2.0),
            ("burst", 4, "assign", 5),
            ("burst", 2, "put", 2),
            ("gather", 2.0),
            ("recover", 1, 2, 2, False),
        ],
    ),
    "the state of a snapshot was taken for one to begin with": Story(
        60000550,
        [
            ("meet", 1, 2),
            ("revoke", 2, 1, 1),
            ("gather", 2.0),
            ("snapshot", 2),
            ("meet", 2, 0),
            ("recover", 0, 1, 0, True, None),
            ("away", 2, 0),
            ("meet", 1, 2),
            ("snapshot", 1),
            ("gather", 2.0),
            ("recover", 0, 2, 2, False),
        ],
    ),
    "only one who had not agreed to the latest snapshot was left to ask": Story(
        60000844,
        [
            ("meet", 3, 8, 8, "lost", False),
            ("crash", 6, False, "writing"),
            ("clone", 1),
            ("burst", 1, "count", 5),
            ("gather", 2.0),
            ("snapshot", 1),
            ("gather", 2.0),
            ("away", 8, 3),
            ("gather", 2.0),
            ("snapshot", 0),
            ("meet", 0, 2),
            ("meet", 2, 1),
            ("destroy", 2),
            ("recover", 1, 0, 0, False, None),
        ],
    ),
    "a disk put back was written to below what it had agreed to": Story(
        60000943,
        [
            ("online", 1055860990, 1.0, "lost"),
            ("meet", 0, 1),
            ("revoke", 1, 0, 0),
            ("burst", 0, "delete", 3),
            ("meet", 0, 1),
            ("come_back", 0, 1),
            ("rescue_old", 2),
            ("meet", 1, 6, 11, "lost", False),
            ("meet", 1, 2),
            ("snapshot", 1),
            ("gather", 2.0),
            ("snapshot", 1),
            ("image", 2),
            ("gather", 2.0),
            ("put_back", 2, 0),
            ("gather", 2.0),
            ("crash", 2, False, None),
            ("write", 5, "delete", 1, 85),
        ],
    ),
    "a state was merged into another version of a log": Story(
        50000193,
        [
            ("burst", 2, "delete", 8),
            ("image", 0),
            ("burst", 0, "add", 5),
            ("gather", 2.0),
            ("snapshot", 0),
            ("gather", 2.0),
            ("put_back", 0, 0),
            ("burst", 0, "add", 5),
            ("gather", 2.0),
            ("meet", 5, 4, 6, "reset", False),
        ],
    ),
    "the size of a log was asked while its fork was on the way to the disk": Story(
        50000274,
        [
            ("write", 5, "put", 1, 3),
            ("burst", 0, "delete", 2),
            ("gather", 2.0),
            ("snapshot", 0),
            ("gather", 2.0),
            ("root", "revoke", 1, 0, 3),
            ("gather", 2.0),
            ("away", 8, 4),
            ("clone", 1),
            ("burst", 1, "count", 2),
            ("write", -1, "put", 0, 0),
            ("meet", 1, 2),
            ("meet", -1, 0),
            ("snapshot", 2),
            ("snapshot", 0),
            ("burst", 1, "assign", 2),
            ("write", -1, "put", 0, 0),
            ("meet", -1, 2),
        ],
    ),
    "a log was forgotten for ever": Story(
        115, [("online", 614449310, 20.0, "lost"), ("revoke", 1, 0, 1), ("recover", 0, 1, 2, False), ("snapshot", 1)]
    ),
    "a log that a fence closed before a hole was still waited for": Story(
        110000239,
        [
            ("burst", 2, "put", 1),
            ("gather", 2.0),
            ("snapshot", 2),
            ("gather", 2.0),
            ("backup", 2),
            ("burst", 2, "put", 1),
            ("gather", 2.0),
            ("snapshot", 2),
            ("gather", 2.0),
            ("recover", 0, 2, 0, False, -1),
            ("recover", 0, 1, 0, False, -1),
            ("root", "revoke", -1, 0, 0),
        ],
    ),
    "the phrase put out all who had the state of a snapshot, and nobody else was to blame": Story(
        130000047,
        [
            ("recover", 4, 0, 2, False, 2),
            ("write", 8, "append", 2, 6),
            ("image", 2),
            ("burst", 2, "append", 2),
            ("gather", 2.0),
            ("snapshot", 2),
            ("gather", 2.0),
            ("put_back", 2, 0),
            ("burst", 2, "append", 2),
            ("gather", 0.3, "reset"),
            ("recover", 2, 0, 2, False),
        ],
    ),
    "nobody was asked for entries whose state was with none but those who are out": Story(
        140000479,
        [
            ("meet", 2, 1),
            ("away", 1, 0),
            ("burst", 0, "add", 3),
            ("meet", 2, 1),
            ("meet", 2, 1),
            ("meet", 1, 2),
            ("gather", 2.0),
            ("clone", 1),
            ("burst", 1, "count", 2),
            ("gather", 2.0),
            ("snapshot", 1),
            ("gather", 2.0),
            ("write", -1, "put", 0, 0),
            ("gather", 2.0),
            ("recover", 1, 2, 4, False, None),
        ],
    ),
    "a state stayed unproved for ever, as the disk of who gave it was put back": Story(
        160000841,
        [
            ("burst", 6, "count", 6),
            ("image", 0),
            ("burst", 0, "remove", 4),
            ("meet", 0, 1, 15),
            ("put_back", 0, 0),
        ],
    ),
    "a start went on from a checkpoint of another version of a log": Story(
        105,
        [
            ("image", 0),
            ("burst", 0, "remove", 1),
            ("meet", 0, 1, 24),
            ("put_back", 0, 0),
            ("burst", 0, "remove", 1),
            ("burst", 0, "append", 3),
            ("meet", 0, 2),
            ("recover", 2, 0, 2, False),
            ("gather", 2.0),
            ("crash", 1, True),
        ],
    ),
    "the fifth version of a log, which nobody takes, was two signed runs long (the checker gave it to somebody)": Story(
        330002728,
        [
            ("image", 1),
            ("burst", 1, "set", 4),
            ("meet", 1, 0, 24),
            ("put_back", 1, 0),
            ("burst", 1, "set", 4),
            ("gather", 2.0),
            ("put_back", 7, 0),
            ("clone", 1),
            ("burst", 1, "remove", 4),
            ("write", -1, "put", 0, 0),
            ("gather", 2.0),
            ("put_back", 1, 0),
            ("burst", 1, "count", 3),
        ],
    ),
    "who was asked alone proposed without end what could not become complete": Story(
        392, [("revoke", 0, 1, 0), ("meet", 2, 0, None), ("revoke", 2, 3, 1), ("revoke", 2, 0, 0)], grown=True
    ),
    "who was asked alone proposed anew before what the last snapshot freed was gone": Story(
        278,
        [
            ("clone", 2),
            ("meet", -1, 0),
            ("snapshot", 1),
            ("meet", 1, 0),
            ("revoke", 1, 0, 1),
            ("revoke", 1, 2, 1),
        ],
        grown=True,
    ),
    "the snapshot that a copy made alone lies beside one that goes on from the other's (the checker knew only the latter)": Story(
        740000000003044,
        [
            ("meet", 2, 1),
            ("recover", 0, 2, 2, False),
            ("meet", 1, 0),
            ("write", 3, "put", 0, 0),
            ("burst", 5, "assign", 10),
            ("clone", 2),
            ("write", 3, "add", 2, 34),
            ("pair", 8, None, False, None),
            ("meet", 2, 5, 8, "reset", False),
            ("pair", 8, 11, False, ("syncing", True)),
            ("meet", 1, 0),
            ("revoke", 1, 0, 0),
            ("revoke", 1, 2, 0),
            ("meet", 1, 0),
            ("recover", 2, 1, 2, False),
            ("meet", 0, 2),
            ("write", 8, "delete", 1, 67),
            ("meet", 5, 8, 4, "reset", False),
            ("burst", 0, "delete", 1),
            ("gather", 2.0),
            ("snapshot", 0),
            ("gather", 2.0),
            ("burst", 0, "delete", 1),
            ("meet", 0, 1),
            ("gather", 2.0),
            ("snapshot", 3),
        ],
        devices=2,
    ),
    "the same, with a phrase between them (the checker again)": Story(
        740000000007390,
        [
            ("write", 6, "set", 2, 52),
            ("clone", 1),
            ("burst", 1, "set", 5),
            ("write", 4, "put", 1, 1),
            ("meet", 1, 0),
            ("meet", 4, 2),
            ("write", 6, "add", 1, 29),
            ("online", 1034356821, 20.0, "reset", False),
            ("revoke", 3, 0, 3),
            ("write", 6, "delete", 2, 45),
            ("write", 8, "set", 1, 59),
            ("clone", 0),
            ("snapshot", 0),
            ("gather", 2.0),
            ("revoke", 0, 1, 0),
            ("meet", 0, 2),
            ("recover", 1, 0, 2, False),
            ("snapshot", 7),
            ("burst", 2, "add", 2),
            ("gather", 2.0),
            ("snapshot", 0),
        ],
    ),
    "a copy of a key, alone, made a snapshot that put out the one to which a device had agreed that was never copied": Story(
        740000000007928,
        [
            ("image", 0),
            ("burst", 0, "remove", 5),
            ("meet", 1, 4, 24, "reset", False),
            ("clone", 1),
            ("put_back", 0, 0),
            ("burst", 0, "assign", 3),
            ("meet", 0, 2),
            ("burst", 5, "add", 11),
            ("recover", 1, 0, 2, False),
            ("burst", 1, "put", 4),
            ("gather", 2.0),
            ("snapshot", 1),
        ],
        devices=2,
    ),
    "the log came after the confirmation in it, and nobody judged the snapshot anew": Story(
        740000000009395,
        [
            ("clone", 7),
            ("write", 2, "set", 0, 1),
            ("rescue", 8, 0),
            ("write", 3, "add", 1, 58),
            ("online", 886377749, 0.3, "reset", False),
            ("write", 7, "append", 1, 61),
            ("pair", 5, None, True, None),
            ("snapshot", 0),
        ],
    ),
}


@pytest.mark.parametrize("story", FOUND.values(), ids=FOUND)
def test_stories_that_once_went_wrong(story: Story) -> None:
    story.run()


def test_a_device_that_keeps_what_counts_no_more_is_caught_and_the_story_made_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Replica, "_drop_what_counts_no_more", lambda self, now, progress: False)
    wrong = next(told for seed in range(300) if (told := tell(seed)))
    assert wrong.kind in ("differ", "fenced")
    assert len(wrong.story.steps) < 12, wrong


def test_a_session_that_leaves_out_entries_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    original = SyncSession._batch

    def forgetful(self: SyncSession, device: bytes, number: int) -> list[object] | None:
        return None if number else original(self, device, number)

    monkeypatch.setattr(SyncSession, "_batch", forgetful)
    assert any(tell(seed) for seed in range(200))


@pytest.mark.timeout(300)
def test_random_stories_end_well() -> None:
    wrong = [told for number in range(RUNS) if (told := tell(SEED * 1_000_000 + number))]
    assert not wrong, "\n".join(map(str, wrong))
