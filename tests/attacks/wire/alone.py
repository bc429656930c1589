"""Keeps this process free of the code under attack, unless that is there already, as in a test that compares the two."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

FOREIGN = ("mycelnode", "mycel_simnet", "libp2p", "multiaddr", "noise", "trio")


class _Wall:
    """Finds nothing, and says so, for whatever an attacker must not use."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in FOREIGN:
            raise ImportError(f"an attacker shares no code with its victim: {name} is not to be imported here")
        return None


def shared() -> list[str]:
    """What of `FOREIGN` this process has imported all the same."""
    return sorted(set(FOREIGN) & {module.partition(".")[0] for module in sys.modules})


def stay_alone() -> None:
    """From now on importing any of `FOREIGN` fails; does nothing in a process that has imported them."""
    if not any(name in sys.modules for name in FOREIGN):
        sys.meta_path.insert(0, _Wall())
