"""mycelnode: your devices as one. A private mesh that keeps one shared state, offline-first, over libp2p.

>>> import mycelnode
>>> async with mycelnode.open_node("~/notes") as node:
...     await node.map("notes").put("shopping", "milk")

Everything public is listed in ``__all__`` and imported when it is first used, so that ``import mycelnode`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mycelnode.api import init, join, open_node
    from mycelnode.collective.answers import (
        FoundPattern,
        ImportedPattern,
        PatternContent,
        PatternInfo,
        PatternListing,
        PatternOutcomes,
        PatternPreview,
        PatternQuote,
        PatternRegistering,
        PatternSearch,
        PublishedPattern,
        RegisteredPattern,
        RetiredPattern,
        UsedPattern,
    )
    from mycelnode.collective.api import Patterns
    from mycelnode.crdt.document import Change
    from mycelnode.errors import MycelError
    from mycelnode.joining import Initialised, JoinedMesh
    from mycelnode.node import Device, Node, Synced
    from mycelnode.patterns.pattern import Pattern
    from mycelnode.patterns.solutions import Adapter, Code, Prompt, Workflow
    from mycelnode.protocols.pairing import Invite, Joined
    from mycelnode.shared import Changes, SharedCounter, SharedLog, SharedMap, SharedRegister, SharedSet, SharedVersions

__version__ = "0.1.0"

_HOMES = {
    "Adapter": "mycelnode.patterns.solutions",
    "Change": "mycelnode.crdt.document",
    "Changes": "mycelnode.shared",
    "Code": "mycelnode.patterns.solutions",
    "Device": "mycelnode.node",
    "FoundPattern": "mycelnode.collective.answers",
    "ImportedPattern": "mycelnode.collective.answers",
    "Initialised": "mycelnode.joining",
    "Invite": "mycelnode.protocols.pairing",
    "Joined": "mycelnode.protocols.pairing",
    "JoinedMesh": "mycelnode.joining",
    "MycelError": "mycelnode.errors",
    "Node": "mycelnode.node",
    "Pattern": "mycelnode.patterns.pattern",
    "PatternContent": "mycelnode.collective.answers",
    "PatternInfo": "mycelnode.collective.answers",
    "PatternListing": "mycelnode.collective.answers",
    "PatternOutcomes": "mycelnode.collective.answers",
    "PatternPreview": "mycelnode.collective.answers",
    "PatternQuote": "mycelnode.collective.answers",
    "PatternRegistering": "mycelnode.collective.answers",
    "PatternSearch": "mycelnode.collective.answers",
    "Patterns": "mycelnode.collective.api",
    "Prompt": "mycelnode.patterns.solutions",
    "PublishedPattern": "mycelnode.collective.answers",
    "RegisteredPattern": "mycelnode.collective.answers",
    "RetiredPattern": "mycelnode.collective.answers",
    "SharedCounter": "mycelnode.shared",
    "SharedLog": "mycelnode.shared",
    "SharedMap": "mycelnode.shared",
    "SharedRegister": "mycelnode.shared",
    "SharedSet": "mycelnode.shared",
    "SharedVersions": "mycelnode.shared",
    "Synced": "mycelnode.node",
    "UsedPattern": "mycelnode.collective.answers",
    "Workflow": "mycelnode.patterns.solutions",
    "init": "mycelnode.api",
    "join": "mycelnode.api",
    "open_node": "mycelnode.api",
}

__all__ = [
    "Adapter",
    "Change",
    "Changes",
    "Code",
    "Device",
    "FoundPattern",
    "ImportedPattern",
    "Initialised",
    "Invite",
    "Joined",
    "JoinedMesh",
    "MycelError",
    "Node",
    "Pattern",
    "PatternContent",
    "PatternInfo",
    "PatternListing",
    "PatternOutcomes",
    "PatternPreview",
    "PatternQuote",
    "PatternRegistering",
    "PatternSearch",
    "Patterns",
    "Prompt",
    "PublishedPattern",
    "RegisteredPattern",
    "RetiredPattern",
    "SharedCounter",
    "SharedLog",
    "SharedMap",
    "SharedRegister",
    "SharedSet",
    "SharedVersions",
    "Synced",
    "UsedPattern",
    "Workflow",
    "__version__",
    "init",
    "join",
    "open_node",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mycelnode' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
