"""What goes wrong on the chain, in the shapes and words in which the network tells it."""

from __future__ import annotations

from typing import Any

from mycel_simnet.near.types import Json


def variant(name: str, fields: dict[str, Any]) -> Json:
    """An error as serde writes an enum: its name alone, or the name of its fields."""
    return {name: fields} if fields else name


class InvalidTransaction(Exception):
    """A transaction that is refused: it changes nothing and costs nothing (`InvalidTxError`)."""

    def __init__(self, name: str, **fields: Any) -> None:
        self.json = variant(name, fields)
        super().__init__(str(self.json))

    @classmethod
    def of(cls, name: str, inner: Json) -> InvalidTransaction:
        """One that wraps another error."""
        made = cls(name)
        made.json = {name: inner}
        return made


def access_key_error(name: str, **fields: Any) -> InvalidTransaction:
    """What the key may not do (`InvalidAccessKeyError`)."""
    return InvalidTransaction.of("InvalidAccessKeyError", variant(name, fields))


class ActionFailed(Exception):
    """An action that can't be carried out: its whole receipt is undone (`ActionErrorKind`)."""

    def __init__(self, name: str, **fields: Any) -> None:
        self.json = variant(name, fields)
        super().__init__(str(self.json))

    @classmethod
    def of(cls, name: str, inner: Json) -> ActionFailed:
        """One that wraps another error."""
        made = cls(name)
        made.json = {name: inner}
        return made


class ActionsInvalid(Exception):
    """Actions that no receipt may carry (`ActionsValidationError`)."""

    def __init__(self, name: str, **fields: Any) -> None:
        self.json = variant(name, fields)
        super().__init__(str(self.json))


class CallFailed(Exception):
    """A call that came to no good end.

    ``json`` is what the outcome says (`FunctionCallError`), ``debug`` what a view says, in the words of Rust's ``Debug``.
    """

    def __init__(self, json: Json, debug: str) -> None:
        self.json, self.debug = json, debug
        super().__init__(debug)


def no_code(account: str) -> CallFailed:
    """There is no contract."""
    inner = {"CompilationError": {"CodeDoesNotExist": {"account_id": account}}}
    return CallFailed(inner, f"CompilationError(CodeDoesNotExist {{ account_id: {quoted(account)} }})")


def bad_code(reason: str) -> CallFailed:
    """The code of the contract is no wasm that the network takes (`PrepareError`)."""
    return CallFailed({"CompilationError": {"PrepareError": reason}}, f"CompilationError(PrepareError({reason}))")


def no_method(reason: str) -> CallFailed:
    """The contract has no such method."""
    return CallFailed({"MethodResolveError": reason}, f"MethodResolveError({reason})")


def link_failed(message: str) -> CallFailed:
    """The contract wants something from the host that is not there."""
    return CallFailed({"ExecutionError": message}, f"LinkError {{ msg: {quoted(message)} }}")


_TRAPS = {
    "Unreachable": "An `unreachable` opcode was executed.",
    "IncorrectCallIndirectSignature": "Call indirect incorrect signature trap.",
    "MemoryOutOfBounds": "Memory out of bounds trap.",
    "CallIndirectOOB": "Call indirect out of bounds trap.",
    "IllegalArithmetic": "An arithmetic exception, e.g. divided by zero.",
    "GenericTrap": "Generic trap.",
    "IndirectCallToNull": "Indirect call to null.",
}


def trapped(kind: str) -> CallFailed:
    """The code itself went wrong."""
    return CallFailed({"ExecutionError": f"WebAssembly trap: {_TRAPS[kind]}"}, f"WasmTrap({kind})")


_HOST = {
    "BadUTF8": "String encoding is bad UTF-8 sequence.",
    "BadUTF16": "String encoding is bad UTF-16 sequence.",
    "GasExceeded": "Exceeded the prepaid gas.",
    "GasLimitExceeded": "Exceeded the maximum amount of gas allowed to burn per contract.",
    "BalanceExceeded": "Exceeded the account balance.",
    "EmptyMethodName": "Tried to call an empty method name.",
    "GuestPanic": "Smart contract panicked: {panic_msg}",
    "IntegerOverflow": "Integer overflow.",
    "InvalidPromiseIndex": "{promise_idx} does not correspond to existing promises",
    "CannotAppendActionToJointPromise": "Actions can only be appended to non-joint promise.",
    "CannotReturnJointPromise": "Returning joint promise is currently prohibited.",
    "CannotSetRefundToOnJointPromise": "Setting refund_to on a joint promise is prohibited.",
    "InvalidPromiseResultIndex": "Accessed invalid promise result index: {result_idx}",
    "InvalidRegisterId": "Accessed invalid register id: {register_id}",
    "MemoryAccessViolation": "Accessed memory outside the bounds.",
    "InvalidAccountId": "VM Logic returned an invalid account id",
    "InvalidMethodName": "VM Logic returned an invalid method name",
    "InvalidPublicKey": "VM Logic provided an invalid public key",
    "ProhibitedInView": "{method_name} is not allowed in view calls",
    "NumberOfLogsExceeded": "The number of logs will exceed the limit {limit}",
    "KeyLengthExceeded": "The length of a storage key {length} exceeds the limit {limit}",
    "ValueLengthExceeded": "The length of a storage value {length} exceeds the limit {limit}",
    "TotalLogLengthExceeded": "The length of a log message {length} exceeds the limit {limit}",
    "NumberPromisesExceeded": "The number of promises within a FunctionCall {number_of_promises} exceeds the limit {limit}",
    "NumberInputDataDependenciesExceeded": (
        "The number of input data dependencies {number_of_input_data_dependencies} exceeds the limit {limit}"
    ),
    "ReturnedValueLengthExceeded": "The length of a returned value {length} exceeds the limit {limit}",
    "ContractSizeExceeded": ("The size of a contract code in DeployContract action {size} exceeds the limit {limit}"),
    "Deprecated": "Attempted to call deprecated host function {method_name}",
    "ECRecoverError": "ECDSA recover error: {msg}",
    "Ed25519VerifyInvalidInput": "ED25519 signature verification error: {msg}",
}


class HostError(CallFailed):
    """A host function refused what the contract asked of it (`HostError`)."""

    def __init__(self, name: str, **fields: Any) -> None:
        shown = ", ".join(
            f"{key}: {quoted(value) if isinstance(value, str) else value}" for key, value in fields.items()
        )
        inner = f"{name} {{ {shown} }}" if fields else name
        super().__init__({"ExecutionError": _HOST[name].format(**fields)}, f"HostError({inner})")
        self.name = name


class NotHere(CallFailed):
    """The contract calls a host function of the network that this chain does not have."""

    def __init__(self, function: str) -> None:
        sentence = f"this local chain does not have the host function {function}"
        super().__init__({"ExecutionError": sentence}, sentence)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}


def quoted(text: str) -> str:
    """Text as Rust's ``Debug`` writes it."""
    return f'"{"".join(_escaped(char) for char in text)}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char.isprintable() else f"\\u{{{ord(char):x}}}"
