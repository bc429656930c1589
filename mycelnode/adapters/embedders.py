"""Which model turns texts into vectors: Ollama's, else MiniLM if it is installed, else none, and the person can see which."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from mycelnode.adapters import minilm
from mycelnode.adapters.ollama import make_client, open_ollama
from mycelnode.errors import EmbedderUnavailable
from mycelnode.lazy import np
from mycelnode.ports import Clock, Embedder

if TYPE_CHECKING:
    import numpy.typing as npt

RETRY_SECONDS: Final = 60.0  # until an embedder that is gone, or was never there, is looked for again
QUERY_SECONDS: Final = 5.0  # that a search waits for the vector of its query
MINILM: Final = "minilm"
NONE: Final = "none (lexical only)"

Array: TypeAlias = "npt.NDArray[np.float32]"
Open = Callable[[], Awaitable[Embedder]]
_log = logging.getLogger(__name__)


class MiniLmEmbedder:
    """MiniLM in worker threads, one at a time; loaded when it is made."""

    name = MINILM

    def __init__(self, model: minilm.MiniLm) -> None:
        self._model = model
        self._limiter = trio.CapacityLimiter(1)
        self.model_id, self.dim = model.model_id, model.dim

    async def embed(self, texts: Sequence[str]) -> Array:
        """See `mycelnode.ports.Embedder`; a thread for each text, so that it can be cancelled between them."""
        made = np.zeros((len(texts), self.dim), np.float32)
        for place, text in enumerate(texts):
            made[place] = (await trio.to_thread.run_sync(self._model.embed, [text], limiter=self._limiter))[0]
        return made


async def open_minilm() -> MiniLmEmbedder:
    """Find and load it. Raises `EmbedderUnavailable` if it is not there, or not itself."""
    folder = await trio.to_thread.run_sync(minilm.find)
    if folder is None:
        raise EmbedderUnavailable(f"MiniLM is not installed: {minilm.INSTALL}")
    return MiniLmEmbedder(await trio.to_thread.run_sync(minilm.MiniLm.load, folder))


class Embedders:
    """Those that may be there, the preferred one first; one of them, or none, is in use. Made by `open_embedders`."""

    def __init__(self, choices: Sequence[Open], clock: Clock) -> None:
        self._choices = [_Choice(choice) for choice in choices]
        self._clock = clock
        self._lock = trio.Lock()
        self._name = NONE

    @property
    def name(self) -> str:
        """Of the one in use, or that there is none: the ``embedder`` of `pattern search --json`."""
        return self._name

    @property
    def reasons(self) -> list[str]:
        """Why others are not in use: a sentence each."""
        return [choice.reason for choice in self._choices if choice.reason]

    async def current(self) -> Embedder | None:
        """The first one that is there. One that was not is looked for again after `RETRY_SECONDS`."""
        async with self._lock:
            found = None
            for choice in self._choices:
                if found := await choice.look(self._clock.monotonic()):
                    break
            name = NONE if found is None else found.name
            if name != self._name:
                _log.info("search embeds with %s", name)
            self._name = name
            return found

    async def embed(self, texts: Sequence[str]) -> tuple[Embedder, Array] | None:
        """By the one in use, or, if that does not answer, the next; None if there is none. Says which, as vectors are its alone."""
        while embedder := await self.current():
            try:
                return embedder, await embedder.embed(texts)
            except EmbedderUnavailable as error:
                _log.warning("%s is left alone for a while: %s", embedder.name, error)
                self.gone(embedder, str(error))
        return None

    def gone(self, embedder: Embedder, reason: str = "it did not answer") -> None:
        """Leave it alone for `RETRY_SECONDS`, and use the next."""
        for choice in self._choices:
            choice.leave(embedder, reason, self._clock.monotonic())

    async def embed_query(self, text: str) -> tuple[Embedder, Array] | None:
        """One text, [dim]; None if nobody has made a vector of it in `QUERY_SECONDS`: a model that is being loaded is not gone."""
        with trio.move_on_after(QUERY_SECONDS):
            if made := await self.embed([text]):
                return made[0], made[1][0]
        return None


class _Choice:
    """One that may be there."""

    def __init__(self, choice: Open) -> None:
        self._open = choice
        self._found: Embedder | None = None
        self._not_before = -math.inf
        self.reason = ""

    async def look(self, now: float) -> Embedder | None:
        if self._found is None and now >= self._not_before:
            try:
                self._found, self.reason = await self._open(), ""
            except EmbedderUnavailable as error:
                self.reason, self._not_before = str(error), now + RETRY_SECONDS
        return self._found

    def leave(self, embedder: Embedder, reason: str, now: float) -> None:
        if self._found is embedder:
            self._found, self.reason, self._not_before = None, reason, now + RETRY_SECONDS


@asynccontextmanager
async def open_embedders(url: str, model: str, *, clock: Clock) -> AsyncIterator[Embedders]:
    """For the settings `models.ollama_url` (empty: no Ollama) and `models.embedder`. Nothing is loaded before it is needed."""
    if not url:
        yield Embedders([open_minilm], clock)
        return
    async with make_client(url) as client:
        yield Embedders([partial(open_ollama, client, model), open_minilm], clock)
