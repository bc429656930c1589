"""The examples in the docstrings of the package do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from mycelnode import crdt

MODULES = ["mycelnode.crdt", *(f"mycelnode.crdt.{module.name}" for module in pkgutil.iter_modules(crdt.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) > 20
