"""POST over httpx, to NEAR's servers: an answer is taken up to a bound, and whoever is cancelled waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import httpx
import trio

from mycelnode.chain.replies import Passing
from mycelnode.tls import trusted

MAX_CALLS: Final = 8  # at a time, to all servers together
CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Posted:
    """An answer: its status, its type, the header retry-after, and its body."""

    status: int
    kind: str
    retry_after: str
    body: bytes


class Poster:
    """A client. It follows no redirect, asks no proxy, and waits without end: whoever calls it has the clock."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=MAX_CALLS, max_keepalive_connections=MAX_CALLS),
            follow_redirects=False,
            trust_env=False,
            verify=trusted(),
        )

    async def post(self, url: str, body: bytes, most: int) -> Posted:
        """The answer to ``body``. Raises `Passing` for more than ``most`` bytes, for compressed ones, and where there is none."""
        try:
            request = self._client.build_request("POST", url, content=body)
            request.stream = _Once(body)
            response = await self._client.send(request, stream=True)
            try:
                if response.headers.get("content-encoding", "identity").lower() != "identity":
                    raise Passing("compresses its answers unasked, which may be a bomb")
                kind, retry_after = (str(response.headers.get(name, "")) for name in ("content-type", "retry-after"))
                return Posted(response.status_code, kind, retry_after, await _read(response, most))
            finally:
                with trio.CancelScope(shield=True):
                    await response.aclose()
        except httpx.ConnectError:
            raise Passing("cannot be reached", absent=True) from None
        except httpx.TimeoutException:
            raise Passing(f"could not be reached within {CONNECT_SECONDS:g} s", absent=True) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Passing("is no address that can be asked", absent=True) from None
        except httpx.HTTPError:
            raise Passing(
                "broke off, or speaks no HTTP", busy=True
            ) from None  # perhaps just as it had been idle for long

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


class _Once(httpx.AsyncByteStream):
    """One chunk. No generator: one that is given up midway would have to be closed by somebody."""

    def __init__(self, chunk: bytes) -> None:
        self._chunks = [chunk]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop()


async def _read(response: httpx.Response, most: int) -> bytes:
    found, chunks = bytearray(), response.aiter_raw()
    async for chunk in chunks:
        found += chunk
        if len(found) > most:
            with trio.CancelScope(shield=True) as scope:
                # httpx reads through generators inside generators. Being cancelled, where they read, ends them all, from inside.
                scope.cancel()
                async for _ in chunks:
                    pass
            raise Passing(f"answers with more than {most:,} bytes")
    return bytes(found)
