"""Host functions of promises: receipts that a call makes, what they wait for, and the actions in them."""

from __future__ import annotations

from typing import Any

from mycel_simnet.near import tables
from mycel_simnet.near.borsh import BorshError, decode_kind
from mycel_simnet.near.errors import HostError, NotHere
from mycel_simnet.near.fees import fee
from mycel_simnet.near.host import FUNCTIONS, Call, Joint, NewReceipt, host, not_in_view
from mycel_simnet.near.keys import Ed25519, PublicKey, Secp256k1
from mycel_simnet.near.tables import LIMITS
from mycel_simnet.near.types import (
    AccessKey,
    Action,
    AddKey,
    CreateAccount,
    DeleteAccount,
    DeleteKey,
    DeployContract,
    FullAccess,
    FunctionCall,
    FunctionCallPermission,
    Transfer,
)


class PromiseCall(Call):
    """The functions."""

    # --- receipts ---

    def _is_self(self, receiver: str) -> bool:
        return receiver == self.context.current_account_id

    def _new_receipt(self, receiver: str, depends_on: tuple[int, ...]) -> int:
        """A receipt is paid for when it is made, and with it the data that it waits for."""
        send = tables.RECEIPT.send(self._is_self(receiver))
        for index in depends_on:
            same = self.receipts[index].receiver_id == receiver
            send += tables.DATA_BASE.send(same) + tables.DATA_BASE.execution
        self.gas.pay_action("new_action_receipt", send, tables.RECEIPT.execution)
        self.receipts.append(NewReceipt(receiver, depends_on))
        return self._new_promise(len(self.receipts) - 1)

    def _new_promise(self, promise: int | Joint) -> int:
        self.promises.append(promise)
        limit = LIMITS["max_promises_per_function_call_action"]
        if len(self.promises) > limit:
            raise HostError("NumberPromisesExceeded", number_of_promises=len(self.promises), limit=limit)
        return len(self.promises) - 1

    def _promise(self, index: int) -> int | Joint:
        if index >= len(self.promises):
            raise HostError("InvalidPromiseIndex", promise_idx=index)
        return self.promises[index]

    def _receipt(self, index: int, otherwise: str = "CannotAppendActionToJointPromise") -> NewReceipt:
        promise = self._promise(index)
        if isinstance(promise, Joint):
            raise HostError(otherwise)
        return self.receipts[promise]

    @host("II>I")
    @not_in_view
    def promise_batch_create(self, size: int, pointer: int) -> int:
        """A receipt for somebody, empty so far."""
        return self._new_receipt(self.account_id(size, pointer), ())

    @host("III>I")
    @not_in_view
    def promise_batch_then(self, index: int, size: int, pointer: int) -> int:
        """A receipt that waits for the outcome of a promise."""
        receiver = self.account_id(size, pointer)
        promise = self._promise(index)
        return self._new_receipt(receiver, promise.receipts if isinstance(promise, Joint) else (promise,))

    @host("II>I")
    @not_in_view
    def promise_and(self, pointer: int, count: int) -> int:
        """One promise of several, for a callback that waits for all of them."""
        self.gas.pay("promise_and_base")
        self.gas.pay("promise_and_per_promise", count * 8)
        indexes = self.read(pointer, count * 8)
        limit = LIMITS["max_number_input_data_dependencies"]
        receipts: list[int] = []
        for place in range(0, len(indexes), 8):
            promise = self._promise(int.from_bytes(indexes[place : place + 8], "little"))
            receipts.extend(promise.receipts if isinstance(promise, Joint) else (promise,))
            if len(receipts) > limit:
                raise HostError(
                    "NumberInputDataDependenciesExceeded", number_of_input_data_dependencies=len(receipts), limit=limit
                )
        return self._new_promise(Joint(tuple(receipts)))

    @host("IIIIIIII>I")
    def promise_create(self, size: int, pointer: int, *call: int) -> int:
        """A receipt with a call in it."""
        index = self.promise_batch_create(size, pointer)
        self.promise_batch_action_function_call(index, *call)
        return index

    @host("IIIIIIIII>I")
    def promise_then(self, after: int, size: int, pointer: int, *call: int) -> int:
        """A receipt with a call in it that waits for the outcome of a promise."""
        index = self.promise_batch_then(after, size, pointer)
        self.promise_batch_action_function_call(index, *call)
        return index

    @host("III")
    @not_in_view
    def promise_set_refund_to(self, index: int, size: int, pointer: int) -> None:
        """Who gets the deposits of a receipt back when it fails."""
        account = self.account_id(size, pointer)
        self._receipt(index, "CannotSetRefundToOnJointPromise").refund_to = account

    @host("I")
    def promise_return(self, index: int) -> None:
        """The outcome of this promise is the outcome of this call."""
        self.gas.pay("base")
        self.gas.pay("promise_return")
        if self.context.is_view:
            raise HostError("ProhibitedInView", method_name="promise_return")
        promise = self._promise(index)
        if isinstance(promise, Joint):
            raise HostError("CannotReturnJointPromise")
        self.returned = promise

    @host(">I")
    @not_in_view
    def promise_results_count(self) -> int:
        """How many outcomes this call waited for."""
        return len(self.context.promise_results)

    @host("II>I")
    @not_in_view
    def promise_result(self, index: int, register: int) -> int:
        """One of them: 1, with its value in the register, or 2 if it failed."""
        if index >= len(self.context.promise_results):
            raise HostError("InvalidPromiseResultIndex", result_idx=index)
        value = self.context.promise_results[index]
        if value is None:
            return 2
        self.set_register(register, value, free_bytes=True)
        return 1

    # --- actions ---

    def _deduct(self, amount: int) -> None:
        if amount > self.balance:
            raise HostError("BalanceExceeded")
        self.balance -= amount

    def _pay_for(self, name: str, action: Action, receiver: str) -> None:
        cost = fee(action, receiver)
        self.gas.pay_action(name, cost.send(self._is_self(receiver)), cost.execution)

    def _append(self, index: int, name: str, action: Action) -> NewReceipt:
        """Put an action into a receipt, once it is paid for."""
        receipt = self._receipt(index)
        self._pay_for(name, action, receipt.receiver_id)
        receipt.actions.append(action)
        return receipt

    def _key(self, size: int, pointer: int) -> Ed25519 | Secp256k1 | None:
        """A public key; that it is one is said when the action was paid for."""
        data = self.given(size, pointer)
        try:
            key: Ed25519 | Secp256k1 = decode_kind(PublicKey, data)
        except BorshError:
            return None
        return key

    def _with_key(self, index: int, name: str, cost: Action, key: Ed25519 | Secp256k1 | None) -> None:
        if key is None:
            self._pay_for(name, cost, self._receipt(index).receiver_id)
            raise HostError("InvalidPublicKey")
        self._append(index, name, cost)

    @host("I")
    @not_in_view
    def promise_batch_action_create_account(self, index: int) -> None:
        """Make the receiver."""
        self._append(index, "create_account", CreateAccount())

    @host("III")
    @not_in_view
    def promise_batch_action_deploy_contract(self, index: int, size: int, pointer: int) -> None:
        """Put code on the receiver."""
        code = self.given(size, pointer)
        if len(code) > LIMITS["max_contract_size"]:
            raise HostError("ContractSizeExceeded", size=len(code), limit=LIMITS["max_contract_size"])
        self._append(index, "deploy_contract", DeployContract(code))

    @host("IIIIIII")
    def promise_batch_action_function_call(
        self, index: int, name_size: int, name_at: int, args_size: int, args_at: int, amount_at: int, gas: int
    ) -> None:
        """Call a method of the receiver, with a fixed amount of gas."""
        call = self.promise_batch_action_function_call_weight
        call(index, name_size, name_at, args_size, args_at, amount_at, gas, 0)

    @host("IIIIIIII")
    @not_in_view
    def promise_batch_action_function_call_weight(
        self,
        index: int,
        name_size: int,
        name_at: int,
        args_size: int,
        args_at: int,
        amount_at: int,
        gas: int,
        weight: int,
    ) -> None:
        """Call a method of the receiver, with gas and a share of what will be left."""
        amount = self.read_u128(amount_at)
        name = self.given(name_size, name_at)
        if not name:
            raise HostError("EmptyMethodName")
        args = self.given(args_size, args_at)
        try:
            method = name.decode()
        except UnicodeDecodeError:
            raise HostError("InvalidMethodName") from None
        receipt = self._receipt(index)
        call = FunctionCall(method, args, gas, amount)
        self._pay_for("function_call", call, receipt.receiver_id)
        self.gas.give(gas)
        if amount == 1 and self.balance == 0:
            self.subsidised += (
                1  # a contract without a balance may still prove itself with one yocto (since protocol 85)
            )
        else:
            self._deduct(amount)
        receipt.actions.append(call)
        if weight:
            receipt.weights[len(receipt.actions) - 1] = weight

    @host("II")
    @not_in_view
    def promise_batch_action_transfer(self, index: int, amount_at: int) -> None:
        """Give the receiver tokens."""
        amount = self.read_u128(amount_at)
        receipt = self._receipt(index)
        action = Transfer(amount)
        self._pay_for("transfer", action, receipt.receiver_id)
        self._deduct(amount)
        receipt.actions.append(action)

    @host("IIII")
    @not_in_view
    def promise_batch_action_add_key_with_full_access(self, index: int, size: int, pointer: int, nonce: int) -> None:
        """Give the receiver a key that may do everything."""
        key = self._key(size, pointer)
        action = AddKey(key or Ed25519(bytes(32)), AccessKey(nonce, FullAccess()))
        self._with_key(index, "add_full_access_key", action, key)

    @host("IIIIIIIII")
    @not_in_view
    def promise_batch_action_add_key_with_function_call(
        self,
        index: int,
        size: int,
        pointer: int,
        nonce: int,
        allowance_at: int,
        receiver_size: int,
        receiver_at: int,
        names_size: int,
        names_at: int,
    ) -> None:
        """Give the receiver a key that may call methods of one contract."""
        key = self._key(size, pointer)
        allowance = self.read_u128(allowance_at)
        receiver = self.account_id(receiver_size, receiver_at)
        names = _method_names(self.given(names_size, names_at))
        permission = FunctionCallPermission(allowance or None, receiver, names)
        action = AddKey(key or Ed25519(bytes(32)), AccessKey(nonce, permission))
        self._with_key(index, "add_function_call_key", action, key)

    @host("III")
    @not_in_view
    def promise_batch_action_delete_key(self, index: int, size: int, pointer: int) -> None:
        """Take a key away from the receiver."""
        key = self._key(size, pointer)
        self._with_key(index, "delete_key", DeleteKey(key or Ed25519(bytes(32))), key)

    @host("III")
    @not_in_view
    def promise_batch_action_delete_account(self, index: int, size: int, pointer: int) -> None:
        """End the receiver."""
        beneficiary = self.account_id(size, pointer)
        self._append(index, "delete_account", DeleteAccount(beneficiary))


def _method_names(data: bytes) -> tuple[str, ...]:
    if not data:
        return ()
    try:
        names = tuple(data.decode().split(","))
    except UnicodeDecodeError:
        raise HostError("InvalidMethodName") from None
    if not all(names):
        raise HostError("EmptyMethodName")
    return names


# What the network has, and this chain has not: calling one ends the call and says so. Contracts may well name them: near-sdk does.
_ABSENT = {
    "p256_verify": "IIIIII>I",
    "promise_batch_action_state_init": "IIII>I",
    "promise_batch_action_state_init_by_account_id": "IIII>I",
    "set_state_init_data_entry": "IIIIII",
    "promise_batch_action_deploy_global_contract": "III",
    "promise_batch_action_deploy_global_contract_by_account_id": "III",
    "promise_batch_action_use_global_contract": "III",
    "promise_batch_action_use_global_contract_by_account_id": "III",
    "promise_batch_action_stake": "IIII",
    "promise_batch_action_transfer_to_gas_key": "IIII",
    "promise_batch_action_add_gas_key_with_full_access": "IIII",
    "promise_batch_action_add_gas_key_with_function_call": "IIIIIIIII",
    "promise_yield_create": "IIIIIII>I",
    "promise_yield_create_with_id": "IIIIIIIII>I",
    "promise_yield_resume": "IIII>i",
    "promise_yield_resume_with_yield_id": "IIII>i",
    "validator_stake": "III",
    "validator_total_stake": "I",
    "alt_bn128_g1_multiexp": "III",
    "alt_bn128_g1_sum": "III",
    "alt_bn128_pairing_check": "II>I",
    "bls12381_p1_sum": "III>I",
    "bls12381_p2_sum": "III>I",
    "bls12381_g1_multiexp": "III>I",
    "bls12381_g2_multiexp": "III>I",
    "bls12381_map_fp_to_g1": "III>I",
    "bls12381_map_fp2_to_g2": "III>I",
    "bls12381_pairing_check": "II>I",
    "bls12381_p1_decompress": "III>I",
    "bls12381_p2_decompress": "III>I",
}


def _refusing(name: str) -> Any:
    def refuse(self: Call, *_: int) -> None:
        raise NotHere(name)

    return refuse


class AbsentCall(Call):
    """Those functions."""


for _name, _signature in _ABSENT.items():
    _parameters, _, _results = _signature.partition(">")
    FUNCTIONS[_name] = (_parameters, _results)
    setattr(AbsentCall, _name, _refusing(_name))
