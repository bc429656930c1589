"""What the operator's guide says of costs is what a local chain takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chain.operator_costs import rows

GUIDE = Path(__file__).parents[2] / "docs" / "operators.md"


@pytest.mark.timeout(300)
async def test_the_table_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = GUIDE.read_text().splitlines()
    start = guide.index("| --- | --- | --- | --- | --- |") + 1
    assert guide[start : guide.index("", start)] == [row async for row in rows(tmp_path, monkeypatch)]
