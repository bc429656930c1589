"""Host functions in lines of WebAssembly, for the tests that ask what they do and those that ask what the network makes of them."""

from __future__ import annotations

KNOWN = {  # of "abc": FIPS 180-4, the Keccak team's test vectors, RIPEMD-160's paper
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "keccak256": "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
    "keccak512": (
        "18587dc2ea106b9a1563e32b3312421ca164c7f1f07bc922a9c83d77cea3a1e5d0c69910739025372dc14ac9642629379540c17e2a65b19d77aa511a9d00bb96"
    ),
    "ripemd160": "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
}

# What views may not do, by the name that the error has.
VIEW_REFUSES = {
    "signer_account_id": "(call $signer_account_id (i64.const 0))",
    "signer_account_pk": "(call $signer_account_pk (i64.const 0))",
    "predecessor_account_id": "(call $predecessor_account_id (i64.const 0))",
    "refund_to_account_id": "(call $refund_to_account_id (i64.const 0))",
    "prepaid_gas": "(drop (call $prepaid_gas))",
    "used_gas": "(drop (call $used_gas))",
    "storage_write": "(drop (call $storage_write (i64.const 1) (i64.const 0) (i64.const 1) (i64.const 0) (i64.const 0)))",
    "storage_remove": "(drop (call $storage_remove (i64.const 1) (i64.const 0) (i64.const 0)))",
    "promise_batch_create": "(drop (call $promise_batch_create (i64.const 5) (i64.const 64)))",
    "promise_batch_then": "(drop (call $promise_batch_then (i64.const 0) (i64.const 5) (i64.const 64)))",
    "promise_and": "(drop (call $promise_and (i64.const 0) (i64.const 0)))",
    "promise_results_count": "(drop (call $promise_results_count))",
    "promise_result": "(drop (call $promise_result (i64.const 0) (i64.const 0)))",
    "promise_return": "(call $promise_return (i64.const 0))",
    "promise_batch_action_transfer": "(call $promise_batch_action_transfer (i64.const 0) (i64.const 0))",
    "promise_batch_action_function_call": (
        "(call $promise_batch_action_function_call_weight (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)"
        " (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))"
    ),
    "promise_batch_action_create_account": "(call $promise_batch_action_create_account (i64.const 0))",
    "promise_batch_action_delete_account": (
        "(call $promise_batch_action_delete_account (i64.const 0) (i64.const 0) (i64.const 0))"
    ),
}

CAROL = "(i64.const 5) (i64.const 64)"  # where "carol" lies
JOINT = (
    f"(i64.store (i32.const 0) (call $promise_batch_create {CAROL}))"
    "(local.set $a (call $promise_and (i64.const 0) (i64.const 1)))"
)
WRONG_PROMISES = {
    "7 does not correspond to existing promises": "(call $promise_return (i64.const 7))",
    "Returning joint promise is currently prohibited.": JOINT + "(call $promise_return (local.get $a))",
    "Actions can only be appended to non-joint promise.": (
        JOINT + "(call $promise_batch_action_create_account (local.get $a))"
    ),
    "VM Logic returned an invalid account id": "(drop (call $promise_batch_create (i64.const 1) (i64.const 64)))",
    "Accessed invalid promise result index: 0": "(drop (call $promise_result (i64.const 0) (i64.const 0)))",
    "VM Logic provided an invalid public key": (
        f"(call $promise_batch_action_delete_key (call $promise_batch_create {CAROL}) (i64.const 3) (i64.const 64))"
    ),
    "The number of promises within a FunctionCall 1025 exceeds the limit 1024": (
        f"(loop $l (drop (call $promise_batch_create {CAROL})) (br $l))"
    ),
}
