"""What a failure or a crash in the middle of init, recover and join leaves, and that all of them can be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mycelnode import beginning, clock, joining, recovering, returning
from mycelnode.crdt.changelog import Head, genesis
from mycelnode.crdt.statements import ENROL, REVOKE, Statement
from mycelnode.errors import AlreadyInitialised, DataDirUnusable, PairingRefused
from mycelnode.identity import Identity, RootKey, load_identity
from mycelnode.joining import init_mesh
from mycelnode.mesh import open_mesh
from mycelnode.paths import DataDir
from mycelnode.protocols.pairing import Invite, Welcome
from mycelnode.recovering import recover_mesh

CLOCK = clock.system()


class Crash(BaseException):
    """The process ends here: what was to come is not done, and nothing is put right."""


@contextmanager
def crash_at(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> Iterator[None]:
    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(where, name, crash)
        with pytest.raises(Crash):
            yield


async def names(data: DataDir) -> list[str]:
    """Of all devices that were ever enrolled."""
    async with open_mesh(data, clock=CLOCK) as mesh:
        assert mesh.identity.device in mesh.replica.membership.members
        return sorted(str(s.info["name"]) for s in mesh.replica.membership.enrolled.values())


async def test_a_failing_init_removes_only_what_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataDir(tmp_path / "data")
    data.create()
    data.config.write_text("[mesh]\nlan = false\n")
    with crash_at(monkeypatch, joining, "begin"):
        await init_mesh(data, "fox", clock=CLOCK)
    assert {path.name for path in data.path.iterdir()} == {"config.toml", "lock"}
    await init_mesh(data, "fox", clock=CLOCK)
    assert data.config.read_text() == "[mesh]\nlan = false\n"


@pytest.mark.parametrize("left", ["mycel.db-wal", "mycel.db.before-3"])
async def test_init_and_recover_begin_nothing_beside_what_is_left_of_another_database(
    tmp_path: Path, left: str
) -> None:
    data = DataDir(tmp_path / "data")
    phrase = (await init_mesh(DataDir(tmp_path / "other"), "fox", clock=CLOCK)).phrase
    data.create()
    (data.path / left).write_bytes(b"precious")
    for attempt in (init_mesh(data, "fox", clock=CLOCK), recover_mesh(data, phrase, clock=CLOCK)):
        with pytest.raises(DataDirUnusable, match=f"{left} is left of a device"):
            await attempt
        assert {path.name for path in data.path.iterdir()} <= {left, "lock"}
        assert (data.path / left).read_bytes() == b"precious"


@pytest.mark.parametrize("where", ["create_identity", "begin"])
async def test_a_recover_cut_short_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    phrase = (await init_mesh(DataDir(tmp_path / "lost"), "fox", clock=CLOCK)).phrase
    data = DataDir(tmp_path / "new")
    with crash_at(monkeypatch, recovering, where):
        await recover_mesh(data, phrase, clock=CLOCK)
    answer = await recover_mesh(data, phrase, name="owl", clock=CLOCK)
    assert (answer["name"], await names(data)) == ("owl", ["owl"])
    assert not data.joining.exists()


async def test_a_recover_cut_short_after_its_commit_is_finished_with_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phrase = (await init_mesh(DataDir(tmp_path / "lost"), "fox", clock=CLOCK)).phrase
    data = DataDir(tmp_path / "new")
    with crash_at(monkeypatch, beginning, "sync_folder"):
        await recover_mesh(data, phrase, name="owl", clock=CLOCK)
    data.joining.write_bytes(returning.RESTORED_MARK)  # the unlink had not reached the disk
    device = load_identity(data).peer_id
    with pytest.raises(AlreadyInitialised):  # as `run` does first of all
        await returning.make_ready(data, None, CLOCK)
    assert not data.joining.exists()
    assert (await recover_mesh(data, phrase, clock=CLOCK))["device"] == device
    assert await names(data) == ["owl"]


@pytest.mark.parametrize("where", ["_reset", "sync_folder"])
async def test_a_device_that_was_put_out_gets_a_new_key_whenever_its_return_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    data = DataDir(tmp_path / "data")
    made = await init_mesh(data, "fox", clock=CLOCK)
    async with open_mesh(data, clock=CLOCK) as mesh:
        device, head = mesh.identity.device, mesh.replica.head
        await mesh.commit(lambda replica: replica.declare(REVOKE, device, head, {}, mesh.now()))
    with crash_at(monkeypatch, returning, where):
        await recover_mesh(data, made.phrase, clock=CLOCK)
    answer = await recover_mesh(data, made.phrase, clock=CLOCK)
    assert answer["device"] != made.device
    assert await names(data) == ["fox", "fox"]


def test_an_inviter_that_cannot_show_its_own_enrolment_is_refused() -> None:
    """Its own proof of the secret is not enough: the statements must lead from the root key in the invite to us."""
    root, other = RootKey(b"r" * 32), RootKey(b"o" * 32)
    inviter, us = Identity(b"i" * 32), Identity(b"u" * 32)
    invite = Invite(root.public, inviter.device, (), b"s" * 16, 0)

    def chain(from_root: RootKey) -> list[Statement]:
        first = beginning.root_statement(from_root, ENROL, inviter.device, None, "inviter")
        place = Head(1, genesis(from_root.public, inviter.device).hash)
        second = Statement(ENROL, us.device, None, inviter.device, place, {"name": "us"})
        return [first, second.signed(from_root.public, inviter.sign)]

    joining._check_welcome(invite, us.device, Welcome(chain(root), "inviter"))
    for shown in (chain(root)[:1], chain(root)[1:], []):
        with pytest.raises(PairingRefused, match="could not show"):
            joining._check_welcome(invite, us.device, Welcome(shown, "inviter"))
    with pytest.raises(PairingRefused, match="does not verify"):
        joining._check_welcome(invite, us.device, Welcome(chain(other), "inviter"))
