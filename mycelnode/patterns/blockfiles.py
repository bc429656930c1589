"""The files of a store of blocks: each named by its CID, and complete before it has that name.

blocks/ab/<CID>   a block; two characters of the CID choose its folder, and the file's time is when it was last used
writing/          what is not complete yet; emptied when the store is opened
damaged/          what the disk changed
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from mycelnode.paths import PRIVATE_FILE, PRIVATE_FOLDER, make_private_folder, sync_folder, unusable
from mycelnode.patterns.cid import TEXT_CHARS
from mycelnode.patterns.dag import MAX_BLOCK

DISK_UNIT: Final = 4096  # bytes; what a file takes of most disks is a multiple of this
MAX_DAMAGED: Final = 100  # files that are set aside; later ones are removed


def cost(size: int) -> int:
    """What a block of that size takes of the disk, and of the quota."""
    return max(-(-size // DISK_UNIT), 1) * DISK_UNIT


class BlockReader:
    """Reads the files in ``folder``, also beside the process that has the store open. Raises `DataDirUnusable`."""

    def __init__(self, folder: Path) -> None:
        self._blocks = os.fspath(folder / "blocks")

    def path(self, name: str) -> str:
        """Where the block of that name is, if it is here."""
        return f"{self._blocks}/{name[-3:-1]}/{name}"  # the last character has three bits only

    def has(self, name: str) -> bool:
        """Is there such a file?"""
        return os.path.exists(self.path(name))

    def look(self, name: str) -> tuple[int, int] | None:
        """The size of a file in bytes, and when it was last used; None if it is not here."""
        try:
            info = os.stat(self.path(name))
        except FileNotFoundError:
            return None
        return info.st_size, info.st_mtime_ns

    def read(self, name: str) -> tuple[bytes, int] | None:
        """What is in a file, as far as a block goes, and when it was last used; None if it is not here."""
        path = self.path(name)
        try:
            with open(path, "rb", buffering=0) as file:
                info = os.fstat(file.fileno())
                return file.read(min(info.st_size, MAX_BLOCK + 1)), info.st_mtime_ns
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(Path(path), "read", error) from error


class BlockFiles(BlockReader):
    """Files in ``folder``, which is made if it is not there. Times are in ns. Raises `DataDirUnusable`, `DiskFull`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._writing, self._damaged = folder / "writing", folder / "damaged"
        for part in (folder, folder / "blocks", self._writing, self._damaged):
            make_private_folder(part)
        self._numbers = count()
        try:
            for left in self._writing.iterdir():
                left.unlink()
        except OSError as error:
            raise unusable(self._writing, "emptied", error) from error

    def touch(self, name: str, now_ns: int) -> None:
        """Note a use."""
        with suppress(FileNotFoundError):  # collected meanwhile
            os.utime(self.path(name), ns=(now_ns, now_ns))

    def write(self, name: str, block: bytes, now_ns: int) -> None:
        """Write a block that is not here. It is not durable yet."""
        path = self.path(name)
        temporary = self._writing / str(next(self._numbers))
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
            try:
                with open(handle, "wb", buffering=0) as file:
                    left = memoryview(block)
                    while left:
                        left = left[file.write(left) :]
                    os.utime(handle, ns=(now_ns, now_ns))
                try:
                    os.rename(temporary, path)
                except FileNotFoundError:
                    os.mkdir(os.path.dirname(path), PRIVATE_FOLDER)
                    os.rename(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise unusable(Path(path), "written", error) from error

    def remove(self, name: str, *, damaged: bool = False) -> int:
        """Remove a file, or set it aside if it is ``damaged``. Returns what it took of the disk; 0 if it is not here."""
        path = self.path(name)
        try:
            size = os.stat(path).st_size
            if damaged and len(kept := os.listdir(self._damaged)) < MAX_DAMAGED:
                os.rename(path, self._damaged / f"{name}-{len(kept)}")
            else:
                os.unlink(path)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise unusable(Path(path), "removed", error) from error
        return cost(size)

    def scan(self) -> Iterator[tuple[int, int, str]]:
        """Of each block: when it was last used, what it takes of the disk, and its name."""
        try:
            with os.scandir(self._blocks) as folders:
                for folder in folders:
                    if not folder.is_dir(follow_symlinks=False):
                        continue
                    with os.scandir(folder) as files:
                        for file in files:
                            if len(file.name) != TEXT_CHARS:
                                continue  # a file manager's
                            info = file.stat(follow_symlinks=False)
                            yield info.st_mtime_ns, cost(info.st_size), file.name
        except OSError as error:
            raise unusable(Path(self._blocks), "read", error) from error

    def names(self) -> set[str]:
        """Of all blocks; they are not looked at."""
        try:
            return {name for part in os.scandir(self._blocks) if part.is_dir() for name in os.listdir(part.path)}
        except OSError as error:
            raise unusable(Path(self._blocks), "read", error) from error

    def sync(self, names: Iterable[str]) -> None:
        """Make blocks durable, those that are here."""
        folders = set()
        try:
            for name in names:
                path = self.path(name)
                with suppress(FileNotFoundError):
                    handle = os.open(path, os.O_RDONLY)
                    try:
                        os.fsync(handle)
                    finally:
                        os.close(handle)
                    folders.add(Path(path).parent)
            for folder in folders:
                sync_folder(folder)
            if folders:
                sync_folder(Path(self._blocks))
        except OSError as error:
            raise unusable(Path(self._blocks), "written", error) from error
