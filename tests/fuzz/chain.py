"""What NEAR's servers, contracts and key files say, and what the journal of payments has on a disk that may have been damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from mycelnode.chain.amounts import account_id, format_near, parse_near, parse_yocto
from mycelnode.chain.keys import NearKey, parse_public, parse_secret
from mycelnode.chain.near import Transfer, sign
from mycelnode.chain.outcomes import read_blocks, read_outcome
from mycelnode.chain.registry import _registered
from mycelnode.chain.replies import Passing, read_reply
from mycelnode.chain.rpc import ANSWER_BYTES
from mycelnode.encoding import base58
from mycelnode.errors import (
    AccountRefused,
    AmountRefused,
    ContractWrong,
    EncodingError,
    KeyFileError,
    NearRefused,
    NearRpcWrong,
)
from mycelnode.protocols.payment_journal import (
    MAX_ENTRY_BYTES,
    Check,
    Entry,
    Intent,
    Outcome,
    Signature,
    State,
    decode_entry,
    encode_entry,
)
from tests.fuzz.guard import Broken, Target

NUMBER = "mycelnode-1"
HASH = base58(bytes(range(32)))
KEY = NearKey.of(bytes(32))


def _reply(read: Callable[[Any], object]) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        return read(read_reply(data, NUMBER, "tx"))

    return run


def _outcome(told: Any) -> object:
    outcome = read_outcome(told, HASH, "alice.near")
    if outcome is not None and (outcome.burnt < 0 or outcome.gas < 0 or (not outcome.success and not outcome.said)):
        raise Broken("an outcome that cannot be")
    return None if outcome is None else (outcome, read_blocks(told))


def _told(result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": NUMBER, "result": result}).encode()


def _outcomes() -> Sequence[bytes]:
    burnt = {"id": HASH, "block_hash": HASH, "outcome": {"tokens_burnt": "1", "gas_burnt": 2, "logs": [], "status": {}}}
    failure = {
        "ActionError": {"index": 0, "kind": {"FunctionCallError": {"ExecutionError": "Smart contract panicked: ERR_X"}}}
    }
    found = [
        _told(
            {
                "final_execution_status": "FINAL",
                "status": status,
                "transaction": {"hash": HASH, "signer_id": "alice.near"},
                "transaction_outcome": burnt,
                "receipts_outcome": [burnt] * 3,
            }
        )
        for status in ({"SuccessValue": "e30="}, {"Failure": failure}, {"Failure": "x"})
    ]
    cause = {"name": "INVALID_TRANSACTION", "info": {"vm_error": 'panic_msg: "ERR_X: \\"y\\""'}}
    data = {"TxExecutionError": {"InvalidTxError": {"InvalidNonce": {"ak_nonce": 1}}}}
    errors = [
        {"name": "HANDLER_ERROR", "cause": cause, "code": -32000, "data": data},
        {"code": 1, "message": "m"},
        "text",
    ]
    return [*found, *(json.dumps({"id": NUMBER, "error": error}).encode() for error in errors)]


def _patterns() -> Sequence[bytes]:
    from tests.chain.known import PATTERN

    return [_told(PATTERN), _told({**PATTERN, "retired_at": "5"})]


def _journal(data: bytes) -> None:
    if encode_entry(decode_entry(data)) != data:
        raise Broken(f"a second encoding of an entry: {data.hex()}")


def _entries() -> Sequence[bytes]:
    check = Check("receipt", b'{"id":7}', "uses", least=1)
    intent = Intent("use", "net/1", "bob.near", "k", "registry.near", "use_pattern", b"{}", 5, 30, 9, check, True)
    signed = Signature(HASH, b"\x01" * 200, 7, 10, 40)
    outcome = Outcome(HASH, True, b"{}", "", 1, 1 << 80)
    return [
        encode_entry(entry)
        for entry in (Entry(intent), Entry(intent, State.SIGNED, signed, signed, 12, outcome, True, "why", "said", 3))
    ]


def _account(data: bytes) -> None:
    """What is taken for an account can be signed with: py-near panics at what is none."""
    account = account_id(data.decode("utf-8", "replace"))
    sign(KEY, account, account, 1, bytes(32), [Transfer(1)])


def _accounts() -> Sequence[bytes]:
    _account(b"alice.near")  # imports what signs, which no input pays for
    return [b"alice.near", b"a-b_c.d", b"0" * 64]


def _amount(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    amount = parse_yocto(text) if text.isdigit() else parse_near(text)
    if parse_near(format_near(amount)) != amount:
        raise Broken(f"{text!r} is shown as another amount")


def _key(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for parse in (parse_secret, parse_public):
        try:
            parse(text)
        except KeyFileError as error:
            if len(text) > 12 and text in str(error):
                raise Broken("a secret is in the sentence that refuses it") from error
            raise


CHAIN = (
    Target(
        "near outcome",
        _reply(_outcome),
        (Passing, NearRefused, NearRpcWrong),
        _outcomes,
        largest=ANSWER_BYTES,
        refused=("the network refused tx",),
    ),
    Target(
        "near pattern",
        _reply(lambda told: _registered(told, "get_pattern")),
        (Passing, NearRefused, ContractWrong),
        _patterns,
        largest=ANSWER_BYTES,
    ),
    Target("payment entry", _journal, (EncodingError,), _entries, largest=MAX_ENTRY_BYTES),
    Target("near account", _account, (AccountRefused,), _accounts, largest=1 << 10),
    Target(
        "near amount", _amount, (AmountRefused,), lambda: [b"0.5 NEAR", b"7 yocto", b"12", b"1" * 24], largest=1 << 10
    ),
    Target(
        "near key",
        _key,
        (KeyFileError,),
        lambda: [f"ed25519:{base58(KEY.secret)}".encode(), KEY.name.encode()],
        refused=("public key",),
        largest=1 << 10,
    ),
)
