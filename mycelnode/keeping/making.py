"""Making a pattern of a draft: signed, in the store and pinned; once, however often the same draft comes.

Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from mycelnode.creator import Creator
from mycelnode.errors import BlockMissing, BlockRefused, PatternRefused
from mycelnode.patterns import stored
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import Draft
from mycelnode.patterns.folders import write_folder
from mycelnode.patterns.manifest import Manifest, Privacy


def sign(
    store: Blockstore, draft: Draft, key: Creator, now: int, near: str | None, privacy: Privacy | None = None
) -> Manifest:
    """All blocks are in the store, pinned and durable, when this returns. ``now`` is in Unix ms, ``near`` the account that is paid,
    ``privacy`` what was promised about it.

    Raises `PatternRefused`, `StoreFull`; then nothing is pinned.
    """
    named = draft.said.get("files")
    if named is not None and not draft.files:
        check_files_here(store, named)
    with store.adding() as adding:
        files = write_folder(draft.files, adding.put).cid if draft.files else None
        made = Manifest.sign(
            draft.pattern(key.public, now, files), key.sign, privacy=privacy, near=near, succeeds=key.succeeds
        )
        adding.put(made.cid, made.block)
        store.pin(made.cid)
    return made


def check_files_here(store: Blockstore, root: Cid) -> None:
    """Refuse a draft that names files which nobody could have of us. Raises `PatternRefused`."""
    try:
        stored.read_folder_files(store, [root])
    except BlockMissing as error:
        raise PatternRefused(
            f"'files' names {root}, which is not on this device: give the files themselves, in the folder of a skill"
        ) from error
    except BlockRefused as error:
        raise PatternRefused(f"'files' names {root}, which cannot travel with a pattern: {error}") from error


def find_same(
    store: Blockstore, draft: Draft, among: Iterable[Cid], near: str | None, privacy: Privacy | None = None
) -> Manifest | None:
    """The first that says what ``draft`` says, with the same files and account, and promises the same."""
    for cid in among:
        with suppress(BlockMissing, BlockRefused, PatternRefused):
            made = stored.load(store, cid)
            if (made.near, made.privacy) != (near, privacy or Privacy()) or _without_files(
                Draft.of(made.pattern)
            ) != _without_files(draft):
                continue
            files = {} if "files" in draft.said else stored.read_files(store, made)
            if Draft.of(made.pattern, files) == draft:
                return made
    return None


def _without_files(draft: Draft) -> dict[str, object]:
    return {name: value for name, value in draft.said.items() if name != "files"}
