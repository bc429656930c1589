"""The public API: complete, typed, documented with examples, and cheap to import (as trio tests its own)."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import mycelnode

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
PUBLIC = [name for name in mycelnode.__all__ if name != "__version__"]


def members(cls: type) -> list[tuple[str, object]]:
    """Public methods and properties that our own classes define."""
    own = [c for c in cls.__mro__ if c.__module__.startswith("mycelnode")]
    return [(name, item) for c in own for name, item in vars(c).items() if not name.startswith("_")]


def test_every_name_can_be_imported_and_says_where_it_lives() -> None:
    for name in PUBLIC:
        assert getattr(mycelnode, name).__module__.startswith("mycelnode."), name
    assert sorted(mycelnode.__all__) == mycelnode.__all__
    assert dir(mycelnode) == sorted(mycelnode.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mycelnode.nothing  # type: ignore[attr-defined]


def test_the_list_is_what_type_checkers_see() -> None:
    tree = ast.parse(Path(mycelnode.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    lines = [line for line in block.body if isinstance(line, ast.ImportFrom)]
    assert {alias.name: line.module for line in lines for alias in line.names} == mycelnode._HOMES
    assert set(mycelnode._HOMES) == set(PUBLIC)


def test_what_users_can_get_hold_of_is_public() -> None:
    """Classes of ours that a public function returns or takes are in the list too."""
    reachable: set[type] = set()

    def visit(hint: object) -> None:
        if isinstance(hint, type) and hint.__module__.startswith("mycelnode."):
            reachable.add(hint)
        for inner in typing.get_args(hint):
            visit(inner)

    for name in PUBLIC:
        item = getattr(mycelnode, name)
        functions = [item] if inspect.isfunction(item) else [f for _, f in members(item) if inspect.isfunction(f)]
        for function in functions:
            hints = typing.get_type_hints(inspect.unwrap(function), vars(sys.modules[function.__module__]))
            for hint in hints.values():
                visit(hint)
    public = {getattr(mycelnode, name) for name in PUBLIC}
    inside = {
        "Mesh",
        "Host",
        "Replica",
    }  # constructor arguments: users get these objects from functions, never build them
    assert {c.__name__ for c in reachable - public} <= inside


@pytest.mark.parametrize("name", PUBLIC)
def test_it_is_documented_and_typed(name: str) -> None:
    item = getattr(mycelnode, name)
    assert inspect.getdoc(item), name
    if inspect.isfunction(item):
        assert ">>>" in (item.__doc__ or ""), f"{name} has no example"
        assert set(inspect.signature(item).parameters) | {"return"} == set(item.__annotations__)
        return
    assert ">>>" in (item.__doc__ or "") or issubclass(item, Exception), f"{name} has no example"
    for method, function in members(item):
        if inspect.isfunction(function):
            wanted = set(inspect.signature(function).parameters) - {"self", "cls"} | {"return"}
            assert wanted <= set(function.__annotations__), f"{name}.{method} is not typed"
        if inspect.isfunction(function) or isinstance(function, property):
            assert inspect.getdoc(function), f"{name}.{method} has no docstring"


def test_importing_it_costs_nothing() -> None:
    heavy = "{'trio', 'libp2p', 'numpy', 'sqlite3', 'nacl', 'cbor2'}"
    code = f"import sys, mycelnode; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


EXPECTED = {
    "counter": ["one 200", "two 200"],
    "patterns_of_mine": [
        "Sort these letters into piles, and say what to do with each pile: a bill, a card",
        "PatternOutcomes(uses=1, successes=1, failures=0, queued='')",
    ],
    "notes": [f"{name} {{'call': 'the dentist', 'shopping': 'milk'}}" for name in ("laptop", "phone")],
    "presence": [f"desk sees: tablet is {state}" for state in ("awake", "writing", "asleep")],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_do_what_they_say(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == EXPECTED[path.stem]
