"""Embedders: whatever answers in Ollama's place does no harm, the next one takes over, and the person can see which it is."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import trio

from mycelnode.adapters import embedders, ollama
from mycelnode.adapters.embedders import NONE, RETRY_SECONDS, Embedders, open_embedders, open_minilm
from mycelnode.adapters.embedding import Progress, embed_missing
from mycelnode.adapters.ollama import make_client, open_ollama
from mycelnode.database import Database, open_database
from mycelnode.errors import EmbedderUnavailable
from mycelnode.paths import DataDir
from mycelnode.patterns import library, vectors
from tests.needs import need_minilm
from tests.patterns.known import signed

DIGEST = "a" * 64
Answer = Callable[[str, Any, trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """An HTTP server that leaves everything after the request's body to ``answer(path, body, stream)``; its URL."""

    async def handle(stream: trio.SocketStream) -> None:
        data = b""
        async with stream:
            try:
                while b"\r\n\r\n" not in data:
                    data += await stream.receive_some()
                head, _, body = data.partition(b"\r\n\r\n")
                size = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ),
                    0,
                )
                while len(body) < size:
                    body += await stream.receive_some()
                await answer(head.split()[1].decode(), json.loads(body) if body else None, stream)
            except trio.BrokenResourceError:
                pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def reply(stream: trio.SocketStream, body: bytes, status: str = "200 OK", headers: str = "") -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    await stream.send_all(head.encode() + body)


def tags(*names: str) -> bytes:
    return json.dumps({"models": [{"name": name, "digest": DIGEST, "size": 1} for name in names]}).encode()


def good(*names: str, dim: int = 4) -> Answer:
    """Ollama, as far as it is asked."""

    async def answer(path: str, body: Any, stream: trio.SocketStream) -> None:
        if path == "/api/tags":
            return await reply(stream, tags(*names))
        made = [[float(len(text)), 1.0, *[0.0] * (dim - 2)] for text in body["input"]]
        return await reply(stream, json.dumps({"model": body["model"], "embeddings": made}).encode())

    return answer


def embedding(made: bytes | Callable[[Any], Any]) -> Answer:
    """A server that lists a model, and answers so to its use."""

    async def answer(path: str, body: Any, stream: trio.SocketStream) -> None:
        if path == "/api/tags":
            return await reply(stream, tags("all-minilm:latest"))
        return await reply(stream, made if isinstance(made, bytes) else json.dumps(made(body)).encode())

    return answer


async def opened(url: str, wanted: str = "") -> ollama.OllamaEmbedder:
    async with make_client(url) as client:
        return await open_ollama(client, wanted)


async def test_a_model_that_is_installed_is_used() -> None:
    async with (
        serving(good("llama3:8b", "all-minilm:latest", "library/nomic-embed-text:v1.5")) as url,
        make_client(url) as client,
    ):
        embedder = await open_ollama(client)
        assert embedder.name == "ollama:library/nomic-embed-text:v1.5", "the better one of the usual"
        assert embedder.model_id == f"ollama:library/nomic-embed-text:v1.5@{'a' * 12}"
        assert embedder.dim == 4
        made = await embedder.embed([str(number) * number for number in range(1, 71)])
        assert made.shape == (70, 4)
        assert made.dtype == np.float32
        assert np.allclose(np.linalg.norm(made, axis=1), 1)
        assert np.allclose(
            made[:, 0] / made[:, 1], [len(str(number) * number) for number in range(1, 71)], rtol=1e-4
        ), "in order"
        assert (await embedder.embed([])).shape == (0, 4)
        assert (await embedder.embed(["\ud800", ""])).shape == (2, 4)
        assert (await open_ollama(client, "all-minilm")).name == "ollama:all-minilm"
        with pytest.raises(EmbedderUnavailable, match="ollama pull nothing"):
            await open_ollama(client, "nothing")
    async with serving(good("llama3:8b")) as url:
        with pytest.raises(EmbedderUnavailable, match="no model that makes vectors"):
            await opened(url)


BAD: dict[str, Any] = {
    "too few": lambda body: {"embeddings": []},
    "too many": lambda body: {"embeddings": [[1.0]] * 9},
    "no list": lambda body: {"embeddings": "x"},
    "none": lambda body: {},
    "no object": lambda body: [1],
    "no numbers": lambda body: {"embeddings": [["1"] * 4]},
    "booleans": lambda body: {"embeddings": [[True] * 4]},
    "nested": lambda body: {"embeddings": [[[1.0]] * 4]},
    "empty": lambda body: {"embeddings": [[]]},
    "zeros": lambda body: {"embeddings": [[0.0] * 4]},
    "too long": lambda body: {"embeddings": [[0.5] * 9_000]},
    "huge": lambda body: {"embeddings": [[1e300] * 4]},
    "huge whole": lambda body: {"embeddings": [[10**400] * 4]},
    "not a number": b'{"embeddings": [[NaN, 1.0]]}',
    "infinite": b'{"embeddings": [[Infinity, 1.0]]}',
    "no JSON": b"<html>",
    "half": b'{"embeddings": [[1.0',
    "deep": b"[" * 200_000,
    "digits": b'{"embeddings": [[' + b"9" * 200_000 + b"]]}",
    "not UTF-8": b'{"embeddings": "\xff"}',
    "large": b" " * (4 << 20),
}


@pytest.mark.parametrize("made", BAD.values(), ids=BAD.keys())
async def test_what_is_no_vector_is_not_taken_for_one(made: Any) -> None:
    async with serving(embedding(made)) as url:
        with trio.fail_after(10), pytest.raises(EmbedderUnavailable, match="does not answer as Ollama does"):
            await opened(url)


@pytest.mark.parametrize(
    "listed",
    [
        b"{}",
        b"[]",
        b"",
        b'{"models": 5}',
        b'{"models": [[]]}' * 2,
        b" " * (5 << 20),
        b'{"models": [' + b"0," * 20_000 + b"0]}",
    ],
    ids=["none", "list", "empty", "number", "twice", "large", "many"],
)
async def test_a_list_that_is_none(listed: bytes) -> None:
    async def answer(path: str, body: Any, stream: trio.SocketStream) -> None:
        await reply(stream, listed)

    async with serving(answer) as url:
        with trio.fail_after(10), pytest.raises(EmbedderUnavailable, match="does not answer as Ollama does"):
            await opened(url)


async def test_names_that_are_none_are_passed_over() -> None:
    odd = ["all-minilm\nx", "../x", "", "x" * 500]
    async with serving(good(*odd)) as url:
        with pytest.raises(EmbedderUnavailable, match="no model that makes vectors"):
            await opened(url)


async def test_a_vector_of_another_length_later_is_refused() -> None:
    lengths = iter([4, 5])
    async with (
        serving(embedding(lambda body: {"embeddings": [[1.0] * next(lengths)]})) as url,
        make_client(url) as client,
    ):
        embedder = await open_ollama(client)
        assert embedder.dim == 4
        with pytest.raises(EmbedderUnavailable):
            await embedder.embed(["x"])


async def never(path: str, body: Any, stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def endless(path: str, body: Any, stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


async def drip(path: str, body: Any, stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await stream.send_all(b" ")
        await trio.sleep(0.02)


async def bomb(path: str, body: Any, stream: trio.SocketStream) -> None:
    await reply(stream, b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")


async def elsewhere(path: str, body: Any, stream: trio.SocketStream) -> None:
    await reply(stream, b"", "302 Found", "Location: http://127.0.0.1:1/api/tags\r\n")


async def broken(path: str, body: Any, stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


async def noise(path: str, body: Any, stream: trio.SocketStream) -> None:
    await stream.send_all(b"\x00\xff" * 1000 + b"\r\n\r\n")


@pytest.mark.parametrize("answer", [never, endless, drip, bomb, elsewhere, broken, noise])
async def test_a_server_that_is_no_ollama_is_left(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "ASK_SECONDS", 0.3)
    async with serving(answer) as url:
        with trio.fail_after(10), pytest.raises(EmbedderUnavailable) as caught:
            await opened(url)
    assert str(caught.value).count("\n") == 0


async def test_a_model_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "EMBED_SECONDS", 0.3)

    async def answer(path: str, body: Any, stream: trio.SocketStream) -> None:
        if path == "/api/tags":
            return await reply(stream, tags("all-minilm:latest"))
        return await trio.sleep_forever()

    async with serving(answer) as url:
        with trio.fail_after(10), pytest.raises(EmbedderUnavailable, match="made no vectors"):
            await opened(url)


async def test_nothing_listens() -> None:
    with pytest.raises(EmbedderUnavailable, match="does not answer"):
        await opened("http://127.0.0.1:1")


# --- one after the other ---------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def wall(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    boottime = monotonic


class Fake:
    """An embedder whose vectors say which text it was, while it is ``up``."""

    def __init__(self, name: str, dim: int = 3) -> None:
        self.name, self.model_id, self.dim = name, f"{name}@1", dim
        self.up, self.opened, self.seen = True, 0, 0

    async def open(self) -> Fake:
        self.opened += 1
        if not self.up:
            raise EmbedderUnavailable(f"{self.name} is down")
        return self

    async def embed(self, texts: Sequence[str]) -> vectors.Vectors:
        await trio.lowlevel.checkpoint()
        if not self.up:
            raise EmbedderUnavailable(f"{self.name} went away")
        self.seen += len(texts)
        made = np.ones((len(texts), self.dim), np.float32) / np.float32(math.sqrt(self.dim))
        return np.asarray(made, np.float32)


async def test_the_first_that_is_there_is_used_and_the_next_when_it_goes() -> None:
    clock, first, second = Clock(), Fake("first"), Fake("second")
    chosen = Embedders([first.open, second.open], clock)
    assert chosen.name == NONE
    made = await chosen.embed(["x"])
    assert made is not None
    assert (made[0], chosen.name, second.opened) == (first, "first", 0), "the other is not even opened"
    first.up = False
    made = await chosen.embed(["x"])
    assert made is not None
    assert (made[0], chosen.name) == (second, "second"), "in the same call"
    assert chosen.reasons == ["first went away"]
    first.up, opened_before = True, first.opened
    for _ in range(3):
        assert await chosen.current() is second, "it is not asked all the time"
    assert first.opened == opened_before
    clock.now += RETRY_SECONDS
    assert await chosen.current() is first
    assert chosen.reasons == []
    first.up = second.up = False
    assert await chosen.embed(["x"]) is None
    assert chosen.name == NONE
    assert await chosen.embed_query("x") is None


async def test_a_query_does_not_wait_for_long(autojump_clock: trio.testing.MockClock) -> None:
    class Slow(Fake):
        async def embed(self, texts: Sequence[str]) -> vectors.Vectors:
            await trio.sleep(30)
            return await super().embed(texts)

    slow = Slow("slow")
    chosen = Embedders([slow.open], Clock())
    started = trio.current_time()
    assert await chosen.embed_query("x") is None
    assert trio.current_time() - started == embedders.QUERY_SECONDS
    assert chosen.name == "slow", "a model that is being loaded is not gone"
    made = await chosen.embed(["x"])
    assert made is not None


async def test_by_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    minilm = Fake("minilm")
    monkeypatch.setattr(embedders, "open_minilm", minilm.open)
    async with serving(good("all-minilm:latest")) as url, open_embedders(url, "", clock=Clock()) as chosen:
        made = await chosen.embed_query("x")
        assert made is not None
        assert made[1].shape == (4,)
        assert chosen.name == "ollama:all-minilm"
    async with open_embedders("http://127.0.0.1:1", "", clock=Clock()) as chosen:
        await chosen.current()
        assert chosen.name == "minilm"
        assert "does not answer" in chosen.reasons[0]
    minilm.up = False
    async with open_embedders("", "", clock=Clock()) as chosen:
        assert await chosen.current() is None
        assert (chosen.name, chosen.reasons) == (NONE, ["minilm is down"])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Path:
    return need_minilm(monkeypatch)


@pytest.mark.usefixtures("installed")
async def test_minilm_itself() -> None:
    embedder = await open_minilm()
    made = await embedder.embed(["a cat", "a kitten", "a tax return"])
    assert made.shape == (3, embedder.dim)
    assert made[0] @ made[1] > made[0] @ made[2]


async def test_minilm_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders.minilm, "PACKAGE", "no_such_package_of_ours")
    with pytest.raises(EmbedderUnavailable, match="pip install"):
        await open_minilm()


# --- a vector of every pattern ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(DataDir(tmp_path)) as opened_database:
        yield opened_database


@pytest.fixture
def names() -> Iterator[str]:
    return iter([f"number {number}" for number in range(1_000)])


async def put(database: Database, names: Iterator[str], count: int) -> None:
    made = [signed(title=next(names)) for _ in range(count)]
    for manifest in made:
        await database.write(partial(library.add, manifest=manifest, source="", now=0))  # type: ignore[call-arg]


async def test_every_pattern_gets_a_vector_and_none_twice(database: Database, names: Iterator[str]) -> None:
    await put(database, names, 70)
    first, told = Fake("first"), list[Progress]()
    assert await embed_missing(database, first, tell=told.append) == 70
    assert told == [Progress(0, 70), Progress(32, 70), Progress(64, 70), Progress(70, 70)]
    await put(database, names, 5)
    assert await embed_missing(database, first) == 5
    assert first.seen == 75
    second = Fake("second", dim=7)
    assert await embed_missing(database, second, keep=(first.model_id,)) == 75
    assert database.look(library.counts).vectors == {"first@1": 75, "second@1": 75}
    assert await embed_missing(database, first) == 0, "back again, it costs nothing"
    assert database.look(library.counts).vectors == {"first@1": 75}


async def test_what_was_done_before_a_fault_stays(database: Database, names: Iterator[str]) -> None:
    await put(database, names, 70)

    class Failing(Fake):
        async def embed(self, texts: Sequence[str]) -> vectors.Vectors:
            if self.seen >= 32:
                self.up = False
            return await super().embed(texts)

    failing = Failing("m")
    with pytest.raises(EmbedderUnavailable):
        await embed_missing(database, failing)
    assert database.look(library.counts).vectors == {"m@1": 32}
    with trio.CancelScope() as scope:
        scope.cancel()
        await embed_missing(database, Fake("m"))
    assert scope.cancelled_caught
    assert await embed_missing(database, Fake("m")) == 38


async def test_httpx_is_used_as_it_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(good("all-minilm:latest")) as url:
        assert (await opened(url)).dim == 4, "a proxy of the environment is not asked"
    async with make_client("http://127.0.0.1:1") as client:
        assert isinstance(client, httpx.AsyncClient)
