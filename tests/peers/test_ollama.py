"""A real Ollama, with a model made here, makes our vectors: as many as texts, in order, and when it ends the next one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mycelnode.adapters.embedders import open_embedders
from mycelnode.adapters.embedding import embed_missing
from mycelnode.adapters.ollama import make_client, open_ollama
from mycelnode.clock import system
from mycelnode.database import open_database
from mycelnode.errors import EmbedderUnavailable
from mycelnode.paths import DataDir
from mycelnode.patterns import library
from mycelnode.patterns.columns import Columns
from mycelnode.patterns.search import Query, search
from tests.needs import missing
from tests.patterns.known import signed
from tests.peers.gguf import DIM
from tests.peers.install import Missing
from tests.peers.ollama import EMBEDDER, running

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def new_ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], tuple[str, Callable[[], None]]]]:
    """Starts one: its URL, and how to end it."""
    with ExitStack() as stack:

        def start() -> tuple[str, Callable[[], None]]:
            own = stack.enter_context(ExitStack())
            try:
                url = own.enter_context(running(tmp_path_factory.mktemp("ollama")))
            except Missing as reason:
                missing(str(reason))
            return url, own.close

        yield start


@pytest.fixture(scope="module")
def url(new_ollama: Callable[[], tuple[str, Callable[[], None]]]) -> str:
    return new_ollama()[0]


async def test_it_makes_vectors(url: str) -> None:
    async with make_client(url) as client:
        embedder = await open_ollama(client, EMBEDDER)
        assert embedder.name == f"ollama:{EMBEDDER}"
        assert embedder.model_id.startswith(f"ollama:{EMBEDDER}:latest@")
        assert embedder.dim == DIM
        texts = [f"the river and the bridge {'stone ' * number}" for number in range(70)]
        together = await embedder.embed(texts)
        assert together.shape == (70, DIM)
        assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
        for place in (0, 31, 32, 69):
            alone = await embedder.embed([texts[place]])
            assert float(alone[0] @ together[place]) > 0.9999, "in the order of the texts"
        same, near, far = await embedder.embed(["river bridge", "bridge river", "red paper lamp clock"])
        assert same @ near > same @ far
        odd = await embedder.embed(["", " ", "\x00", "Größe 日本 🙂", "\ud800", "river " * 20_000])
        assert np.isfinite(odd).all(), "whatever a text is, it has a vector"


async def test_a_model_that_is_not_there(url: str) -> None:
    async with make_client(url) as client:
        with pytest.raises(EmbedderUnavailable, match="ollama pull nothing"):
            await open_ollama(client, "nothing")
        with pytest.raises(EmbedderUnavailable, match="no model that makes vectors"):
            await open_ollama(client)


async def test_the_library_is_embedded_and_searched(url: str, tmp_path: Path) -> None:
    titles = ["river bridge", "red paper lamp", "cat dog bird", "moon star sun"]
    async with open_database(DataDir(tmp_path)) as database, open_embedders(url, EMBEDDER, clock=system()) as embedders:
        for title in titles:
            await database.write(partial(library.add, manifest=signed(title=title), source="", now=0))  # type: ignore[call-arg]
        embedder = await embedders.current()
        assert embedder is not None
        assert await embed_missing(database, embedder) == len(titles)
        made = await embedders.embed_query("bridge and river")
        assert made is not None
        columns = Columns(embedder.model_id, embedder.dim)
        found = await database.scan(partial(search, columns=columns, query=Query("bridge and river"), vector=made[1]))
        assert found[0].entry.title == "river bridge"
        assert len(found) == len(titles)
        assert embedders.name == f"ollama:{EMBEDDER}"


async def test_when_it_ends_it_is_not_waited_for(new_ollama: Callable[[], tuple[str, Callable[[], None]]]) -> None:
    url, end = new_ollama()
    async with open_embedders(url, EMBEDDER, clock=system()) as embedders:
        assert (await embedders.embed_query("x")) is not None
        end()
        made = await embedders.embed_query("x")
        assert made is None or made[0].name == "minilm"
        assert "does not answer" in embedders.reasons[0]
