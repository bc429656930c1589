"""Patterns as files that people write, and what a device holds of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mycelnode.control import ControlClient
from mycelnode.errors import NodeNotRunning
from mycelnode.paths import DataDir
from tests.cli.conftest import Program

MAIL = """---
title: Summarise a mail
domain: mail
trigger: A mail is longer than a screen.
variables:
  - name: points
    description: how many points
    default: "3"
---

Summarise this mail in {{points}} points:

{{mail}}
"""
DISK = """---
title: Find what fills a disk
domain: shell
kind: code
language: de
price: 0.5 NEAR
---

```bash
touch was-run; find . -type f -size +100M
```
"""
REPORT = """---
title: Weekly report
domain: office
kind: workflow
---

1. Collect the mails of the week.
   Leave out newsletters.
2. Summarise each.
   pattern: {cid}
"""
ADAPTER = """{
  "title": "German doctors' letters", "domain": "medicine", "kind": "adapter", "base_model": "llama3.2:1b",
  "adapter_cid": "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
  "adapter_hash": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
}
"""
SKILL = """---
name: where-is-my-order
description: Answers where an order is. Use it when a customer asks for one.
metadata:
  mycel-domain: support
---

Run `scripts/eta.py` for the day of arrival.
"""


def write(folder: Path, name: str, text: str) -> str:
    """A file with that text; its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def skill(folder: Path, files: dict[str, bytes]) -> Path:
    """The folder of a skill, with files beside it."""
    root = folder / "where-is-my-order"
    for name, data in {"SKILL.md": SKILL.encode(), **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def contents(folder: Path) -> dict[str, str]:
    """What is in a folder: paths, and hashes of what stands there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def held(program: Program) -> tuple[dict[str, str], Any]:
    """All blocks and pins on the disk, and all that the index knows."""
    blocks = program.folder / "blocks"
    try:
        with ControlClient(DataDir(program.folder)) as client:
            return contents(blocks), client.call("pattern.list", seen=True)
    except NodeNotRunning:
        return contents(blocks), program("pattern", "list", "--seen", "--json").json
