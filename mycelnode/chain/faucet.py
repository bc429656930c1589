"""The helper of NEAR's testnet that makes accounts, and gives them something to begin with."""

from __future__ import annotations

import json
from typing import Final

import trio

from mycelnode.chain.amounts import account_id
from mycelnode.chain.replies import OFTEN, Passing
from mycelnode.errors import NearRefused, NearUnreachable, shown

URL: Final = "https://helper.nearprotocol.com/account"  # https://github.com/near/near-contract-helper
SECONDS: Final = 60.0  # it waits for the network
ANSWER_BYTES: Final = 1 << 16
TAKEN: Final = ("already exists", "AccountAlreadyExists")


async def create_account(account: str, key: str, *, url: str = URL) -> None:
    """Make ``account`` with ``key`` (``ed25519:…``). Raises `NearUnreachable`, `NearRefused`, `AccountRefused`.

    Cancelled, it may have been made all the same; asked again, the helper says that it exists.
    """
    from mycelnode.chain.posting import Poster

    asked = {"newAccountId": account_id(account), "newAccountPublicKey": key}
    poster = Poster()
    try:
        with trio.move_on_after(SECONDS) as scope:
            answer = await poster.post(url, json.dumps(asked).encode(), ANSWER_BYTES)
    except Passing as error:
        raise NearUnreachable(f"the helper of testnet {error}; try again later") from None
    finally:
        await poster.aclose()
    if scope.cancelled_caught:
        raise NearUnreachable(f"the helper of testnet did not answer within {SECONDS:g} s; try again later")
    said = answer.body.decode(errors="replace")
    if any(mark in said for mark in TAKEN):
        raise NearRefused(f"there is an account {account} already; choose another name", "AccountAlreadyExists")
    if answer.status == OFTEN:
        raise NearRefused("the helper of testnet was asked too often (429); try again later", str(OFTEN))
    if answer.status != 200:
        why = shown(said) or "no reason given"
        raise NearRefused(f"the helper of testnet refused to make {account} ({answer.status}): {why}")
