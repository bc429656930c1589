"""Borsh: what is encoded is decoded, the bytes are the network's, and hostile bytes are refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_near import transactions

from mycel_simnet.near import borsh
from mycel_simnet.near.borsh import BorshError
from mycel_simnet.near.keys import Ed25519, Ed25519Signature, KeyPair, Secp256k1, parse_key, parse_secret, to_text
from mycel_simnet.near.types import (
    AccessKey,
    ActionReceipt,
    AddKey,
    CreateAccount,
    DataReceipt,
    DataReceiver,
    DeleteAccount,
    DeleteKey,
    DeployContract,
    FullAccess,
    FunctionCall,
    FunctionCallPermission,
    Receipt,
    SignedTransaction,
    Stake,
    Transaction,
    Transfer,
    parse_transaction,
)

names = st.text("abc.-_é", max_size=20)
u64 = st.integers(0, 2**64 - 1)
u128 = st.integers(0, 2**128 - 1)
hashes = st.binary(min_size=32, max_size=32)
public_keys = st.one_of(st.builds(Ed25519, hashes), st.builds(Secp256k1, st.binary(min_size=64, max_size=64)))
permissions = st.one_of(
    st.builds(FunctionCallPermission, st.none() | u128, names, st.lists(names, max_size=3).map(tuple)),
    st.just(FullAccess()),
)
access_keys = st.builds(AccessKey, u64, permissions)
actions = st.one_of(
    st.just(CreateAccount()),
    st.builds(DeployContract, st.binary(max_size=30)),
    st.builds(FunctionCall, names, st.binary(max_size=30), u64, u128),
    st.builds(Transfer, u128),
    st.builds(Stake, u128, public_keys),
    st.builds(AddKey, public_keys, access_keys),
    st.builds(DeleteKey, public_keys),
    st.builds(DeleteAccount, names),
)
many = st.lists(actions, max_size=5).map(tuple)
unsigned = st.builds(Transaction, names, public_keys, u64, names, hashes, many)
signed = st.builds(SignedTransaction, unsigned, st.builds(Ed25519Signature, st.binary(min_size=64, max_size=64)))
action_receipts = st.builds(
    ActionReceipt,
    names,
    public_keys,
    u128,
    st.lists(st.builds(DataReceiver, hashes, names), max_size=3).map(tuple),
    st.lists(hashes, max_size=3).map(tuple),
    many,
    st.none() | names,
)
data_receipts = st.builds(DataReceipt, hashes, st.none() | st.binary(max_size=30))
receipts = st.builds(Receipt, names, names, hashes, st.one_of(action_receipts, data_receipts))


@given(signed)
def test_transactions_come_back(transaction: SignedTransaction) -> None:
    data = borsh.encode(SignedTransaction, transaction)
    assert borsh.decode(SignedTransaction, data) == transaction


@given(receipts)
def test_receipts_come_back(receipt: Receipt) -> None:
    assert borsh.decode(Receipt, borsh.encode(Receipt, receipt)) == receipt


@given(signed, st.integers(0, 500))
def test_what_is_cut_off_or_goes_on_is_refused(transaction: SignedTransaction, cut: int) -> None:
    data = borsh.encode(SignedTransaction, transaction)
    with pytest.raises(BorshError):
        borsh.decode(SignedTransaction, data[: min(cut, len(data) - 1)])
    with pytest.raises(BorshError):
        borsh.decode(SignedTransaction, data + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_transaction_or_refused(data: bytes) -> None:
    try:
        transaction = parse_transaction(data)
    except BorshError:
        return
    assert borsh.encode(SignedTransaction, transaction) == data, "one transaction has one encoding"


@pytest.mark.parametrize(
    "data",
    [
        b"\2\0\0\0",  # a list of two keys, and then nothing
        b"\xff\xff\xff\xff" + bytes(64),  # four thousand million of them
        bytes(borsh.MAX_BYTES + 1),
    ],
)
def test_lengths_are_believed_only_as_far_as_there_are_bytes(data: bytes) -> None:
    with pytest.raises(BorshError):
        borsh.decode(Transaction, data)


def test_a_transaction_of_version_1_is_refused_by_name() -> None:
    with pytest.raises(BorshError, match="gas keys"):
        parse_transaction(b"\1\5\0\0\0alice")


def test_the_bytes_are_those_that_py_near_signs() -> None:
    pair = KeyPair(bytes(range(32)))
    actions = [transactions.create_transfer_action(5), transactions.create_function_call_action("m", b"{}", 9, 3)]
    secret = pair.seed + pair.public.data
    raw = transactions.sign_and_serialize_transaction("alice.near", secret, "bob.near", 7, actions, bytes(32))
    theirs = parse_transaction(base64.b64decode(raw))
    assert theirs.transaction == Transaction(
        "alice.near", pair.public, 7, "bob.near", bytes(32), (Transfer(5), FunctionCall("m", b"{}", 9, 3))
    )
    assert theirs.signature == pair.sign(theirs.transaction.hash), "the hash that is signed is the same"


@given(hashes)
def test_keys_come_back_from_their_text(seed: bytes) -> None:
    pair = KeyPair(seed)
    assert parse_secret(pair.secret_text) == pair
    assert parse_key(pair.public_text) == pair.public
    assert to_text(parse_key(pair.public_text.removeprefix("ed25519:"))) == pair.public_text
