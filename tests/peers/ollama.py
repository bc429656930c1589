"""A real Ollama on loopback: built from its Go module, and started with a tiny model that is made here.

It needs Go, a C++ compiler, and the headers of nlohmann-json3-dev and libstb-dev (Debian's names). ``python -m tests.peers.ollama``
builds it into a cache folder (``MYCEL_PEERS_DIR``), named by a checksum of what pins it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.peers.gguf import write_bert

PINS = Path(__file__).parent / "ollama_go"
PACKAGE = "github.com/ollama/ollama"
BUILD_SECONDS = 1800.0
START_SECONDS = 60.0
STOP_SECONDS = 10.0
EMBEDDER = "tiny-embed"


class OllamaMissing(Exception):
    """Ollama is not there; the text says why, and what would change it."""


def ollama_folder() -> Path:
    """Where the program is kept, or is to be."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = Path(os.environ.get("MYCEL_PEERS_DIR") or Path(cache) / "mycelnode-peers")
    pinned = sorted(path for path in PINS.rglob("*") if path.is_file())
    checksum = hashlib.sha256(b"".join(path.read_bytes() for path in pinned))
    return base / f"ollama-{checksum.hexdigest()[:16]}"


def ollama_program() -> Path:
    """The program. Raises `OllamaMissing`."""
    path = ollama_folder() / "ollama"
    if not path.exists():
        raise OllamaMissing("Ollama is not installed; `python -m tests.peers.ollama` builds it, as does `make peers`")
    return path


def install_ollama(folder: Path) -> None:
    """Build ``folder/ollama``: about 3 minutes on 2 cores. Raises `OllamaMissing`."""
    for program, advice in (("go", "install Go 1.24 or newer (https://go.dev/dl)"), ("g++", "install a C++ compiler")):
        if shutil.which(program) is None:
            raise OllamaMissing(f"Ollama is built with {program}, which is not here: {advice}")
    places = [
        Path(place)
        for place in (*os.environ.get("CPATH", "").split(":"), "/usr/include", "/usr/local/include")
        if place
    ]
    for header, package in (("nlohmann/json.hpp", "nlohmann-json3-dev"), ("stb/stb_image.h", "libstb-dev")):
        if not any((place / header).exists() for place in places):
            raise OllamaMissing(f"Ollama is built with {header}, which is not here: apt-get install {package}")
    flags = f"-I{PINS / 'include'}"
    environ = {**os.environ, "CGO_ENABLED": "1", "CGO_CPPFLAGS": flags, "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(folder / "ollama"), PACKAGE]
    if subprocess.run(command, cwd=PINS, env=environ, check=False, timeout=BUILD_SECONDS).returncode:
        raise OllamaMissing("`go build` of Ollama failed; its message stands above")


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its URL, with the model `EMBEDDER` in it; all that it writes lies in ``folder``. Raises `OllamaMissing`."""
    program = ollama_program()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "OLLAMA_HOST": address,
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NUM_PARALLEL": "1",
        "OLLAMA_LLM_LIBRARY": "cpu",
        "CUDA_VISIBLE_DEVICES": "-1",
        "NO_PROXY": "127.0.0.1",
    }
    (folder / "home").mkdir(parents=True)
    write_bert(folder / "tiny-bert.gguf")
    (folder / "Modelfile").write_text("FROM ./tiny-bert.gguf\nPARAMETER num_thread 1\n")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "serve"], cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        _wait(process, f"http://{address}/api/version", folder / "log")
        subprocess.run(
            [program, "create", EMBEDDER, "-f", "Modelfile"],
            cwd=folder, env=environ, check=True, capture_output=True, timeout=START_SECONDS,
        )  # fmt: skip
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(url, trust_env=False, timeout=1.0).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)  # between looks at another program; nothing tells when it is ready
        else:
            return
    raise OllamaMissing(f"Ollama did not start:\n{log.read_text(errors='replace')[-2000:]}")


def main() -> int:
    """Build it, unless it is there: beside its place first, so that what is there is whole."""
    folder = ollama_folder()
    if folder.exists():
        return 0
    start = time.monotonic()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ollama-", dir=folder.parent) as work:
        made = Path(work) / "made"
        made.mkdir()
        try:
            install_ollama(made)
        except OllamaMissing as reason:
            print(f"peers: no Ollama: {reason}", file=sys.stderr)
            return 1
        made.rename(folder)
    print(f"peers: Ollama took {time.monotonic() - start:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
