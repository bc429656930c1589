"""Keeps a vector of every pattern: embeds, in the background and in batches, what the embedder in use has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from mycelnode.database import Database
from mycelnode.patterns import vectors
from mycelnode.ports import Embedder

BATCH: Final = 32  # texts; each batch is one commit


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: ``done`` of ``total`` texts."""

    done: int
    total: int


async def embed_missing(
    database: Database,
    embedder: Embedder,
    *,
    keep: tuple[str, ...] = (),
    tell: Callable[[Progress], None] = lambda progress: None,
) -> int:
    """Embed every pattern that has no vector by ``embedder``; how many there were.

    When all have one, the vectors of other models are dropped, except those of ``keep`` (model ids). Raises `EmbedderUnavailable`,
    and what `Database.write` raises. Cancelled or failed, the batches that were done stay, and the next call goes on from there.
    """
    model = embedder.model_id
    total = await database.scan(partial(vectors.count_without_vector, model=model))
    done = after = 0
    tell(Progress(0, total))
    while batch := await database.scan(partial(vectors.without_vector, model=model, limit=BATCH, after=after)):
        numbers = [no for no, _ in batch]
        made = await embedder.embed([text for _, text in batch])
        await database.write(partial(vectors.put_vectors, model=model, numbers=numbers, vectors=made))
        after = numbers[-1]
        done += len(batch)
        tell(Progress(done, max(total, done)))
    await database.write(partial(vectors.drop_vectors, but=(model, *keep)))
    return done
