"""Real file systems in trouble, for tests: tiny ones and read-only ones, as root by mounting a tmpfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import missing, need_program


def _need_mount() -> None:
    """Root outside of a tight container."""
    if os.geteuid() != 0:
        missing("needs root, to mount a file system")
    trial = [need_program("unshare"), "--mount", need_program("mount"), "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(trial, capture_output=True, check=False).returncode != 0:
        missing("may not mount a file system here")


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A file system of ``kib`` KiB at ``folder``."""
    _need_mount()
    folder.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """``folder`` as it is, but not writable: by its mode, which root ignores, so for root by a read-only bind mount."""
    if os.geteuid() == 0:
        _need_mount()
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    else:
        mode = folder.stat().st_mode
        folder.chmod(0o500)
        try:
            yield folder
        finally:
            folder.chmod(mode)
