"""How a request of Kubo's RPC is carried: what `kubo.KuboNode` asks of an HTTP client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from mycelnode.errors import KuboRefused, shown

RPC_PATH: Final = "/api/v0/"
READ_BYTES: Final = 1 << 16  # of an answer at a time
ERROR_BYTES: Final = 1 << 16  # of an answer that says no
MAX_CALLS: Final = 8  # at a time
CONNECT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Upload:
    """The body of a request: ``chunks`` of at most `READ_BYTES`, each asked for once the server has taken the one before.

    A transport that reads ahead calls ``taken(whether that was the last one)`` instead, in trio's thread, as the server takes them.
    """

    content_type: str
    chunks: AsyncIterator[bytes]
    taken: Callable[[bool], None]


class Answer(Protocol):
    """A body that is on its way."""

    @property
    def content_type(self) -> str:
        """As the server calls it."""
        ...

    async def read(self) -> bytes:
        """At most `READ_BYTES`, more than none but at its end. Raises `KuboUnreachable`."""
        ...

    async def aclose(self) -> None:
        """Read no more. Also when cancelled, it does not wait."""
        ...


class Transport(Protocol):
    """A client for one server. It follows no redirect, asks no proxy, and waits without end: whoever calls it has the clock."""

    async def post(self, command: str, params: Mapping[str, str], upload: Upload | None) -> Answer:
        """The answer to a command such as ``block/get``. Raises `KuboUnreachable`, and `KuboRefused` unless the status is 200."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


def refuse(command: str, status: int, body: bytes) -> NoReturn:
    """Raise what a status other than 200 means; ``body`` is its beginning. Kubo says no with 500 and ``{"Message": …}``."""
    if 300 <= status < 400:
        raise KuboRefused(
            "what answers at kubo.url sends us elsewhere, which no Kubo does: set kubo.url to the RPC address itself"
        )
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    message = told.get("Message") if isinstance(told, dict) else None
    if isinstance(message, str):
        raise KuboRefused(f"Kubo refused {command}: {shown(message)}")
    raise KuboRefused(f"what answers at kubo.url is no Kubo: it said {status} to {command}")


def refuse_encoded(encoding: str | None) -> None:
    """A compressed answer was not asked for, and may be a bomb. Raises `KuboRefused`."""
    if encoding and encoding.lower() != "identity":
        raise KuboRefused("what answers at kubo.url compresses its answers unasked, which no Kubo does")
