"""`Node.patterns`, as a program uses it: typed answers, errors that are caught by their class, nothing done by halves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

import mycelnode
from mycelnode.errors import (
    BlockMissing,
    BlockUnavailable,
    CidRefused,
    ClosedError,
    ControlError,
    DataDirUnusable,
    PatternFileRefused,
    PatternRefused,
    ValueRefused,
)
from mycelnode.patterns import library
from mycelnode.patterns.cid import DAG_CBOR, DAG_PB, RAW, Cid
from mycelnode.patterns.files.folder import MAX_TOTAL_BYTES
from tests.node.nodes import ask, folder, founder, init_mesh, running, until
from tests.node.patterns import draft, keeper_of
from tests.node.test_collective import SkewedClock, swarm_of, two_strangers

SORT = {"title": "Sort the post", "domain": "home", "trigger": "letters", "template": "Sort these: {{letters}}"}
SOMEBODY = "00" * 32
NOWHERE, FILE = (str(Cid.of(codec, b"nothing")) for codec in (DAG_CBOR, RAW))


async def test_a_pattern_is_made_found_used_and_rated(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        made = await node.patterns.make(SORT)
        assert (made.mine, made.kept, made.published, made.uses) == (True, True, False, 0)
        assert await node.patterns.make(SORT) == made, "the same again is the same pattern"
        search = await node.patterns.search("what to do with letters")
        assert [one.pattern for one in search.found] == [made]
        assert search.found[0].score == pytest.approx(sum(part.contribution for part in search.found[0].parts))
        assert search.sources["library"] == "ok"
        used = await node.patterns.use(made.cid, {"letters": "a bill"})
        assert (used.output, used.kind, used.paid) == ("Sort these: a bill", "prompt", 0)
        with pytest.raises(PatternRefused, match="needs a value for 'letters'"):
            await node.patterns.use(made.cid)
        assert await node.patterns.rate(made.cid, success=True) == mycelnode.PatternOutcomes(1, 1, 0)
        content = await node.patterns.get(made.cid)
        assert isinstance(content.pattern.solution, mycelnode.Prompt)
        assert content.pattern.solution.template == SORT["template"]
        assert "Sort these: {{letters}}" in content.text
        await node.patterns.forget(made.cid)
        assert (await node.patterns.list()).patterns == []
        patterns = node.patterns
    for late in (patterns.list, lambda: patterns.make(SORT)):
        with pytest.raises(ClosedError):
            await late()
    with pytest.raises(ClosedError):
        _ = node.patterns


async def test_only_what_was_shown_is_made_public(tmp_path: Path) -> None:
    path = tmp_path / "sort.md"
    path.write_text("---\ntitle: Sort\ndomain: home\n---\n\nSort these: {{letters}}\n")
    async with founder(tmp_path) as node:
        preview = await node.patterns.preview(path)
        assert preview.creator is None, "looking makes no key"
        path.write_text(path.read_text() + "My pin is 1234.\n")
        with pytest.raises(PatternRefused, match="has changed since it was shown"):
            await node.patterns.publish(path, digest=preview.digest)
        assert (await node.patterns.list(seen=True)).patterns == []
        preview = await node.patterns.preview(path)
        assert "My pin is 1234." in preview.text
        published = await node.patterns.publish(path, digest=preview.digest)
        assert "swarm.enabled is off" in published.told
        (info,) = (await node.patterns.list()).patterns
        assert (info.cid, info.published) == (published.cid, True)
        assert (await node.patterns.preview(path)).creator == info.creator


async def test_files_travel_to_a_stranger_who_can_then_block_their_creator(tmp_path: Path) -> None:
    files = {"scripts/sort.py": b"print('sorted')\n", "references/all.bin": bytes(1_000_000)}
    async with two_strangers(tmp_path) as (anna, ben):
        published = await anna.patterns.publish(SORT, files=files)
        seen: list[tuple[int, int]] = []
        content = await ben.patterns.get(published.cid, progress=lambda here, total: seen.append((here, total)))
        assert dict(content.files) == files
        assert seen, "a megabyte is on its way for some time"
        assert all(here <= total for here, total in seen if total)
        assert not content.kept
        assert (await ben.patterns.keep(published.cid)).kept
        car = tmp_path / "sort.car"
        assert await ben.patterns.export(published.cid, car, "car") == car.stat().st_size
        creator = content.pattern.creator.hex()
        await ben.patterns.block(creator)
        assert ben.patterns.blocked() == {creator}
        await ben.patterns.unblock(creator)
        assert ben.patterns.blocked() == frozenset()
        await ben.patterns.forget(published.cid)
        assert (await ben.patterns.import_car(car)).pattern.cid == published.cid
        with pytest.raises(ValueRefused, match="your own creator key"):
            await anna.patterns.block(creator)


Act = Callable[[mycelnode.Patterns, Path], Awaitable[object]]
WRONG: dict[str, tuple[Act, type[mycelnode.MycelError]]] = {
    "no CID": (lambda patterns, path: patterns.get("milk"), CidRefused),
    "the CID of a file": (lambda patterns, path: patterns.use(FILE), PatternRefused),
    "nobody has it": (lambda patterns, path: patterns.keep(NOWHERE), BlockUnavailable),
    "rated, and not known": (lambda patterns, path: patterns.rate(NOWHERE, success=True), BlockMissing),
    "six stars": (lambda patterns, path: _rated(patterns, 6), ValueRefused),
    "no star": (lambda patterns, path: _rated(patterns, 0), ValueRefused),
    "no key": (lambda patterns, path: patterns.block("milk"), ValueRefused),
    "no key to look for": (lambda patterns, path: patterns.search("a", creator="00"), ValueRefused),
    "more than a search gives": (lambda patterns, path: patterns.search("a", limit=101), ValueRefused),
    "a map without a title": (lambda patterns, path: patterns.make({"domain": "home"}), PatternFileRefused),
    "an object in a map": (lambda patterns, path: patterns.make({**SORT, "trigger": object()}), PatternRefused),
    "a set in a map": (lambda patterns, path: patterns.make({**SORT, "requires": {1}}), PatternRefused),
    "no such domain": (lambda patterns, path: patterns.search("a", domain="My Mail"), ValueRefused),
    "no such language": (lambda patterns, path: patterns.search("a", language="?"), ValueRefused),
    "no such kind": (lambda patterns, path: patterns.search("a", kind="song"), ValueRefused),
    "no such file": (lambda patterns, path: patterns.publish(path / "none.md"), PatternFileRefused),
    "a CAR to sign": (lambda patterns, path: patterns.make(path / "one.car"), PatternFileRefused),
    "no CAR": (lambda patterns, path: patterns.import_car(path / "none.car"), PatternFileRefused),
    "files beside a file": (lambda patterns, path: patterns.make(path, files={"a": b""}), ValueRefused),
    "a file outside": (lambda patterns, path: patterns.make(SORT, files={"../a": b""}), PatternRefused),
    "too many bytes": (
        lambda patterns, path: patterns.make(SORT, files={"a": bytes(MAX_TOTAL_BYTES + 1)}),
        PatternRefused,
    ),
}


async def _rated(patterns: mycelnode.Patterns, stars: int) -> object:
    (known,) = (await patterns.list()).patterns
    return await patterns.rate(known.cid, success=True, stars=stars)


async def test_what_is_wrong_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        await node.patterns.make({**SORT, "title": "Another"})
        before = await node.patterns.list(seen=True)
        for what, (act, error) in WRONG.items():
            with pytest.raises(error) as caught:
                await act(node.patterns, tmp_path)
            assert str(caught.value), what
            assert await node.patterns.list(seen=True) == before, what


async def test_who_was_blocked_and_is_no_more_is_found_again_at_once(tmp_path: Path) -> None:
    async with two_strangers(tmp_path) as (anna, ben):
        before = await anna.patterns.publish(SORT)
        await until(lambda: _titles(ben) == {"Sort the post"}, "ben hears of it")
        creator = (await ben.patterns.list(seen=True)).patterns[0].creator
        await ben.patterns.block(creator)
        swarm_of(ben).host.disconnect(swarm_of(anna).peer_id)  # who comes back is visited
        await until(lambda: _declined(ben) == 1, "ben is offered it again, and does not want it")
        after = await anna.patterns.publish({**SORT, "title": "Burn the post"})
        assert _titles(ben) == set()
        await ben.patterns.unblock(creator)
        await until(lambda: _titles(ben) == {"Sort the post", "Burn the post"}, "both are found again")
        assert {one.cid for one in (await ben.patterns.list(seen=True)).patterns} == {before.cid, after.cid}


def _titles(node: mycelnode.Node) -> set[str]:
    return {entry.title for entry in node.mesh.database.look(partial(library.listing, limit=10))}


def _declined(node: mycelnode.Node) -> int:
    assert node.collective.discoverer is not None
    return node.collective.discoverer.declined


async def test_what_was_shown_is_known_from_then_on_and_by_its_source(tmp_path: Path) -> None:
    async with two_strangers(tmp_path) as (anna, ben):
        made = await keeper_of(anna).make(draft(tmp_path), public=True)  # nobody is told
        cid = str(made.cid)
        assert (await ben.patterns.get(cid)).source == "swarm"
        assert (await ben.patterns.rate(cid, success=True)).uses == 1
        await ben.patterns.keep(cid)
        (known,) = (await ben.patterns.list()).patterns
        assert known.source == "swarm"
        assert keeper_of(ben).is_shown(made.cid), "what was public when it came may go on"


async def test_another_account_makes_another_pattern_of_the_same_file(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        before = await node.patterns.publish(SORT)
        assert (await node.patterns.publish(SORT)).cid == before.cid
        await ask(node, "config.set", key="near.account", value="alice.testnet")
        after = await node.patterns.publish(SORT)
        assert after.cid != before.cid
        assert (await node.patterns.get(after.cid)).near == "alice.testnet"
        assert (await node.patterns.publish(SORT)).cid == after.cid


async def test_files_that_are_named_and_not_here_are_refused(tmp_path: Path) -> None:
    """Else a pattern would be public for ever that nobody can have whole, its creator neither."""
    folder_cid = str(Cid.of(DAG_PB, b"nowhere"))
    async with founder(tmp_path) as node:
        for act in (node.patterns.make, node.patterns.publish):
            with pytest.raises(PatternRefused, match="not on this device"):
                await act({**SORT, "files": folder_cid})
        assert (await node.patterns.list(seen=True)).patterns == []
        made = await node.patterns.make({**SORT, "title": "With files"}, files={"a.txt": b"a"})
        content = await node.patterns.get(made.cid)
        again = await node.patterns.make({**SORT, "title": "With the same files", "files": str(content.pattern.files)})
        assert dict((await node.patterns.get(again.cid)).files) == {"a.txt": b"a"}


async def test_what_is_kept_stays_found_when_its_creator_puts_another_in_its_place(tmp_path: Path) -> None:
    async with two_strangers(tmp_path) as (anna, ben):
        first = await anna.patterns.publish(SORT)
        await ben.patterns.keep(first.cid)
        second = await anna.patterns.publish({**SORT, "price": "5 NEAR", "supersedes": first.cid, "version": 2})
        await until(lambda: second.cid in {str(cid) for cid in _cids(ben)}, "ben hears of it")
        found = {one.pattern.cid: one.pattern for one in (await ben.patterns.search("letters")).found}
        assert found.keys() == {first.cid, second.cid}
        assert (found[first.cid].later, found[second.cid].later) == (second.cid, None)


def _cids(node: mycelnode.Node) -> set[Cid]:
    return {entry.cid for entry in node.mesh.database.look(partial(library.listing, limit=10))}


async def test_a_long_list_says_that_there_is_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.collective.api.MAX_LISTED", 2)
    async with founder(tmp_path) as node:
        for title in ("One", "Two", "Three"):
            assert not (await node.patterns.list()).more
            await node.patterns.make({**SORT, "title": title})
        listing = await node.patterns.list()
        assert ([one.title for one in listing.patterns], listing.more) == (["Three", "Two"], True)


async def test_what_the_socket_is_asked_is_checked(tmp_path: Path) -> None:
    async with founder(tmp_path) as node:
        made = await node.patterns.make(SORT)
        for kind, fields in (
            ("pattern.rate", {"cid": made.cid}),
            ("pattern.import", {"path": "a\0b"}),
            ("pattern.import", {"path": "\ud800"}),
            ("pattern.export", {"cid": made.cid, "path": str(tmp_path / "x"), "format": "pdf"}),
            ("pattern.use", {"cid": made.cid, "variables": ["a"]}),
        ):
            with pytest.raises(ControlError):
                await ask(node, kind, **fields)
        assert (await node.patterns.list()).patterns[0].failures == 0
        status = node.status()["blocks"]
        assert 0 < status["bytes"] < status["quota"] == 10 << 30


async def test_a_node_without_blocks_says_so_to_whoever_asks(tmp_path: Path) -> None:
    data = folder(tmp_path, "laptop")
    await init_mesh(data, "laptop", clock=SkewedClock())
    data.blocks.write_text("this is no folder")
    async with running(data) as node:
        with pytest.raises(DataDirUnusable, match="patterns cannot be kept here"):
            _ = node.patterns
        with pytest.raises(DataDirUnusable, match="patterns cannot be kept here"):
            await ask(node, "pattern.search", query="letters")
        with pytest.raises((DataDirUnusable, ControlError)):
            await ask(node, "pattern.show", cid=NOWHERE)
        assert "failed" in node.status()["services"]["swarm"]["state"]
