"""What people give to make a pattern of or to name one, what that names, and what a pattern gives when it is used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import trio

from mycelnode.errors import PatternFileRefused, PatternRefused, ValueRefused
from mycelnode.identity import KEY_BYTES
from mycelnode.patterns.cid import DAG_CBOR, Cid
from mycelnode.patterns.files import Draft, read_file
from mycelnode.patterns.files.draft import read_said
from mycelnode.patterns.files.folder import check_files
from mycelnode.patterns.files.skill import MAIN
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.solutions import Adapter, Code, Prompt, Workflow

Source = str | os.PathLike[str] | Mapping[str, object]


async def read(source: Source, files: Mapping[str, bytes] | None) -> Draft:
    """The draft of a file, a folder, or a map. Raises `PatternRefused`, `PatternFileRefused`, `ValueRefused`."""
    if isinstance(source, Mapping):
        check_files(files or {}, MAIN)
        return await trio.to_thread.run_sync(read_said, source, files)
    path = Path(source)
    if files:
        raise ValueRefused("the files that travel with a pattern are given with a map, or lie in a skill's folder")
    if path.suffix.lower() == ".car":
        raise PatternFileRefused(
            f"{path}: a CAR holds a pattern that is signed already: `mycelnode pattern import` keeps it"
        )
    return await trio.to_thread.run_sync(read_file, path)


def named(draft: Draft) -> list[Cid]:
    """Other patterns that this one names: as a step, as what it comes of, as what it replaces."""
    steps = draft.said["solution"].get("steps", ()) if draft.kind == Workflow.kind else ()
    cids = [step.get("pattern") for step in steps]
    cids += [*draft.said.get("derived_from", ()), draft.said.get("supersedes")]
    return list(dict.fromkeys(cid for cid in cids if cid is not None))


def output(pattern: Pattern, variables: Mapping[str, str]) -> str:
    """The template filled in, the code, the steps, or the CID of the model. Raises `PatternRefused`."""
    match pattern.solution:
        case Prompt() as prompt:
            return prompt.fill(variables)
        case Code() as code:
            return code.code
        case Adapter() as adapter:
            return f"{adapter.adapter_cid}"
        case Workflow() as workflow:
            steps = (f"{step.instruction}{f' ({step.pattern})' if step.pattern else ''}" for step in workflow.steps)
            return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def cid(text: str) -> Cid:
    """Of a pattern. Raises `CidRefused`, `PatternRefused`."""
    named = Cid.parse(text)
    if named.codec != DAG_CBOR:
        raise PatternRefused(f"{named} names no pattern: the CID of one begins with bafyrei")
    return named


def key(text: str) -> bytes:
    """Of a creator."""
    found = b""
    with suppress(ValueError):
        found = bytes.fromhex(text)
    if len(found) != KEY_BYTES:
        raise ValueRefused(f"a creator's key has {2 * KEY_BYTES} hexadecimal digits, as `pattern show` prints it")
    return found
