"""A real Ollama on loopback, with a tiny model that is made here."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.peers.gguf import write_bert
from tests.peers.install import Missing, ollama_program

START_SECONDS = 60.0
STOP_SECONDS = 10.0
EMBEDDER = "tiny-embed"


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its URL, with the model `EMBEDDER` in it; all that it writes lies in ``folder``. Raises `Missing`."""
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
    raise Missing(f"Ollama did not start:\n{log.read_text(errors='replace')[-2000:]}")
