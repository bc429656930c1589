"""Which model turns texts into vectors: Ollama's, else MiniLM if it is installed, else none, and the person can see which."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from mycelnode.adapters import minilm
from mycelnode.adapters.ollama import make_client, open_ollama
from mycelnode.errors import EmbedderUnavailable
from mycelnode.ports import Clock, Embedder

RETRY_SECONDS: Final = 60.0  # until an embedder that is gone, or was never there, is looked for again
MINILM: Final = "minilm"
NONE: Final = "none (lexical only)"

Array = npt.NDArray[np.float32]
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
        made = [np.zeros((0, self.dim), np.float32)]
        for text in texts:
            made.append(await trio.to_thread.run_sync(self._model.embed, [text], limiter=self._limiter))
        return np.concatenate(made)


async def open_minilm() -> MiniLmEmbedder:
    """Find and load it. Raises `EmbedderUnavailable` if it is not there, or not itself."""
    folder = await trio.to_thread.run_sync(minilm.find)
    if folder is None:
        raise EmbedderUnavailable(f"MiniLM is not installed: {minilm.INSTALL}")
    return MiniLmEmbedder(await trio.to_thread.run_sync(minilm.MiniLm.load, folder))


class Embedders:
    """Those that may be there, the preferred one first; one of them, or none, is in use. Made by `open_embedders`."""

    def __init__(self, choices: Sequence[Open], clock: Clock) -> None:
        self._choices, self._clock = choices, clock
        self._lock = trio.Lock()
        self._current: Embedder | None = None
        self._looked: float | None = None  # when that was decided
        self._first = False  # is the one in use the preferred one?
        self.reasons: tuple[str, ...] = ()  # why those before it are not in use

    @property
    def name(self) -> str:
        """Of the one in use, or that there is none."""
        return NONE if self._current is None else self._current.name

    async def current(self) -> Embedder | None:
        """The one in use. Unless it is the preferred one, that is looked for again after `RETRY_SECONDS`."""
        async with self._lock:
            due = self._looked is None or self._clock.monotonic() - self._looked >= RETRY_SECONDS
            if not due or (self._first and self._looked is not None):
                return self._current
            reasons: list[str] = []
            for place, choice in enumerate(self._choices):
                try:
                    found = await choice()
                except EmbedderUnavailable as error:
                    reasons.append(str(error))
                    continue
                break
            else:
                found, place = None, len(self._choices)
            if self._looked is None or (found and found.model_id) != (self._current and self._current.model_id):
                _log.info(
                    "search embeds with %s%s", found.name if found else NONE, "".join(f"; {text}" for text in reasons)
                )
            self._current, self._first, self.reasons = found, place == 0, tuple(reasons)
            self._looked = self._clock.monotonic()
            return self._current

    async def embed(self, texts: Sequence[str]) -> tuple[Embedder, Array] | None:
        """By the one in use, or, if that is gone, the next; None if there is none. Says by which: vectors are its alone."""
        for _ in range(len(self._choices) + 1):
            embedder = await self.current()
            if embedder is None:
                return None
            try:
                return embedder, await embedder.embed(texts)
            except EmbedderUnavailable as error:
                _log.warning("%s is not used now: %s", embedder.name, error)
                self.gone(embedder)
        return None

    def gone(self, embedder: Embedder) -> None:
        """It did not answer: look for another at the next need."""
        if self._current is embedder:
            self._current, self._looked, self._first = None, None, False


@asynccontextmanager
async def open_embedders(url: str, model: str, *, clock: Clock) -> AsyncIterator[Embedders]:
    """For the settings `models.ollama_url` (empty: no Ollama) and `models.embedder`. Nothing is asked or loaded before it is needed."""
    if not url:
        yield Embedders([open_minilm], clock)
        return
    async with make_client(url) as client:
        yield Embedders([partial(open_ollama, client, model), open_minilm], clock)
