"""What takes several actions in one receipt, all of which are carried out or none: an account with its contract, new code, a lock,
a manifest together with its price.

In the journal these are intents whose method begins with a sign that no method of a contract has. Those that bring code carry its
name and its checksum, not the code: it is looked up when the transaction is signed.
"""

from __future__ import annotations

import json
from typing import Any

from mycelnode.chain import gas
from mycelnode.chain.keys import parse_public
from mycelnode.chain.near import Action, AddKey, Call, CreateAccount, DeleteKey, Deploy, Near, Transfer
from mycelnode.chain.shipped import Code, shipped
from mycelnode.encoding import base58
from mycelnode.errors import DeployRefused
from mycelnode.protocols.payment_journal import Intent, json_args


def actions_of(intent: Intent) -> list[Action]:
    """What is signed for an intent. Raises `DeployRefused` if this is not the code that it was made for."""
    match intent.method:
        case "":
            return [Transfer(intent.deposit)]
        case method if method in gas.BATCHES:
            return _batch(intent, json.loads(intent.args))
        case method:
            return [Call(method, intent.args, intent.gas, intent.deposit)]


def _batch(intent: Intent, args: dict[str, Any]) -> list[Action]:
    match intent.method:
        case gas.LOCK:
            return [DeleteKey(parse_public(key)) for key in args["keys"]]
        case gas.CREATE:
            deploy, init = Deploy(_code(args).data), json_args(**args["init"])
            begin: list[Action] = [CreateAccount(), AddKey(parse_public(args["key"])), Transfer(intent.deposit)]
            return [*begin, deploy, Call("new", init, intent.gas, 0)]
        case gas.SUCCEED:
            calls = [(method, json_args(id=args["id"], **args[method])) for method in gas.SUCCESSION]
            return [Call(method, said, gas.gas_of(method), intent.deposit // len(calls)) for method, said in calls]
        case gas.REPLACE:
            return [Deploy(_code(args).data), Call("migrate", b"", intent.gas, 0)]
        case _:
            return [Call("upgrade", _code(args).data, intent.gas, intent.deposit)]


def _code(args: dict[str, Any]) -> Code:
    code = shipped(args["contract"])
    if code.sha256 != args["code"]:
        raise DeployRefused(
            f"this mycelnode brings another {code.name} than this was begun with; run `chain deploy` again"
        )
    return code


async def done(near: Near, intent: Intent, at: str) -> bool:
    """Is it done at a block, where no check tells? The code, or that there is no key, does: a batch is carried out as a whole."""
    if intent.method == gas.LOCK:
        account = await near.account(intent.receiver, at)
        return account is not None and not await near.full_access_keys(intent.receiver, at)
    account = await near.account(intent.receiver, at)
    return account is not None and account.code_hash == base58(bytes.fromhex(json.loads(intent.args)["code"]))


def gas_bought(intent: Intent) -> int:
    """All the gas that is bought for a batch. Raises `DeployRefused`, as `actions_of`."""
    size = 0 if intent.method in (gas.LOCK, gas.SUCCEED) else _code(json.loads(intent.args)).size
    return gas.gas_of_batch(intent.method, size)
