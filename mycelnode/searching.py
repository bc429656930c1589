"""Searches the library: the query's vector from whatever embedder there is, and the columns in memory that go with it."""

from __future__ import annotations

from functools import partial

from mycelnode.adapters.embedders import NONE, Embedders
from mycelnode.database import Database
from mycelnode.patterns.columns import Columns
from mycelnode.patterns.search import Found, Outcomes, Query, search
from mycelnode.patterns.vectors import Vectors


class Searcher:
    """Over one database; without ``embedders`` by words alone."""

    def __init__(self, database: Database, embedders: Embedders | None = None) -> None:
        self._database, self._embedders = database, embedders
        self._columns = Columns()

    async def search(self, query: Query, outcomes: Outcomes) -> tuple[list[Found], str]:
        """What is found, the best first, and the name of the embedder."""
        made = None if self._embedders is None else await self._embedders.embed_query(query.text)
        if made is None:
            return await self._run(query, outcomes, None), NONE
        embedder, vector = made
        if (self._columns.model, self._columns.dim) != (embedder.model_id, embedder.dim):
            self._columns = Columns(embedder.model_id, embedder.dim)
        return await self._run(query, outcomes, vector), embedder.name

    async def _run(self, query: Query, outcomes: Outcomes, vector: Vectors | None) -> list[Found]:
        columns = self._columns  # of whichever model: the words are the same
        return await self._database.scan(
            partial(search, columns=columns, query=query, vector=vector, outcomes=outcomes)
        )
