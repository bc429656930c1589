"""The peers as fixtures: one Kubo and one Helia for all tests, and new ones where a test needs its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.needs import missing
from tests.peers.helia import Helia, helia
from tests.peers.install import Missing
from tests.peers.kubo import Kubo, kubo


@pytest.fixture(scope="session")
def new_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Kubo]]:
    with ExitStack() as stack:

        def start() -> Kubo:
            try:
                return stack.enter_context(kubo(tmp_path_factory.mktemp("kubo")))
            except Missing as reason:
                missing(str(reason))

        yield start


@pytest.fixture(scope="session")
def a_kubo(new_kubo: Callable[[], Kubo]) -> Kubo:
    return new_kubo()


@pytest.fixture(scope="session")
def two_kubos(new_kubo: Callable[[], Kubo]) -> tuple[Kubo, Kubo]:
    """Two that are connected."""
    first, second = new_kubo(), new_kubo()
    second.connect(first.addrs[0])
    return first, second


@pytest.fixture(scope="session")
def a_helia() -> Iterator[Helia]:
    with ExitStack() as stack:
        try:
            started = stack.enter_context(helia())
        except Missing as reason:
            missing(str(reason))
        yield started


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[[bytes], Path]:
    """A file with such content."""

    def write(data: bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(data)
        return path

    return write
