"""A NEAR network as typed questions and signed transactions. Signing is py-near's, and nothing else of it is used.

What the servers answer is checked, and what py-near is given: an account that is none makes it raise a BaseException.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from mycelnode.chain.amounts import MAX_YOCTO, account_id
from mycelnode.chain.answers import MAX_U64, Answer
from mycelnode.chain.keys import NearKey
from mycelnode.chain.outcomes import error_code, panic, read_blocks, read_outcome
from mycelnode.chain.rpc import Rpc
from mycelnode.encoding import base58, from_base58
from mycelnode.errors import ContractRefused, ContractWrong, EncodingError, MycelError, NearRefused, NearRpcWrong, shown
from mycelnode.protocols.payment_journal import Outcome

FINAL: Final = "final"
SEND_SECONDS: Final = 30.0  # a server waits for a final block for 10 s, and then says that it has not seen one
MAX_METHOD_CHARS: Final = 256
MAX_ARGS_BYTES: Final = 4 << 20
MAX_KEY_CHARS: Final = 128  # of a public key, of whatever kind
MAX_GAS: Final = 1_000 * 10**12
MAX_VALIDITY: Final = 10_000_000  # blocks
MAX_HEIGHT: Final = 1 << 50
MAX_BLOCKS: Final = 16  # that one transaction of ours is carried out in; it is three or four
SIGNATURE_BYTES: Final = 65  # with the byte that says of which kind it is
FULL_ACCESS: Final = "FullAccess"
NOT_THERE: Final = "does not exist while viewing"  # of an account or a key, in the older form
ABSENT: Final = ("UNKNOWN_ACCOUNT", "UNKNOWN_ACCESS_KEY", NOT_THERE)
NO_CODE: Final = ("NO_CONTRACT_CODE", "CodeDoesNotExist")
NO_METHOD: Final = ("MethodNotFound", "MethodResolveError")
NONE_OF_OURS: Final = frozenset(
    ("UNKNOWN_ACCOUNT", "NO_CONTRACT_CODE", "METHOD_NOT_FOUND")
)  # as kinds of `ContractRefused`


@dataclass(frozen=True, slots=True)
class Block:
    """A final block: its hash in base58, its time in nanoseconds, and the yoctoNEAR at which it burns a gas."""

    height: int
    hash: str
    time: int
    gas_price: int

    @property
    def digest(self) -> bytes:
        """The 32 bytes of its hash."""
        return from_base58(self.hash)


@dataclass(frozen=True, slots=True)
class AccountView:
    """Amounts in yoctoNEAR, ``code_hash`` in base58, ``storage`` in bytes."""

    balance: int
    locked: int
    storage: int
    code_hash: str


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key of an account. ``receiver``: the only contract that it may call; None: it may do everything."""

    nonce: int
    receiver: str | None
    methods: tuple[str, ...] = ()
    allowance: int | None = None


@dataclass(frozen=True, slots=True)
class Viewed:
    """What a contract answers, and at which block."""

    value: Any
    height: int


@dataclass(frozen=True, slots=True)
class Call:
    """An action: a method of a contract."""

    method: str
    args: bytes
    gas: int
    deposit: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """An action: send yoctoNEAR."""

    amount: int


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """An action: make the account that the transaction goes to."""


@dataclass(frozen=True, slots=True)
class AddKey:
    """An action: a key (32 bytes) that may do everything with the account."""

    public: bytes


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """An action: this key may do nothing any more."""

    public: bytes


@dataclass(frozen=True, slots=True)
class Deploy:
    """An action: put in code."""

    code: bytes


Action = Call | Transfer | CreateAccount | AddKey | DeleteKey | Deploy


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction, ready to be sent: all its bytes, and its hash in base58."""

    hash: str
    data: bytes


class Near:
    """A network. All raise `NearUnreachable`, `NearRpcWrong` and `NearRefused`."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc

    def each(self) -> list[Near]:
        """The same by every server alone."""
        return [Near(one) for one in self.rpc.each()]

    async def protocol(self) -> tuple[int, int]:
        """The version of the protocol, and for how many blocks a transaction is valid."""
        told = Answer(
            await self.rpc.call("EXPERIMENTAL_protocol_config", {"finality": FINAL}), "protocol_config", NearRpcWrong
        )
        valid = told.number("transaction_validity_period", MAX_VALIDITY)
        return told.number("protocol_version", 1 << 32), valid

    async def block(self, name: str = FINAL) -> Block:
        """The last final block, or that with a hash."""
        told = await (self.rpc.final_block() if name == FINAL else self.rpc.call("block", {"block_id": name}))
        header = Answer(told, "block", NearRpcWrong).inside("header")
        found = base58(header.base58("hash"))
        if name not in (FINAL, found):
            raise NearRpcWrong("an RPC server tells of another block than it was asked for")
        price = header.amount("gas_price")
        return Block(header.number("height", MAX_HEIGHT), found, header.nanoseconds("timestamp_nanosec"), price)

    async def account(self, account: str, at: str = FINAL) -> AccountView | None:
        """An account, if there is one."""
        try:
            told = await self._query("view_account", at, account_id=account_id(account))
        except NearRefused as error:
            if error.kind in ABSENT:
                return None
            raise
        code = base58(told.base58("code_hash"))
        return AccountView(told.amount("amount"), told.amount("locked"), told.number("storage_usage"), code)

    async def access_key(self, account: str, key: str, at: str = FINAL) -> AccessKey | None:
        """A key of an account, if it has it."""
        try:
            told = await self._query("view_access_key", at, account_id=account_id(account), public_key=key)
        except NearRefused as error:
            if error.kind in ABSENT:
                return None
            raise
        if told.any("permission") == FULL_ACCESS:
            return AccessKey(told.number("nonce"), None)
        call = told.inside("permission").inside("FunctionCall")
        methods = tuple(shown(str(method)) for method in call.items("method_names"))
        receiver = call.account("receiver_id")
        return AccessKey(told.number("nonce"), receiver, methods, call.maybe("allowance", call.amount))

    async def full_access_keys(self, account: str, at: str = FINAL) -> tuple[str, ...]:
        """The public halves of the keys that may do everything with an account."""
        told, found = await self._query("view_access_key_list", at, account_id=account_id(account)), []
        for item in told.items("keys"):
            key = Answer(item, "view_access_key_list", NearRpcWrong)
            if key.inside("access_key").any("permission") == FULL_ACCESS:
                found.append(key.text("public_key", MAX_KEY_CHARS))
        return tuple(sorted(found))

    async def code(self, account: str, at: str = FINAL) -> bytes:
        """The code of a contract."""
        told = await self._query("view_code", at, account_id=account_id(account))
        try:
            return base64.b64decode(told.text("code_base64", MAX_ARGS_BYTES), validate=True)
        except ValueError:
            raise NearRpcWrong("the answer to view_code makes no sense: code_base64 should be base64") from None

    async def view(self, contract: str, method: str, args: bytes, at: str = FINAL) -> Viewed:
        """What a contract answers, by which it changes nothing. Raises `ContractRefused`, `ContractWrong`."""
        encoded = base64.b64encode(args).decode()
        try:
            told = await self._query(
                "call_function", at, account_id=account_id(contract), method_name=method, args_base64=encoded
            )
        except NearRefused as error:
            raise _of_contract(error, contract, method) from None
        try:
            data = bytes(told.any("result"))
            value = json.loads(data.decode()) if data else None
        except (TypeError, ValueError, RecursionError, OverflowError, MemoryError):
            raise ContractWrong(f"{contract} answers {method} with what is no JSON") from None
        return Viewed(value, told.number("block_height", MAX_HEIGHT))

    async def send(self, signed: Signed, signer: str) -> Outcome | None:
        """Send a transaction, and wait for a while until it is final; None: it is not known yet what becomes of it."""
        params = {"signed_tx_base64": base64.b64encode(signed.data).decode(), "wait_until": "FINAL"}
        return read_outcome(
            await self.rpc.call("send_tx", params, patience=SEND_SECONDS, rounds=1), signed.hash, signer
        )

    async def outcome(self, name: str, signer: str) -> Outcome | None:
        """What became of the transaction with this hash, if that is final. `NearRefused` of UNKNOWN_TRANSACTION decides nothing."""
        params = {"tx_hash": name, "sender_account_id": account_id(signer), "wait_until": "NONE"}
        return read_outcome(await self.rpc.call("tx", params, rounds=1), name, signer)

    async def over(self, name: str, signer: str) -> int | None:
        """The height of the last block in which anything of a transaction was carried out; None: that is not final, or not told."""
        params = {"tx_hash": name, "sender_account_id": account_id(signer), "wait_until": "NONE"}
        told = await self.rpc.call("tx", params, rounds=1)
        if read_outcome(told, name, signer) is None:
            return None
        blocks = read_blocks(told)
        if len(blocks) > MAX_BLOCKS:
            return None
        return max([(await self.block(block)).height for block in sorted(blocks)])

    async def _query(self, kind: str, at: str, **fields: str) -> Answer:
        """One of the queries. An error that comes as a result, as contracts' do, is raised like one that comes as an error."""
        place = {"finality": FINAL} if at == FINAL else {"block_id": at}
        told = Answer(await self.rpc.call("query", {"request_type": kind, **place, **fields}), kind, NearRpcWrong)
        if told.has("error"):
            said = str(told.any("error"))
            raise NearRefused(f"the network refused {kind}: {shown(said)}", NOT_THERE if NOT_THERE in said else said)
        if at != FINAL and told.any("block_hash") != at:
            raise NearRpcWrong("an RPC server answers for another block than it was asked about")
        return told


def _of_contract(error: NearRefused, contract: str, method: str) -> MycelError:
    """What the refusal of a view means: the words may be in the error's message, or in what `_query` took for its kind."""
    said = f"{error.kind} {error}"
    if words := panic(said):
        return ContractRefused(words, error_code(words))
    if error.kind in ABSENT:
        return ContractRefused(f"there is no account {contract} on this network", "UNKNOWN_ACCOUNT")
    if any(mark in said for mark in NO_CODE):
        return ContractRefused(f"no contract is deployed at {contract}", "NO_CONTRACT_CODE")
    if any(mark in said for mark in NO_METHOD):
        return ContractRefused(f"the contract at {contract} has no {method}: it is none of ours", "METHOD_NOT_FOUND")
    return error


# --- signing -------------------------------------------------------------------------------------------------------------------


def sign(key: NearKey, signer: str, receiver: str, nonce: int, block: bytes, actions: Sequence[Action]) -> Signed:
    """A transaction of ``signer``, on the block with this hash (32 bytes). Raises `AccountRefused`, `EncodingError`."""
    from py_near import transactions

    for account in (signer, receiver):
        account_id(account)
    if len(block) != 32 or not 0 < nonce <= MAX_U64 or not actions:
        raise EncodingError("a transaction needs a nonce, the hash of a block, and something to do")
    made = [_action(action) for action in actions]
    try:
        text = transactions.sign_and_serialize_transaction(signer, key.secret, receiver, nonce, made, block)
    except BaseException as error:  # a PanicException of pyo3 is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise EncodingError(f"the transaction cannot be signed: {shown(str(error))}") from None
    data = base64.b64decode(text)
    digest = hashlib.sha256(data[:-SIGNATURE_BYTES]).digest()
    try:
        VerifyKey(key.public).verify(digest, data[1 - SIGNATURE_BYTES :])
    except BadSignatureError:
        raise EncodingError("the transaction was signed wrongly, and is not sent") from None
    return Signed(base58(digest), data)


def _action(action: Action) -> Any:
    from py_near import transactions as make

    match action:
        case Call(method, args, gas, deposit):
            if not 0 < len(method) <= MAX_METHOD_CHARS or len(args) > MAX_ARGS_BYTES:
                raise EncodingError("a call has a method of at most 256 characters, and arguments of at most 4 MiB")
            _within(gas, MAX_GAS)
            _within(deposit, MAX_YOCTO)
            return make.create_function_call_action(method, args, gas, deposit)
        case Transfer(amount):
            _within(amount, MAX_YOCTO)
            return make.create_transfer_action(amount)
        case CreateAccount():
            return make.create_create_account_action()
        case AddKey(public):
            return make.create_full_access_key_action(_key(public))
        case DeleteKey(public):
            return make.create_delete_access_key_action(_key(public))
        case Deploy(code):
            return make.create_deploy_contract_action(code)


def _within(number: int, most: int) -> None:
    if not 0 <= number <= most:
        raise EncodingError("an amount is out of range")


def _key(public: bytes) -> bytes:
    if len(public) != 32:
        raise EncodingError("an Ed25519 public key has 32 bytes")
    return public
