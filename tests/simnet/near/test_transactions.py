"""What a transaction must be to be taken, and what it costs up front: each rule, with the network's own words for breaking it."""

from __future__ import annotations

from typing import Any

import pytest

from mycel_simnet.near import tables
from mycel_simnet.near.errors import InvalidTransaction
from mycel_simnet.near.types import (
    AccessKey,
    AddKey,
    CreateAccount,
    DeleteAccount,
    DeployContract,
    FullAccess,
    FunctionCall,
    FunctionCallPermission,
    SignedTransaction,
    Transfer,
)
from tests.simnet.near.contracts import EVERYTHING
from tests.simnet.near.world import NEAR, TERAGAS, World, failure, key_of, succeeded


@pytest.fixture
def world() -> World:
    return World()


def refused(world: World, signed: SignedTransaction) -> Any:
    """Why a transaction is refused; and nothing has changed."""
    before = world.total(), world.chain.head.height
    with pytest.raises(InvalidTransaction) as caught:
        world.chain.submit(signed)
    assert (world.total(), world.chain.head.height) == before
    assert not world.chain.busy
    return caught.value.json


def test_a_transfer_takes_the_gas_up_front_and_gives_back_what_it_is_bought_too_dearly(world: World) -> None:
    signed = world.signed("alice", "bob", Transfer(5))
    world.chain.submit(signed)
    world.chain.produce()
    gas = 108_059_500_000 + 115_123_062_500  # the receipt, the transfer
    up_front = (
        gas * 10**8 + gas * 10**9 + 5
    )  # what is burnt now at the block's price, what is bought at the least price, the tokens
    assert world.balance("alice") == 1000 * NEAR - up_front
    world.chain.settle()
    assert world.balance("alice") == 1000 * NEAR - 2 * gas * 10**8 - 5
    assert world.balance("bob") == 1000 * NEAR + 5


def test_a_nonce_must_grow_and_stay_below_what_the_height_allows(world: World) -> None:
    succeeded(world.run(world.signed("alice", "bob", Transfer(1), nonce=7)))
    for used in (7, 6):
        shown = refused(world, world.signed("alice", "bob", Transfer(2), nonce=used))
        assert shown == {"InvalidNonce": {"tx_nonce": used, "ak_nonce": 7}}
    bound = (world.chain.head.height + 1) * 10**6
    shown = refused(world, world.signed("alice", "bob", Transfer(2), nonce=bound))
    assert shown == {"NonceTooLarge": {"tx_nonce": bound, "upper_bound": bound}}
    succeeded(world.run(world.signed("alice", "bob", Transfer(2), nonce=bound - 1)))


def test_a_hash_that_is_no_block_of_this_chain_is_expired(world: World) -> None:
    assert refused(world, world.signed("alice", "bob", Transfer(1), block_hash=bytes(32))) == "Expired"


def test_a_transaction_is_valid_for_a_number_of_blocks(world: World) -> None:
    base = world.chain.head
    world.chain.skip(tables.VALIDITY_PERIOD, 0)
    assert world.chain.head.height == base.height + tables.VALIDITY_PERIOD
    succeeded(world.run(world.signed("alice", "bob", Transfer(1), block_hash=base.hash)))
    assert refused(world, world.signed("alice", "bob", Transfer(1), block_hash=base.hash)) == "Expired"


def test_only_the_named_key_can_have_signed(world: World) -> None:
    good = world.signed("alice", "bob", Transfer(1))
    forged = SignedTransaction(good.transaction, key_of("bob").sign(good.transaction.hash))
    assert refused(world, forged) == "InvalidSignature"
    stranger = key_of("stranger")
    shown = refused(world, world.signed("alice", "bob", Transfer(1), key=stranger))
    named = {"account_id": "alice", "public_key": stranger.public_text}
    assert shown == {"InvalidAccessKeyError": {"AccessKeyNotFound": named}}
    shown = refused(world, world.signed("nobody", "bob", Transfer(1)))
    assert shown == {"SignerDoesNotExist": {"signer_id": "nobody"}}


def test_who_has_too_little_is_refused_with_the_figures(world: World) -> None:
    shown = refused(world, world.signed("alice", "bob", Transfer(1000 * NEAR)))
    cost = 1000 * NEAR + 223_182_562_500 * 11 * 10**8
    assert shown == {"NotEnoughBalance": {"signer_id": "alice", "balance": str(1000 * NEAR), "cost": str(cost)}}


def test_a_cost_that_no_number_holds(world: World) -> None:
    assert refused(world, world.signed("alice", "bob", *[Transfer(2**128 - 1)] * 2)) == "CostOverflow"


def test_what_is_left_must_cover_the_storage(world: World) -> None:
    account = world.create("big", 10 * NEAR, EVERYTHING + bytes(0))
    usage = world.account(account).storage_usage
    assert usage > tables.ZERO_BALANCE_BYTES, "else nothing would have to be covered"
    fees = 223_182_562_500 * 11 * 10**8
    too_much = world.balance(account) - fees - usage * 10**19 + 1
    shown = refused(world, world.signed(account, "bob", Transfer(too_much)))
    assert shown == {"LackBalanceForState": {"signer_id": account, "amount": "1"}}
    succeeded(world.send(account, "bob", Transfer(too_much - 1)))


def test_a_small_account_needs_no_balance(world: World) -> None:
    account = world.create("small", 1 * NEAR)
    fees = 223_182_562_500 * 11 * 10**8
    succeeded(world.send(account, "bob", Transfer(1 * NEAR - fees)))
    assert world.balance(account) < world.account(account).storage_usage * 10**19


def test_the_same_transaction_again_is_the_same_transaction(world: World) -> None:
    signed = world.signed("alice", "bob", Transfer(5))
    first = world.run(signed)
    again = world.run(signed)
    assert again == first, (
        "a client that lost the reply must not be told InvalidNonce: it would sign anew and pay twice"
    )
    assert world.balance("bob") == 1000 * NEAR + 5


def test_a_node_forgets_old_transactions_and_never_carries_them_out_again(world: World) -> None:
    signed = world.signed("alice", "bob", Transfer(5))
    world.run(signed)
    world.chain.skip(5 * tables.EPOCH_LENGTH + 10, 0)
    assert world.chain.known(signed.transaction.hash) is None
    assert refused(world, signed) == "Expired"


def test_two_of_the_same_nonce_in_one_block_are_one(world: World) -> None:
    first = world.signed("alice", "bob", Transfer(5), nonce=9)
    second = world.signed("alice", "carol", Transfer(5), nonce=9)
    world.chain.submit(first)
    world.chain.submit(second)
    world.chain.settle()
    succeeded(world.answer(first.transaction.hash))
    lost = world.answer(second.transaction.hash)
    error = {"InvalidTxError": {"InvalidNonce": {"tx_nonce": 9, "ak_nonce": 9}}}
    assert lost["status"] == {"Failure": error}
    assert world.balance("carol") == 1000 * NEAR


def test_transactions_of_one_block_go_by_their_nonces(world: World) -> None:
    later = world.signed("alice", "bob", Transfer(5), nonce=9)
    earlier = world.signed("alice", "bob", Transfer(5), nonce=8)
    world.chain.submit(later)
    world.chain.submit(earlier)
    world.chain.settle()
    succeeded(world.answer(earlier.transaction.hash))
    succeeded(world.answer(later.transaction.hash))


# --- keys that may only call ---------------------------------------------------------------------------------------------


def call(method: str = "echo", deposit: int = 0, gas: int = 10 * TERAGAS) -> FunctionCall:
    return FunctionCall(method, b"", gas, deposit)


def test_a_key_for_calls_may_call_its_methods_of_its_contract_without_a_deposit(world: World) -> None:
    contract = world.create("shop", code=EVERYTHING)
    key = world.add_call_key("bob", contract, "echo", "store")
    succeeded(world.send("bob", contract, call(), key=key))
    wrong = {
        "RequiresFullAccess": world.signed("bob", contract, Transfer(1), key=key),
        "DepositWithFunctionCall": world.signed("bob", contract, call(deposit=1), key=key),
    }
    for error, signed in wrong.items():
        assert refused(world, signed) == {"InvalidAccessKeyError": error}
    two = world.signed("bob", contract, call(), call(), key=key)
    assert refused(world, two) == {"InvalidAccessKeyError": "RequiresFullAccess"}
    shown = refused(world, world.signed("bob", "carol", call(), key=key))
    assert shown == {"InvalidAccessKeyError": {"ReceiverMismatch": {"tx_receiver": "carol", "ak_receiver": contract}}}
    shown = refused(world, world.signed("bob", contract, call("fail"), key=key))
    assert shown == {"InvalidAccessKeyError": {"MethodNameMismatch": {"method_name": "fail"}}}


def test_an_allowance_pays_for_the_gas_and_gets_back_what_was_not_burnt(world: World) -> None:
    contract = world.create("shop", code=EVERYTHING)
    key = world.add_call_key("bob", contract, allowance=NEAR)
    before = world.balance("bob")
    succeeded(world.send("bob", contract, call(), key=key))
    found = world.key("bob", key)
    assert found is not None
    assert isinstance(found.permission, FunctionCallPermission)
    assert found.permission.allowance is not None
    assert NEAR - found.permission.allowance == before - world.balance("bob") > 0
    shown = refused(world, world.signed("bob", contract, call(gas=1000 * TERAGAS), key=key))
    refusal = shown["InvalidAccessKeyError"]["NotEnoughAllowance"]
    assert refusal["allowance"] == str(found.permission.allowance)
    assert int(refusal["cost"]) > found.permission.allowance


def test_a_refused_transaction_leaves_the_allowance_alone(world: World) -> None:
    key = world.add_call_key("bob", "carol", "m", allowance=NEAR)
    before = world.key("bob", key)
    refused(world, world.signed("bob", "carol", call("other"), key=key))
    assert world.key("bob", key) == before


# --- actions that no transaction may carry ---------------------------------------------------------------------------------


def test_actions_must_be_well_formed(world: World) -> None:
    key = key_of("new").public
    wrong: list[tuple[Any, Any]] = [
        ((DeleteAccount("bob"), Transfer(1)), "DeleteActionMustBeFinal"),
        ((call(gas=0),), "FunctionCallZeroAttachedGas"),
        (
            (call(gas=600 * TERAGAS), call(gas=600 * TERAGAS)),
            {"TotalPrepaidGasExceeded": {"total_prepaid_gas": 1200 * TERAGAS, "limit": 1000 * TERAGAS}},
        ),
        (
            (Transfer(1),) * 101,
            {"TotalNumberOfActionsExceeded": {"total_number_of_actions": 101, "limit": 100}},
        ),
        (
            (DeployContract(b""),) * 11,
            {"TotalNumberOfDeployActionsExceeded": {"number_of_deploy_actions": 11, "limit": 10}},
        ),
        (
            (call("m" * 257),),
            {"FunctionCallMethodNameLengthExceeded": {"length": 257, "limit": 256}},
        ),
        ((DeleteAccount("No"),), {"InvalidAccountId": {"account_id": "No"}}),
        (
            (AddKey(key, AccessKey(0, FunctionCallPermission(None, "alice", ("m" * 257,)))),),
            {"AddKeyMethodNameLengthExceeded": {"length": 257, "limit": 256}},
        ),
        (
            (AddKey(key, AccessKey(0, FunctionCallPermission(None, "alice", ("m" * 250,) * 8))),),
            {"AddKeyMethodNamesNumberOfBytesExceeded": {"total_number_of_bytes": 2008, "limit": 2000}},
        ),
    ]
    for actions, error in wrong:
        assert refused(world, world.signed("alice", "alice", *actions)) == {"ActionsValidation": error}


def test_a_transaction_must_not_be_too_large(world: World) -> None:
    shown = refused(world, world.signed("alice", "alice", DeployContract(bytes(1_572_864))))
    assert shown["TransactionSizeExceeded"]["limit"] == 1_572_864


def test_a_new_key_begins_where_no_old_transaction_of_its_name_can_be_played_again(world: World) -> None:
    key = key_of("new")
    succeeded(world.send("alice", "alice", AddKey(key.public, AccessKey(5, FullAccess()))))
    found = world.key("alice", key)
    assert found is not None
    assert found.nonce // 10**6 in range(world.chain.genesis_header.height, world.chain.head.height)


def test_an_account_that_is_made_costs_seven_thousandths_in_all(world: World) -> None:
    before = world.balance("alice")
    answer = succeeded(world.send("alice", "new.alice", CreateAccount(), Transfer(NEAR)))
    receipt = answer["receipts_outcome"][0]["outcome"]
    create = 7_200_000_000_000
    rest = (receipt["gas_burnt"] - create) * 10**8
    assert int(receipt["tokens_burnt"]) - rest == 7 * 10**21
    assert world.balance("alice") == before - NEAR - sum(
        int(one["outcome"]["tokens_burnt"]) for one in (answer["transaction_outcome"], *answer["receipts_outcome"])
    )
    assert failure(world.send("alice", "new.alice", CreateAccount())) == {
        "AccountAlreadyExists": {"account_id": "new.alice"}
    }
