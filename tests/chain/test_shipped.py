"""The contracts' code is what its checksum says, and is in the wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mycelnode.chain.shipped import MAX_BYTES, NAMES, shipped
from mycelnode.errors import Unsupported

ROOT = Path(__file__).parents[2]
RES = ROOT / "contracts" / "res"


def test_it_is_that_of_the_checkout() -> None:
    for name in NAMES:
        assert shipped(name).data == (RES / f"{name}.wasm").read_bytes()


def test_the_operators_guide_is_of_this_code() -> None:
    guide = (ROOT / "docs" / "operators.md").read_text()
    for name in NAMES:
        code = shipped(name)
        assert f"sha256 {code.sha256[:8]}…{code.sha256[-8:]}" in guide, name
        assert guide.count(f"{len(code.data):,} bytes") == 2, name  # in the plan and in the table of costs


def test_damage_and_absence_are_told(tmp_path: Path) -> None:
    shutil.copytree(RES, tmp_path, dirs_exist_ok=True)
    wasm = tmp_path / "registry.wasm"
    assert shipped("registry", folder=tmp_path) == shipped("registry")
    wasm.write_bytes(wasm.read_bytes()[:-1] + b"\x00")
    with pytest.raises(Unsupported, match=r"registry\.wasm is damaged"):
        shipped("registry", folder=tmp_path)
    wasm.write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(Unsupported, match="damaged"):
        shipped("registry", folder=tmp_path)
    (tmp_path / "sha256").write_bytes(b"\xff")
    with pytest.raises(Unsupported, match="not in this installation"):
        shipped("reputation", folder=tmp_path)
    wasm.unlink()
    with pytest.raises(Unsupported, match="not in this installation"):
        shipped("registry", folder=tmp_path)


def test_it_travels_with_the_wheel(tmp_path: Path) -> None:
    """What is built is unpacked, and asked."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=50)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    asks = "from mycelnode.chain import shipped as s; print(s.__file__, *(s.shipped(name).sha256 for name in s.NAMES))"
    done = subprocess.run(
        [sys.executable, "-c", asks],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""},
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    place, *sums = done.stdout.split()
    assert Path(place).is_relative_to(tmp_path / "installed")
    assert sums == [shipped(name).sha256 for name in NAMES]
