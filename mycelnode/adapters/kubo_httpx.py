"""Kubo's RPC over httpx."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress

import httpx
import trio

from mycelnode.adapters.transport import (
    CONNECT_SECONDS,
    ERROR_BYTES,
    MAX_CALLS,
    RPC_PATH,
    Upload,
    refuse,
    refuse_encoded,
)
from mycelnode.errors import KuboUnreachable
from mycelnode.tls import trusted


class HttpxTransport:
    """A `transport.Transport`; ``url`` may hold ``user:password@`` for a Kubo behind a proxy that asks for it."""

    def __init__(self, url: str) -> None:
        self._base = url.rstrip("/") + RPC_PATH
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=MAX_CALLS, max_keepalive_connections=MAX_CALLS),
            follow_redirects=False,
            trust_env=False,
            verify=trusted(),
        )

    async def post(self, command: str, params: Mapping[str, str], upload: Upload | None) -> HttpxAnswer:
        """See `transport.Transport`."""
        headers = {"Content-Type": upload.content_type} if upload else {}
        with _errors():
            request = self._client.build_request("POST", self._base + command, params=dict(params), headers=headers)
            if upload:
                request.headers.pop("Content-Length", None)
                request.headers["Transfer-Encoding"] = "chunked"
                request.stream = _Body(upload.chunks)
            response = await self._client.send(request, stream=True)
        answer = HttpxAnswer(response)
        try:
            refuse_encoded(response.headers.get("content-encoding"))
            if response.status_code != 200:
                refuse(command, response.status_code, await answer.beginning(ERROR_BYTES))
        except BaseException:
            await answer.aclose()
            raise
        return answer

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


class _Body(httpx.AsyncByteStream):
    """No generator: one that is given up midway would have to be closed by somebody."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks


class HttpxAnswer:
    """A `transport.Answer`."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks = response.aiter_raw()  # as it comes: httpcore reads 64 KiB at a time
        self._ended = False

    @property
    def content_type(self) -> str:
        """As the server calls it."""
        return str(self._response.headers.get("content-type", ""))

    async def read(self) -> bytes:
        """See `transport.Answer`."""
        try:
            with _errors():
                async for chunk in self._chunks:
                    return chunk
        except BaseException:
            self._ended = True
            raise
        self._ended = True
        return b""

    async def beginning(self, most: int) -> bytes:
        """The first bytes, ``most`` and a chunk at most."""
        found = bytearray()
        while len(found) <= most and (chunk := await self.read()):
            found += chunk
        return bytes(found)

    async def aclose(self) -> None:
        """See `transport.Answer`."""
        with trio.CancelScope(shield=True) as scope:
            # httpx reads through generators inside generators. Being cancelled, where they read, ends them all, from the inside.
            scope.cancel()
            with suppress(KuboUnreachable):
                while not self._ended:
                    await self.read()
        with trio.CancelScope(shield=True), suppress(httpx.HTTPError):
            await self._response.aclose()


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise KuboUnreachable(
            f"nothing answered at kubo.url within {CONNECT_SECONDS:g} s; is the Kubo daemon running?"
        ) from error
    except httpx.ConnectError as error:
        raise KuboUnreachable("nothing answers at kubo.url; is the Kubo daemon running?") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise KuboUnreachable("kubo.url is no address that can be asked; one is like http://127.0.0.1:5001") from error
    except httpx.RemoteProtocolError as error:
        raise KuboUnreachable("what answers at kubo.url broke off, or speaks no HTTP") from error
    except httpx.HTTPError as error:
        raise KuboUnreachable("the connection to Kubo broke") from error
