"""A chain in memory whose time stands still, for tests of its rules: what is sent is carried out to the end at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mycel_simnet.near import finality
from mycel_simnet.near.borsh import encode
from mycel_simnet.near.chain import Chain
from mycel_simnet.near.keys import KeyPair, sha256
from mycel_simnet.near.state import CODE, DATA, KEY, access_key_of, account_of
from mycel_simnet.near.store import Store
from mycel_simnet.near.types import (
    AccessKey,
    Account,
    Action,
    AddKey,
    CreateAccount,
    DeployContract,
    FullAccess,
    FunctionCall,
    FunctionCallPermission,
    Json,
    SignedTransaction,
    Transaction,
    Transfer,
)

NEAR = 10**24
TERAGAS = 10**12
START = 1_700_000_000_000_000_000  # nanoseconds


@dataclass
class Clock:
    """Nanoseconds, moved by hand."""

    now: int = START

    def __call__(self) -> int:
        return self.now


def key_of(name: str) -> KeyPair:
    """The key of an account."""
    return KeyPair(sha256(name.encode()))


@dataclass
class World:
    """The chain; accounts ``alice``, ``bob`` and ``carol`` have 1000 N each."""

    chain: Chain = field(default_factory=lambda: Chain(Store(None), Clock()))

    def __post_init__(self) -> None:
        if not self.chain.exists:
            names = ("alice", "bob", "carol")
            self.chain.genesis("test", {name: (key_of(name).public, 1000 * NEAR) for name in names})

    # --- sending ---

    def signed(
        self,
        signer: str,
        receiver: str,
        *actions: Action,
        key: KeyPair | None = None,
        nonce: int | None = None,
        block_hash: bytes | None = None,
    ) -> SignedTransaction:
        """A transaction; its nonce is the key's next, its block the last final one, unless said otherwise."""
        key = key or key_of(signer)
        if nonce is None:
            found = access_key_of(self.chain.ledger, signer, key.public)
            nonce = found.nonce + 1 if found else 1
        base = self.chain.final.hash if block_hash is None else block_hash
        transaction = Transaction(signer, key.public, nonce, receiver, base, actions)
        return SignedTransaction(transaction, key.sign(transaction.hash))

    def run(self, signed: SignedTransaction) -> Json:
        """Carry it out to the end; what RPCs answer."""
        self.chain.submit(signed)
        self.chain.settle()
        return self.answer(signed.transaction.hash)

    def answer(self, name: bytes) -> Json:
        """What RPCs answer of a transaction."""
        found = finality.progress(self.chain, name)
        assert found is not None
        return finality.answer(self.chain, found, with_receipts=True)

    def send(self, signer: str, receiver: str, *actions: Action, key: KeyPair | None = None) -> Json:
        """Sign and carry out."""
        return self.run(self.signed(signer, receiver, *actions, key=key))

    def call(
        self, signer: str, contract: str, method: str, args: bytes = b"", deposit: int = 0, gas: int = 100
    ) -> Json:
        """Call a method, with so many teragas."""
        return self.send(signer, contract, FunctionCall(method, args, gas * TERAGAS, deposit))

    # --- making ---

    def create(self, name: str, balance: int = 10 * NEAR, code: bytes | None = None) -> str:
        """An account below ``alice``, with code."""
        account = f"{name}.alice"
        add = AddKey(key_of(account).public, AccessKey(0, FullAccess()))
        deploy = [] if code is None else [DeployContract(code)]
        succeeded(self.send("alice", account, CreateAccount(), Transfer(balance), add, *deploy))
        return account

    def add_call_key(self, account: str, contract: str, *methods: str, allowance: int | None = None) -> KeyPair:
        """A key of ``account`` that may only call."""
        key = key_of(f"{account} {contract} {methods} {allowance}")
        permission = FunctionCallPermission(allowance, contract, methods)
        succeeded(self.send(account, account, AddKey(key.public, AccessKey(0, permission))))
        return key

    # --- looking ---

    def account(self, name: str) -> Account:
        """An account that must be there."""
        found = account_of(self.chain.ledger, name)
        assert found is not None, f"{name} is gone"
        return found

    def balance(self, name: str) -> int:
        """What an account has; 0 if there is none."""
        found = account_of(self.chain.ledger, name)
        return 0 if found is None else found.amount

    def stored(self, account: str, key: bytes = b"k") -> bytes | None:
        """A record of a contract."""
        value: bytes | None = self.chain.ledger.get(DATA, account, key)
        return value

    def key(self, account: str, key: KeyPair) -> AccessKey | None:
        """An access key."""
        return access_key_of(self.chain.ledger, account, key.public)

    def total(self) -> int:
        """All tokens that accounts have."""
        return sum(self.balance(name) for name in self.chain.ledger.accounts())

    def usage_from_scratch(self, account: str) -> int:
        """The bytes that an account takes, counted over everything it has."""
        state = self.chain.ledger
        total = 100 + len(state.get(CODE, account) or b"")
        total += sum(len(name) + len(value) + 40 for name, value in state.scan(DATA, account))
        total += sum(len(name) + len(encode(AccessKey, key)) + 40 for name, key in state.scan(KEY, account))
        return total


def succeeded(answer: Json) -> Json:
    """The answer, of a transaction that succeeded."""
    assert "SuccessValue" in answer["status"], answer["status"]
    return answer


def failure(answer: Json) -> Json:
    """Why an action failed."""
    return answer["status"]["Failure"]["ActionError"]["kind"]


def burnt(answers: Iterable[Json]) -> int:
    """The tokens that the outcomes say were burnt."""
    return sum(
        int(one["outcome"]["tokens_burnt"])
        for answer in answers
        for one in (answer["transaction_outcome"], *answer["receipts_outcome"])
    )


def receipts_of(answer: Json) -> list[Json]:
    """The outcomes of the receipts, in order."""
    return [one["outcome"] for one in answer["receipts_outcome"]]
