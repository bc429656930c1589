"""What each action does to an account, when it fails, and that a receipt that fails has done nothing."""

from __future__ import annotations

import pytest

from mycel_simnet.near.keys import sha256
from mycel_simnet.near.types import (
    AccessKey,
    AddKey,
    CreateAccount,
    DeleteAccount,
    DeleteKey,
    DeployContract,
    FullAccess,
    FunctionCall,
    Stake,
    Transfer,
)
from tests.simnet.near.contracts import EVERYTHING
from tests.simnet.near.world import NEAR, TERAGAS, World, burnt, failure, key_of, receipts_of, succeeded


@pytest.fixture
def world() -> World:
    return World()


def add(name: str) -> AddKey:
    return AddKey(key_of(name).public, AccessKey(0, FullAccess()))


def test_only_the_parent_makes_a_child_and_nobody_a_short_name(world: World) -> None:
    shown = failure(world.send("bob", "x.alice", CreateAccount()))
    assert shown == {"CreateAccountNotAllowed": {"account_id": "x.alice", "predecessor_id": "bob"}}
    shown = failure(world.send("alice", "a.b.alice", CreateAccount()))
    assert shown == {"CreateAccountNotAllowed": {"account_id": "a.b.alice", "predecessor_id": "alice"}}
    shown = failure(world.send("alice", "somebody", CreateAccount()))
    assert shown["CreateAccountOnlyByRegistrar"]["registrar_account_id"] == "registrar"
    shown = failure(world.send("alice", "00" * 32, CreateAccount()))
    assert shown == {"OnlyImplicitAccountCreationAllowed": {"account_id": "00" * 32}}


def test_tokens_for_a_public_key_make_its_account(world: World) -> None:
    pair = key_of("implicit")
    account = pair.public.data.hex()
    answer = succeeded(world.send("alice", account, Transfer(NEAR)))
    assert world.balance(account) == NEAR
    assert world.account(account).storage_usage == world.usage_from_scratch(account) == 182
    assert (
        receipts_of(answer)[0]["gas_burnt"] == 108_059_500_000 + 115_123_062_500 + 7_200_000_000_000 + 101_765_125_000
    )
    succeeded(world.send(account, "bob", Transfer(1), key=pair))


def test_tokens_for_nobody_come_back(world: World) -> None:
    before = world.balance("alice")
    answer = world.send("alice", "nobody", Transfer(NEAR))
    assert failure(answer) == {"AccountDoesNotExist": {"account_id": "nobody"}}
    assert world.balance("alice") == before - burnt([answer])


def test_only_the_account_itself_changes_its_code_and_keys(world: World) -> None:
    for action in (DeployContract(b"x"), add("alice"), DeleteKey(key_of("bob").public), DeleteAccount("alice")):
        shown = failure(world.send("alice", "bob", action))
        assert shown == {"ActorNoPermission": {"account_id": "bob", "actor_id": "alice"}}


def test_a_batch_makes_an_account_with_everything_or_nothing_of_it(world: World) -> None:
    batch = (CreateAccount(), add("new.alice"), Transfer(10 * NEAR), DeployContract(EVERYTHING))
    before = world.balance("alice")
    bad = world.send("alice", "new.alice", *batch, FunctionCall("store_and_fail", b"1", 10 * TERAGAS, 0))
    assert bad["status"]["Failure"]["ActionError"]["index"] == 4
    assert "new.alice" not in world.chain.ledger.accounts()
    assert world.balance("alice") == before - burnt([bad]), "the deposit came back, the gas that was not burnt, too"
    assert world.key("new.alice", key_of("new.alice")) is None
    succeeded(world.send("alice", "new.alice", *batch, FunctionCall("store", b"1", 10 * TERAGAS, 0)))
    assert world.stored("new.alice") == b"1"
    assert world.account("new.alice").code_hash == sha256(EVERYTHING)


def test_a_contract_must_be_able_to_pay_for_its_bytes(world: World) -> None:
    batch = (CreateAccount(), Transfer(10**21), DeployContract(bytes(1000)))
    shown = failure(world.send("alice", "poor.alice", *batch))
    assert shown == {"LackBalanceForState": {"account_id": "poor.alice", "amount": str(1100 * 10**19 - 10**21)}}


def test_code_that_is_replaced_no_longer_counts(world: World) -> None:
    account = world.create("shop", code=EVERYTHING)
    assert world.account(account).storage_usage == world.usage_from_scratch(account)
    succeeded(world.send(account, account, DeployContract(b"other")))
    assert world.account(account).storage_usage == world.usage_from_scratch(account) == 182 + 5


def test_keys_come_and_go_with_their_bytes(world: World) -> None:
    key = key_of("second")
    succeeded(world.send("alice", "alice", AddKey(key.public, AccessKey(0, FullAccess()))))
    assert world.account("alice").storage_usage == world.usage_from_scratch("alice") == 182 + 33 + 9 + 40
    shown = failure(world.send("alice", "alice", AddKey(key.public, AccessKey(0, FullAccess()))))
    assert shown == {"AddKeyAlreadyExists": {"account_id": "alice", "public_key": key.public_text}}
    succeeded(world.send("alice", "alice", DeleteKey(key.public)))
    assert world.account("alice").storage_usage == 182
    shown = failure(world.send("alice", "alice", DeleteKey(key.public)))
    assert shown == {"DeleteKeyDoesNotExist": {"account_id": "alice", "public_key": key.public_text}}


def test_what_a_deleted_account_has_goes_to_the_beneficiary(world: World) -> None:
    account = world.create("old", 10 * NEAR)
    before = world.balance("bob") + world.balance(account)
    answer = succeeded(world.send(account, account, DeleteAccount("bob")))
    assert account not in world.chain.ledger.accounts()
    assert world.key(account, key_of(account)) is None
    lost = sum(int(one["tokens_burnt"]) for one in receipts_of(answer))
    lost += int(answer["transaction_outcome"]["outcome"]["tokens_burnt"])
    gas_refund = answer["receipts"][-1]["receipt"]["Action"]["actions"][0]["Transfer"]["deposit"]
    assert world.balance("bob") == before - lost - int(gas_refund), (
        "the gas refund found no account any more and is burnt"
    )


def test_an_account_with_much_state_can_not_be_deleted(world: World) -> None:
    account = world.create("full", 10 * NEAR, EVERYTHING)
    succeeded(world.call("bob", account, "store", bytes(10_000)))
    shown = failure(world.send(account, account, DeleteAccount("bob")))
    assert shown == {"DeleteAccountWithLargeState": {"account_id": account}}


def test_what_a_deleted_account_leaves_to_nobody_is_burnt(world: World) -> None:
    account = world.create("old", 10 * NEAR)
    answer = succeeded(world.send(account, account, DeleteAccount("nobody")))
    assert "Failure" in receipts_of(answer)[1]["status"]
    assert world.total() == world.chain.head.total_supply


def test_there_are_no_validators_to_be(world: World) -> None:
    shown = failure(world.send("alice", "alice", Stake(NEAR, key_of("alice").public)))
    assert shown["InsufficientStake"]["stake"] == str(NEAR)


def test_the_first_action_that_fails_is_named(world: World) -> None:
    answer = world.send("alice", "bob", Transfer(1), DeployContract(b""), Transfer(1))
    assert answer["status"]["Failure"]["ActionError"]["index"] == 1
    assert world.balance("bob") == 1000 * NEAR
