"""Vectors from Ollama: `/api/tags` says which models there are, `/api/embed` runs one (https://docs.ollama.com/api/embed).

What answers at that address may be anything, so each answer is bounded in time and bytes, and is looked at before it is believed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx
import trio

from mycelnode.errors import EmbedderUnavailable
from mycelnode.lazy import np
from mycelnode.patterns.vectors import MAX_DIM
from mycelnode.tls import trusted

if TYPE_CHECKING:
    import numpy.typing as npt

# models whose purpose this is, the better ones first (https://ollama.com/search?c=embedding)
USUAL: Final = (
    "qwen3-embedding", "embeddinggemma", "bge-m3", "mxbai-embed-large", "snowflake-arctic-embed2", "nomic-embed-text-v2-moe",
    "nomic-embed-text", "snowflake-arctic-embed", "granite-embedding", "bge-large", "paraphrase-multilingual", "all-minilm",
)  # fmt: skip
BATCH: Final = 32  # texts in one request
ASK_SECONDS: Final = 5.0  # for the list of models
EMBED_SECONDS: Final = 60.0  # for one request: a model that is not loaded is read from the disk first
MAX_MODELS: Final = 10_000
MAX_LIST_BYTES: Final = 4 << 20
NUMBER_BYTES: Final = 32  # a float as JSON, with what is around it
MAX_NUMBER: Final = 1e6  # vectors of unit length are expected, and are brought to it
SPARE_BYTES: Final = 64 << 10
_DIGEST: Final = re.compile(r"(sha256:)?[0-9a-f]{64}")
_DIGEST_CHARS: Final = 12  # of it, in the name
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

Array: TypeAlias = "npt.NDArray[np.float32]"


class OllamaEmbedder:
    """One model of an Ollama. Made by `open_ollama`."""

    def __init__(self, client: httpx.AsyncClient, model: str, digest: str, dim: int) -> None:
        self._client, self._model = client, model
        self.name = f"ollama:{model.removesuffix(':latest')}"
        self.model_id = f"ollama:{model}@{digest}"
        self.dim = dim

    async def embed(self, texts: Sequence[str]) -> Array:
        """See `mycelnode.ports.Embedder`; `BATCH` texts a request."""
        made = np.zeros((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), BATCH):
            some = texts[start : start + BATCH]
            made[start : start + len(some)] = await _embed(self._client, self._model, some, self.dim)
        return made


def make_client(url: str) -> httpx.AsyncClient:
    """A client for the Ollama at ``url``; the one who calls closes it. It goes there and nowhere else: no proxy, no redirect."""
    return httpx.AsyncClient(
        base_url=url,
        headers={"Accept-Encoding": "identity"},
        timeout=None,
        follow_redirects=False,
        trust_env=False,
        verify=trusted(),
    )


async def open_ollama(client: httpx.AsyncClient, wanted: str = "") -> OllamaEmbedder:
    """The model ``wanted``, or a usual one that is installed. Raises `EmbedderUnavailable` if there is none that makes a vector."""
    installed = await _installed(client)
    model = _choose(installed, wanted)
    (vector,) = await _embed(client, model, ["dimension"], None)
    return OllamaEmbedder(client, model, installed[model], len(vector))


async def _installed(client: httpx.AsyncClient) -> dict[str, str]:
    """The models that are there, with the beginnings of their digests."""
    with trio.move_on_after(ASK_SECONDS) as scope:
        answer = await _ask(client, "GET", "/api/tags", None, MAX_LIST_BYTES)
    if scope.cancelled_caught:
        raise EmbedderUnavailable(f"Ollama at {client.base_url} does not answer in {ASK_SECONDS:.0f} s")
    models = answer.get("models")
    if not isinstance(models, list) or len(models) > MAX_MODELS:
        raise _odd(str(client.base_url))
    found = {}
    for model in models:
        name, digest = (model.get("name"), model.get("digest")) if isinstance(model, dict) else (None, None)
        if isinstance(name, str) and isinstance(digest, str) and _NAME.fullmatch(name) and _DIGEST.fullmatch(digest):
            found[name] = digest.removeprefix("sha256:")[:_DIGEST_CHARS]
    return found


def _choose(installed: dict[str, str], wanted: str) -> str:
    if wanted:
        for name in (wanted, f"{wanted}:latest"):
            if name in installed:
                return name
        raise EmbedderUnavailable(f"Ollama has no model {wanted}; `ollama pull {wanted}` fetches it")
    for usual in USUAL:
        of_it = sorted(name for name in installed if name.partition(":")[0].rpartition("/")[2] == usual)
        if of_it:
            return f"{usual}:latest" if f"{usual}:latest" in of_it else of_it[0]
    raise EmbedderUnavailable("Ollama has no model that makes vectors; `ollama pull nomic-embed-text` fetches one")


async def _embed(client: httpx.AsyncClient, model: str, texts: Sequence[str], dim: int | None) -> Array:
    """[len(texts), dim], of unit length; whatever length the model has, if ``dim`` is None."""
    body = {
        "model": model,
        "input": [text.encode(errors="replace").decode() or " " for text in texts],
        "truncate": True,
    }
    most = len(texts) * (MAX_DIM if dim is None else dim) * NUMBER_BYTES + SPARE_BYTES
    with trio.move_on_after(EMBED_SECONDS) as scope:
        answer = await _ask(client, "POST", "/api/embed", body, most)
    if scope.cancelled_caught:
        raise EmbedderUnavailable(f"Ollama made no vectors with {model} in {EMBED_SECONDS:.0f} s")
    return await trio.to_thread.run_sync(read_vectors, answer.get("embeddings"), len(texts), dim, str(client.base_url))


def read_vectors(lists: Any, count: int, dim: int | None, where: str) -> Array:
    """``count`` lists of numbers as an array of unit lengths, [count, dim]. Raises `EmbedderUnavailable` for what is none."""
    if not isinstance(lists, list) or len(lists) != count:
        raise _odd(where)
    for numbers in lists:
        dim = len(numbers) if dim is None and isinstance(numbers, list) else dim
        if not isinstance(numbers, list) or len(numbers) != dim or not 0 < dim <= MAX_DIM:
            raise _odd(where)
        if not all(type(number) in (int, float) and -MAX_NUMBER < number < MAX_NUMBER for number in numbers):
            raise _odd(where)
    array = np.array(lists, np.float32)
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not bool((lengths > 0).all()):
        raise _odd(where)
    return np.asarray(array / lengths, np.float32)


async def _ask(client: httpx.AsyncClient, method: str, path: str, body: Any, most: int) -> dict[str, Any]:
    """The object of an answer of at most ``most`` bytes."""
    try:
        async with client.stream(method, path, json=body) as response:
            if response.status_code != httpx.codes.OK:
                raise EmbedderUnavailable(
                    f"Ollama at {client.base_url} answered {path} with status {response.status_code}"
                )
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _odd(str(client.base_url))
            data = bytearray()
            with trio.CancelScope() as enough:
                async for piece in response.aiter_raw():
                    data += piece
                    if (
                        len(data) > most
                    ):  # its iterators within iterators are closed by what is raised inside them alone
                        enough.cancel()
            if len(data) > most:
                raise _odd(str(client.base_url))
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
        raise EmbedderUnavailable(
            f"Ollama at {client.base_url} does not answer: {str(error) or type(error).__name__}"
        ) from error
    return await trio.to_thread.run_sync(read_answer, bytes(data), str(client.base_url))


def read_answer(data: bytes, where: str) -> dict[str, Any]:
    """The object that ``data`` is in JSON. Raises `EmbedderUnavailable`, naming ``where`` it came from."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _odd(where) from error
    if not isinstance(answer, dict):
        raise _odd(where)
    return answer


def _odd(where: str) -> EmbedderUnavailable:
    return EmbedderUnavailable(f"what answers at {where} does not answer as Ollama does")
