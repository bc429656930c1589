"""Kubo's RPC over ipfshttpclient 0.7.0, an extra, for who wants it: abandoned, without async, and of IPFS nodes before 0.8.

It is used for what it does well, which is to carry requests: `ipfshttpclient.connect` would refuse the version of every Kubo of
today, and its methods know neither ``dag/import`` nor how to read without end, so commands go through the client beneath them.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from ipaddress import ip_address
from tempfile import SpooledTemporaryFile
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import trio

from mycelnode.adapters.transport import (
    CONNECT_SECONDS,
    ERROR_BYTES,
    MAX_CALLS,
    READ_BYTES,
    RPC_PATH,
    Upload,
    refuse,
    refuse_encoded,
)
from mycelnode.errors import KuboUnreachable, Unsupported

VERSION: Final = "0.7.0"
SPOOL_BYTES: Final = 4 << 20  # of an upload in memory; the rest waits in a file, as a thread can't wait for a task
THREAD_SECONDS: Final = 120.0  # without a byte, after which a thread that nobody waits for any more ends

T = TypeVar("T")


class IpfsClientTransport:
    """A `transport.Transport`. Calls run in threads; a cancelled one is left behind, and ends by `THREAD_SECONDS`.

    Raises `Unsupported` where ipfshttpclient is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import ipfshttpclient
        except ImportError as error:
            raise Unsupported('ipfshttpclient is not installed: pip install "mycelnode[ipfshttpclient]"') from error
        if ipfshttpclient.__version__ != VERSION:
            raise Unsupported(f"of ipfshttpclient, {VERSION} is known here, and not {ipfshttpclient.__version__}")
        if ipfshttpclient.http.PREFER_HTTPX:
            raise Unsupported("ipfshttpclient knows no httpx of today: unset PY_IPFS_HTTP_CLIENT_PREFER_HTTPX")
        address, base, auth = _address(url)
        client = ipfshttpclient.Client(
            address,
            base,
            auth=auth,
            headers={"Accept-Encoding": "identity", "User-Agent": f"py-ipfs-http-client/{VERSION}"},
            timeout=(CONNECT_SECONDS, THREAD_SECONDS),
            session=True,
        )
        self._closing: Callable[[], None] = client.close
        self._http = client._client
        session = self._http._session
        for adapter in session.adapters.values():
            adapter.poolmanager.connection_pool_kw.pop("strict", None)  # which urllib3 warns of, each time
        session.trust_env = False  # no proxies
        session.hooks["response"].append(self._look)
        self._seen = threading.local()
        self._limiter = trio.CapacityLimiter(MAX_CALLS)

    async def post(self, command: str, params: Mapping[str, str], upload: Upload | None) -> ThreadAnswer:
        """See `transport.Transport`."""
        with SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            if upload:
                async for chunk in upload.chunks:
                    await trio.to_thread.run_sync(spool.write, chunk)
                spool.seek(0)
            abandoned = threading.Event()
            try:
                return await self._thread(partial(self._send, command, params, upload, spool, abandoned))
            except trio.Cancelled:
                abandoned.set()
                raise

    def _send(
        self, command: str, params: Mapping[str, str], upload: Upload | None, spool: Any, abandoned: threading.Event
    ) -> ThreadAnswer:
        with _errors():
            try:
                chunks = self._http.request(
                    command,
                    opts=dict(params),
                    decoder="none",
                    stream=True,
                    data=_pieces(spool, upload) if upload else None,
                    headers={"Content-Type": upload.content_type} if upload else None,
                )
            except _NotOk as no:
                refuse(command, no.status, no.body)
        answer = ThreadAnswer(chunks, self._seen.content_type, self._thread)
        if abandoned.is_set():
            answer.close()
        return answer

    def _look(self, response: Any, **_: object) -> Any:
        """Called by requests with each answer, before it would follow a redirect or read an error without end."""
        try:
            refuse_encoded(response.headers.get("Content-Encoding"))
            if response.status_code != 200:
                raise _NotOk(response.status_code, _beginning(response.iter_content(READ_BYTES)))
        except BaseException:
            response.close()
            raise
        self._seen.content_type = response.headers.get("Content-Type", "")
        whole = response.iter_content  # which ipfshttpclient calls for chunks as large as the server likes
        response.iter_content = lambda **_: whole(READ_BYTES)
        return response

    async def _thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)

    async def aclose(self) -> None:
        """Close all connections."""
        self._closing()
        await trio.lowlevel.checkpoint()


class ThreadAnswer:
    """A `transport.Answer`, read in threads."""

    def __init__(
        self, chunks: Any, content_type: str, thread: Callable[[Callable[[], bytes]], Awaitable[bytes]]
    ) -> None:
        self._chunks = chunks
        self._content_type = content_type
        self._thread = thread
        self._reading = threading.Lock()
        self._closed = False

    @property
    def content_type(self) -> str:
        """As the server calls it."""
        return self._content_type

    async def read(self) -> bytes:
        """See `transport.Answer`."""
        return await self._thread(self._next)

    def _next(self) -> bytes:
        try:
            with self._reading, _errors():
                return b"" if self._closed else next(self._chunks, b"")
        finally:
            if self._closed:
                self.close()

    def close(self) -> None:
        """At once, or once the thread that reads has its bytes, which then closes."""
        self._closed = True
        if self._reading.acquire(blocking=False):
            with suppress(OSError):
                self._chunks.close()
            self._reading.release()

    async def aclose(self) -> None:
        """See `transport.Answer`."""
        self.close()


def _beginning(chunks: Iterator[bytes]) -> bytes:
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > ERROR_BYTES:
            break
    return bytes(found)


def _pieces(spool: Any, upload: Upload) -> Iterator[bytes]:
    while piece := spool.read(READ_BYTES):
        trio.from_thread.run_sync(upload.taken, False)
        yield piece
    trio.from_thread.run_sync(upload.taken, True)


class _NotOk(Exception):
    """A status other than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status, self.body = status, body


@contextmanager
def _errors() -> Iterator[None]:
    from ipfshttpclient import exceptions

    try:
        yield
    except exceptions.TimeoutError as error:
        raise KuboUnreachable("Kubo took too long to answer") from error
    except exceptions.ConnectionError as error:
        raise KuboUnreachable("nothing answers at kubo.url; is the Kubo daemon running?") from error
    # All errors of requests are an OSError; a ValueError comes from a request that nobody waits for any more.
    except (exceptions.CommunicationError, HTTPException, OSError, ValueError) as error:
        raise KuboUnreachable("what answers at kubo.url broke off, or speaks no HTTP") from error


def _address(url: str) -> tuple[str, str, tuple[str, str] | None]:
    """The multiaddr, the path of the RPC, and who asks. Raises `KuboUnreachable`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host, port = None, 0
    if not host:
        raise KuboUnreachable("kubo.url is no address that can be asked; one is like http://127.0.0.1:5001")
    try:
        kind = f"ip{ip_address(host).version}"
    except ValueError:
        kind = "dns"
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return f"/{kind}/{host}/tcp/{port}/{parts.scheme}", parts.path.rstrip("/") + RPC_PATH.rstrip("/"), auth
