"""Patterns in and out of CARs, as files on the disk; blocking, for a thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mycelnode.errors import BlockMissing, BlockRefused, CarRefused, PatternFileRefused
from mycelnode.keeping import Keeper
from mycelnode.patterns.car import export_car, import_car
from mycelnode.patterns.cid import Cid


def write_car(keeper: Keeper, path: Path, roots: Sequence[Cid]) -> int:
    """To a new file, or nothing; returns its size. Raises `PatternFileRefused`, `BlockMissing`, `BlockRefused`."""
    try:
        with path.open("xb") as file:
            try:
                export_car(keeper.store, roots, file, partial=True)
                return file.tell()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise PatternFileRefused(f"{path}: something of this name is there already: choose another") from None
    except OSError as error:
        raise PatternFileRefused(f"{path}: {error.strerror or error}") from error


def read_car(keeper: Keeper, path: Path) -> list[Cid]:
    """Its roots, with its blocks pinned in the store, a pattern of which all is here as the first; or nothing.

    Raises `CarRefused`, `PatternFileRefused`, `PatternRefused`, `StoreFull`.
    """

    def check(roots: Sequence[Cid]) -> None:
        try:
            keeper.load_whole(roots[0])
        except BlockMissing as error:
            raise CarRefused(f"{path} has not all files of the pattern {roots[0]}: {error}") from error
        except BlockRefused as error:
            raise CarRefused(f"{path} has files with the pattern {roots[0]} that cannot be taken: {error}") from error

    try:
        with path.open("rb") as file:
            return import_car(file, keeper.store, check=check)
    except OSError as error:
        raise PatternFileRefused(f"{path}: {error.strerror or error}") from error


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
