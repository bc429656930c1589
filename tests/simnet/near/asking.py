"""A client of a chain's RPC that is nobody's library: httpx, and nothing else."""

from __future__ import annotations

import base64
from typing import Any, Self

import httpx

from mycel_simnet.near import borsh
from mycel_simnet.near.types import SignedTransaction
from mycelnode.tls import trusted

WAIT = 20.0  # seconds


class Asker:
    """Asks the RPC at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.AsyncClient(verify=trusted(), timeout=WAIT, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def raw(self, body: bytes) -> httpx.Response:
        """POST these bytes."""
        return await self._client.post(self.url, content=body)

    async def full(self, method: str, params: Any = None) -> dict[str, Any]:
        """The whole answer."""
        request = {"jsonrpc": "2.0", "id": "dontcare", "method": method, "params": {} if params is None else params}
        response = await self._client.post(self.url, json=request)
        answer: dict[str, Any] = response.json()
        answer["status"] = response.status_code
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == "dontcare"
        return answer

    async def ask(self, method: str, params: Any = None) -> Any:
        """The result, which must be one."""
        answer = await self.full(method, params)
        assert "result" in answer, answer
        return answer["result"]

    async def error(self, method: str, params: Any = None) -> dict[str, Any]:
        """The error, which must be one, with the HTTP status in it."""
        answer = await self.full(method, params)
        assert "error" in answer, answer
        return {**answer["error"], "status": answer["status"]}

    async def query(self, kind: str, finality: str = "final", **more: Any) -> Any:
        """One of the queries."""
        return await self.ask("query", {"request_type": kind, "finality": finality, **more})


def base64_of(signed: SignedTransaction) -> str:
    """A transaction as clients send it."""
    return base64.b64encode(borsh.encode(SignedTransaction, signed)).decode()
