"""The house rules that a program can check."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from mycelnode.schema import shipped_migrations
from tests.needs import need_program

ROOT = Path(__file__).parent.parent
MAX_MODULE_LINES = 600
INSTALLED = {".venv", "node_modules"}  # in benchmarks/: the peers
SOURCES = sorted(
    path
    for folder in ("mycelnode", "simnet", "tests", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if INSTALLED.isdisjoint(path.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES


def test_every_requirement_is_pinned_and_libp2p_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(
        line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[=<>~!\[; ]", item)[0].lower() for item in wanted}
    assert names <= pinned.keys()
    assert f"libp2p=={pinned['libp2p']}" in project["dependencies"]


def test_migrations_travel_with_the_package() -> None:
    numbers = [migration.number for migration in shipped_migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_make_says_honestly_what_is_not_there_yet(tmp_path: Path) -> None:
    make = need_program("make")
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for target in ("attacks", "crash", "soak", "bench"):
        done = subprocess.run(
            [make, "-s", target, "STAMP=Makefile"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
        )
        assert done.stdout == f"{target}: nothing here yet: comes with the next issue\n"


def test_a_missing_program_skips_for_a_user_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs the program 'no-such-program'"):
        need_program("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI must have it"):
        need_program("no-such-program")
    assert need_program("python3")
