"""Where the peers live: a Python environment and npm packages of their own, both beside this file and outside of Git.

``python -m benchmarks.install`` puts them there, pinned by requirements.txt and package-lock.json. Without npm, hypercore
is left out. ``python -m benchmarks.install privacy`` also puts there what privacy.txt pins, which is large.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".venv"
STAMP = ENVIRONMENT / "requirements.txt"  # as installed
NODE_MODULES = HERE / "node_modules"
PRIVACY = "privacy"
HYPERCORE = NODE_MODULES / "hypercore"


class Missing(Exception):
    """A peer is not there; the text says why, and what would change it."""


def python(part: str | None = None) -> str:
    """The interpreter that has the peers, and also those of a ``part``. Raises `Missing`."""
    found = ENVIRONMENT / "bin" / "python"
    if not found.exists():
        raise Missing("the Python peers are not installed; `make bench` does it")
    if part and not (ENVIRONMENT / f"{part}.txt").exists():
        raise Missing(f"its peers are large and not installed; `python -m benchmarks.install {part}` does it")
    return str(found)


def node() -> str:
    """The program that runs hypercore."""
    found = shutil.which("node")
    if found is None:
        raise Missing("there is no node (Node.js 20 or newer with npm), which hypercore needs")
    if not HYPERCORE.exists():
        raise Missing("hypercore is not installed; `make bench` does it where npm is there")
    return found


def main(parts: Sequence[str] = ()) -> None:
    """Install what is missing or was changed, and those ``parts`` that are asked for."""
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = (HERE / "requirements.txt").read_text()
    if not STAMP.exists() or STAMP.read_text() != wanted:
        print("benchmarks: installing the Python peers", file=sys.stderr)
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        subprocess.run([*pip, "-r", str(HERE / "requirements.txt")], check=True)
        STAMP.write_text(wanted)
    for part in parts:
        stamp, wanted = ENVIRONMENT / f"{part}.txt", (HERE / f"{part}.txt").read_text()
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"benchmarks: installing the peers in {part}", file=sys.stderr)
            subprocess.run([*pip, "-r", str(HERE / f"{part}.txt")], check=True)
            stamp.write_text(wanted)
    npm = shutil.which("npm")
    if npm is None:
        print("benchmarks: there is no npm: hypercore is left out", file=sys.stderr)
        return
    lock, installed = HERE / "package-lock.json", NODE_MODULES / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        print("benchmarks: installing hypercore", file=sys.stderr)
        subprocess.run([npm, "ci", "--silent", "--no-fund", "--no-audit"], cwd=HERE, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
