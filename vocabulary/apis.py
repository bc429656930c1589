"""Names that Python itself and its standard library have: public, so they may stay in code. Frozen, as Pythons differ in them."""

from __future__ import annotations

import builtins
import keyword
import sys
import warnings
from importlib import import_module

OMITTED = {
    "antigravity",
    "this",
    "idlelib",
    "turtledemo",
    "lib2to3",
}  # they do something when they are imported, or are programs


def python_names() -> set[str]:
    """Keywords, builtins, modules of the standard library, and the public names and methods in them."""
    found = {*keyword.kwlist, *keyword.softkwlist, *sys.stdlib_module_names}
    for name in sorted(sys.stdlib_module_names - OMITTED):
        if not name.startswith("_"):
            found |= _of_module(name)
    for kind in vars(builtins).values():
        found |= set(dir(kind))
    return {name for name in found | set(dir(builtins)) if name.isascii() and _is_public(name)}


def _is_public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _of_module(name: str) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = import_module(name)
        except Exception:  # of another platform
            return set()
        found = set(getattr(module, "__all__", ()) or dir(module))
        for public in list(found):
            value = getattr(module, public, None)
            if isinstance(value, type):
                found |= set(dir(value))
    return found
