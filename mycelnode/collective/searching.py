"""Searches the library: the query's vector from whatever embedder there is, the columns in memory, and the registry.

All are asked at once, each within its time; whoever does not answer is named, and the search goes on without.
"""

from __future__ import annotations

import sqlite3
from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from mycelnode.adapters.embedders import NONE, Embedders
from mycelnode.background import open_together
from mycelnode.chain import copied
from mycelnode.chain.copied import Said, State
from mycelnode.database import Database
from mycelnode.market.asking import Asked, NoRegistry, RegistrySource
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.columns import Columns
from mycelnode.patterns.search import Found, Outcomes, Query, search
from mycelnode.patterns.vectors import Vectors
from mycelnode.ports import Embedder


@dataclass(frozen=True, slots=True)
class Searched:
    """What was found, the best first; what the registry says of it; how the registry could be asked; the name of the embedder."""

    found: list[Found]
    said: Mapping[Cid, Said]
    registry: Asked
    embedder: str


class Searcher:
    """Over one database; without ``embedders`` by words alone. ``registry`` is asked at the same time as these."""

    def __init__(
        self, database: Database, embedders: Embedders | None = None, registry: RegistrySource | None = None
    ) -> None:
        self._database, self._embedders = database, embedders
        self.registry: RegistrySource = registry or NoRegistry()
        self._columns: Columns | None = None  # before anything is searched for, none are held

    async def search(self, query: Query, outcomes: Outcomes) -> Searched:
        """The library as it is once the others were asked. Raises `ValueRefused`, and as `Database.scan` does."""
        asked = Asked("off")

        async def ask() -> None:
            nonlocal asked
            asked = await self.registry.ask()

        async with open_together() as nursery:
            nursery.start_soon(ask)
            made = None if self._embedders is None else await self._embedders.embed_query(query.text)
        embedder, vector = (None, None) if made is None else made
        columns = self._columns_of(embedder)
        found, said = await self._database.scan(partial(self._look, query, outcomes, vector, asked.copy, columns))
        return Searched(found, said, asked, NONE if embedder is None else embedder.name)

    def _columns_of(self, embedder: Embedder | None) -> Columns:
        """Those with that model's vectors; without a model those that there are."""
        held = self._columns
        if held is None or (embedder is not None and (held.model, held.dim) != (embedder.model_id, embedder.dim)):
            held = Columns() if embedder is None else Columns(embedder.model_id, embedder.dim)
        self._columns = held
        return held

    def price_now(self, no: int) -> int | None:
        """What a use of the pattern with that number in the library costs, in yoctoNEAR, as far as the registry is known here."""
        return None if self.registry.copy is None else self._database.look(partial(copied.price, no=no))

    def _look(
        self,
        query: Query,
        outcomes: Outcomes,
        vector: Vectors | None,
        copy: State | None,
        columns: Columns,  # of whichever model: the words are the same
        connection: sqlite3.Connection,
    ) -> tuple[list[Found], dict[Cid, Said]]:
        known: dict[Cid, Said | None] = {}

        def say(cid: Cid) -> Said | None:
            if copy is not None and cid not in known:
                known[cid] = copied.said(connection, cid)
            return known.get(cid)

        def reputation(cid: Cid) -> int | None:
            said = say(cid)
            return None if said is None else said.score

        prices = {} if copy is None else _Prices(connection)
        found = search(
            connection, columns, query, vector=vector, outcomes=outcomes, reputation=reputation, prices=prices
        )
        said = {one.entry.cid: say(one.entry.cid) for one in found}
        return found, {cid: one for cid, one in said.items() if one is not None}


class _Prices(Mapping[int, int]):
    """What a use costs by now, by the number of the pattern: looked up one by one, and all read only if all are wanted."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getitem__(self, no: int) -> int:
        found = copied.price(self._connection, no)
        if found is None:
            raise KeyError(no)
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(copied.repriced(self._connection))

    def __len__(self) -> int:
        return len(copied.repriced(self._connection))

    def items(self) -> ItemsView[int, int]:
        """Of those alone whose manifests say otherwise."""
        return copied.repriced(self._connection).items()
