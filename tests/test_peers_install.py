"""The installer of real peers says what is missing, leaves nothing half built, and does nothing twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.peers import install

PROGRAMS = {
    "go": '[ "$1" = env ] && echo ${GO_SAYS:-go1.26.8} && exit; echo $* >> "$HOME/ran"; touch "$6"',
    "npm": 'echo $* >> "$HOME/ran"; mkdir node_modules',
    "g++": "",
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with no programs but a shell's, and a cache of its own; the programs of a test lie in ``bin``."""
    (tmp_path / "bin").mkdir()
    for name in ("sh", "touch", "mkdir"):
        (tmp_path / "bin" / name).symlink_to(
            next(p for p in (Path("/bin") / name, Path("/usr/bin") / name) if p.exists())
        )
    for header, _ in install.OLLAMA_HEADERS:
        (tmp_path / "include" / header).parent.mkdir(parents=True)
        (tmp_path / "include" / header).touch()
    monkeypatch.setenv("CPATH", str(tmp_path / "include"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MYCEL_PEERS_DIR", str(tmp_path / "peers"))
    return tmp_path


def put(machine: Path, name: str, script: str) -> None:
    program = machine / "bin" / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_without_go_and_npm_it_says_how_to_get_them(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install.main() == 1
    said = capsys.readouterr().err
    assert "no kubo: Kubo is built with Go, which is not here: install Go 1.25 or newer" in said
    assert "no helia: Helia comes from npm, which is not here: install Node.js with npm" in said
    assert "no near-api-js: near-api-js comes from npm" in said
    assert "no ollama: Ollama is built with go, which is not here: install Go 1.24 or newer" in said
    assert os.listdir(machine / "peers") == []
    for there in (
        install.kubo_program,
        install.helia_folder,
        install.near_api_js_folder,
        install.ollama_program,
        install.node_program,
    ):
        with pytest.raises(install.Missing, match=r"`python -m tests\.peers\.install` does it"):
            there()


def test_an_old_go_is_not_tried(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(machine, "go", PROGRAMS["go"])
    monkeypatch.setenv("GO_SAYS", "go1.19.8")
    assert install.main() == 1
    assert "Kubo needs Go 1.25 or newer, and this is 1.19" in capsys.readouterr().err
    assert not (machine / "ran").exists()


def test_a_build_that_fails_leaves_nothing(machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    put(machine, "go", '[ "$1" = env ] && echo go1.26.8 && exit; touch "$6"; echo such a fault >&2; exit 1')
    put(machine, "npm", PROGRAMS["npm"])
    assert install.main() == 1
    assert "no kubo: `" in (said := capfd.readouterr().err)
    assert "such a fault" in said
    with pytest.raises(install.Missing):
        install.kubo_program()
    assert install.helia_folder().parent == machine / "peers"
    assert len(os.listdir(machine / "peers")) == 2, "those from npm"


def test_a_second_time_it_does_nothing(machine: Path) -> None:
    for name, script in PROGRAMS.items():
        put(machine, name, script)
    assert install.main() == 0
    first = (machine / "ran").read_text()
    assert first.count("\n") == 4
    assert install.kubo_program().exists()
    assert install.ollama_program().exists()
    assert install.main() == 0
    assert (machine / "ran").read_text() == first


def test_a_new_node_of_the_machine_is_used_and_an_old_one_not(machine: Path) -> None:
    put(machine, "node", "echo v22.1.0")
    assert install.node_program() == machine / "bin" / "node"
    put(machine, "node", "echo v20.20.2")
    with pytest.raises(install.Missing):
        install.node_program()
