"""The helper of NEAR's testnet that makes accounts, and gives them something to begin with."""

from __future__ import annotations

from typing import Final

import httpx
import trio

from mycelnode.chain.amounts import account_id
from mycelnode.errors import NearRefused, NearUnreachable, shown

URL: Final = "https://helper.nearprotocol.com/account"  # https://github.com/near/near-contract-helper
SECONDS: Final = 60.0  # it waits for the network
ANSWER_BYTES: Final = 1 << 16
TAKEN: Final = ("already exists", "AccountAlreadyExists")


async def create_account(account: str, key: str, *, url: str = URL) -> None:
    """Make ``account`` with ``key`` (``ed25519:…``). Raises `NearUnreachable`, `NearRefused`, `AccountRefused`.

    Cancelled, it may have been made all the same; asked again, the helper says that it exists.
    """
    asked = {"newAccountId": account_id(account), "newAccountPublicKey": key}
    with trio.move_on_after(SECONDS) as scope:
        status, said = await _post(url, asked)
    if scope.cancelled_caught:
        raise NearUnreachable(f"the helper of testnet did not answer within {SECONDS:g} s; try again later")
    if any(mark in said for mark in TAKEN):
        raise NearRefused(f"there is an account {account} already; choose another name", "AccountAlreadyExists")
    if status == 429:
        raise NearRefused("the helper of testnet was asked too often (429); try again later", "429")
    if status != 200:
        raise NearRefused(
            f"the helper of testnet refused to make {account} ({status}): {shown(said) or 'no reason given'}"
        )


async def _post(url: str, asked: dict[str, str]) -> tuple[int, str]:
    """The status, and the beginning of what was said."""
    client = httpx.AsyncClient(headers={"Accept-Encoding": "identity"}, timeout=None, trust_env=False)
    try:
        async with client, client.stream("POST", url, json=asked) as response:
            found, chunks = bytearray(), response.aiter_raw()
            async for chunk in chunks:
                found += chunk
                if len(found) > ANSWER_BYTES:
                    with trio.CancelScope(shield=True) as scope:
                        scope.cancel()  # ends the generators that httpx reads through, from inside
                        async for _ in chunks:
                            pass
                    break
            return response.status_code, found[:ANSWER_BYTES].decode(errors="replace")
    except httpx.HTTPError:
        raise NearUnreachable("the helper of testnet does not answer; try again later") from None
