"""The sequences of calls of the two contracts, with what came of them on the network's own machine.

``contracts/vm/recorded.json`` is what `cargo run -- calls` prints there of ``calls.json``; ``contracts/vm/src/story.rs`` says how a
step is read.
"""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

_CONTRACTS = Path(__file__).parents[3] / "contracts"
STORIES: dict[str, dict[str, Any]] = json.loads((_CONTRACTS / "vm/calls.json").read_text())
RECORDED: dict[str, dict[str, Any]] = json.loads((_CONTRACTS / "vm/recorded.json").read_text())


@cache
def code_of(name: str) -> bytes:
    """The wasm that a sequence names: one of today, or one of state version 1, which ends with ``-1``."""
    folder = _CONTRACTS / ("vm/tests/before" if name.endswith("-1") else "res")
    return (folder / name).with_suffix(".wasm").read_bytes()


def args_of(step: dict[str, Any]) -> bytes:
    """What a step calls its method with."""
    if "code" in step:
        return code_of(step["code"])
    args = {"code_hash": sha256(code_of(step["code_hash_of"])).hexdigest()} if "code_hash_of" in step else step["args"]
    return json.dumps(args, separators=(",", ":")).encode()
