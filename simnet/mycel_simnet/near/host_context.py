"""Host functions that tell a contract about the world, take its answer, its logs and its panics."""

from __future__ import annotations

from typing import Never

from mycel_simnet.near import tables
from mycel_simnet.near.errors import HostError
from mycel_simnet.near.gas import MAX
from mycel_simnet.near.host import Call, host, not_in_view
from mycel_simnet.near.tables import LIMITS
from mycel_simnet.near.types import NO_CODE


class ContextCall(Call):
    """The functions."""

    @host("II")
    def read_register(self, register: int, pointer: int) -> None:
        """Copy a register into the memory."""
        self.gas.pay("base")
        self.write(pointer, self.register(register))

    @host("I>I")
    def register_len(self, register: int) -> int:
        """How many bytes a register has; the highest number if there is none."""
        self.gas.pay("base")
        size = self.register_size(register)
        return MAX if size is None else size

    @host("III")
    def write_register(self, register: int, size: int, pointer: int) -> None:
        """Copy memory into a register."""
        self.gas.pay("base")
        self.set_register(register, self.read(pointer, size))

    @host("I")
    def current_account_id(self, register: int) -> None:
        """Who runs."""
        self.gas.pay("base")
        self.set_register(register, self.context.current_account_id.encode())

    @host("I")
    def chain_id(self, register: int) -> None:
        """Which network this is."""
        self.gas.pay("base")
        self.set_register(register, self.context.chain_id.encode())

    @host("I")
    @not_in_view
    def signer_account_id(self, register: int) -> None:
        """Who signed the transaction that all began with."""
        self.set_register(register, self.context.signer_account_id.encode())

    @host("I")
    @not_in_view
    def signer_account_pk(self, register: int) -> None:
        """With which key."""
        self.set_register(register, self.context.signer_public_key)

    @host("I")
    @not_in_view
    def predecessor_account_id(self, register: int) -> None:
        """Who calls."""
        self.set_register(register, self.context.predecessor_account_id.encode())

    @host("I")
    @not_in_view
    def refund_to_account_id(self, register: int) -> None:
        """Who gets the deposit back if this fails."""
        self.set_register(register, self.context.refund_to_account_id.encode())

    @host("I")
    def input(self, register: int) -> None:
        """The arguments."""
        self.gas.pay("base")
        self.set_register(register, self.context.input, free_bytes=True)

    @host(">I")
    def block_index(self) -> int:
        """The height of the block."""
        self.gas.pay("base")
        return self.context.block_height

    @host(">I")
    def block_timestamp(self) -> int:
        """Its time, in nanoseconds."""
        self.gas.pay("base")
        return self.context.block_timestamp

    @host(">I")
    def epoch_height(self) -> int:
        """Which epoch it is in."""
        self.gas.pay("base")
        return self.context.epoch_height

    @host(">I")
    def storage_usage(self) -> int:
        """Bytes that the account takes."""
        self.gas.pay("base")
        return self.usage

    @host("I")
    def account_balance(self, pointer: int) -> None:
        """What the account has, the attached deposit included."""
        self.gas.pay("base")
        self.write_u128(pointer, self.balance)

    @host("I")
    def account_locked_balance(self, pointer: int) -> None:
        """What it has staked."""
        self.gas.pay("base")
        self.write_u128(pointer, self.context.locked_balance)

    @host("I")
    def attached_deposit(self, pointer: int) -> None:
        """What came with the call."""
        self.gas.pay("base")
        self.write_u128(pointer, self.context.attached_deposit)

    @host(">I")
    @not_in_view
    def prepaid_gas(self) -> int:
        """Gas that the call was given."""
        return self.context.prepaid_gas

    @host(">I")
    @not_in_view
    def used_gas(self) -> int:
        """Gas burnt or given away so far."""
        return self.gas.used

    @host("I>I")
    def current_contract_code(self, register: int) -> int:
        """The hash of the code that runs: 1, or 0 without any."""
        self.gas.pay("base")
        if self.context.code_hash == NO_CODE:
            return 0
        self.set_register(register, self.context.code_hash)
        return 1

    @host("I")
    def random_seed(self, register: int) -> None:
        """32 bytes that nobody can choose, but everybody can see."""
        self.gas.pay("base")
        self.set_register(register, self.context.random_seed)

    @host("II")
    def value_return(self, size: int, pointer: int) -> None:
        """The answer; it costs what it takes to bring it to who waits for it."""
        self.gas.pay("base")
        value = self.given(size, pointer)
        if len(value) > LIMITS["max_length_returned_data"]:
            raise HostError("ReturnedValueLengthExceeded", length=len(value), limit=LIMITS["max_length_returned_data"])
        fee = tables.DATA_BYTE
        each = [
            fee.send(receiver == self.context.current_account_id) + fee.execution
            for receiver in self.context.output_data_receivers
        ]
        self.gas.pay_action("new_data_receipt_byte", sum(each) * len(value), 0)
        self.returned = value

    @host("")
    def panic(self) -> Never:
        """Give up."""
        self.gas.pay("base")
        raise HostError("GuestPanic", panic_msg="explicit guest panic")

    @host("II")
    def panic_utf8(self, size: int, pointer: int) -> Never:
        """Give up, and say why."""
        self.gas.pay("base")
        raise HostError("GuestPanic", panic_msg=self.utf8(size, pointer))

    @host("II")
    def log_utf8(self, size: int, pointer: int) -> None:
        """Write a line to the log."""
        self.gas.pay("base")
        self.check_log()
        self._paid_log(self.utf8(size, pointer))

    @host("II")
    def log_utf16(self, size: int, pointer: int) -> None:
        """Write a line to the log."""
        self.gas.pay("base")
        self.check_log()
        self._paid_log(self.utf16(size, pointer))

    @host("iiii")
    def abort(self, message: int, file: int, line: int, column: int) -> Never:
        """Give up as AssemblyScript does."""
        self.gas.pay("base")
        if message < 4 or file < 4:
            raise HostError("BadUTF16")
        self.check_log()
        sizes = [int.from_bytes(self.read(pointer - 4, 4), "little") for pointer in (message, file)]
        said, name = self.utf16(sizes[0], message), self.utf16(sizes[1], file)
        text = f'{said}, filename: "{name}" line: {line} col: {column}'
        self.gas.pay("log_base")
        self.gas.pay("log_byte", len(text.encode()))
        self.log(f"ABORT: {text}")
        raise HostError("GuestPanic", panic_msg=text)

    def _paid_log(self, message: str) -> None:
        self.gas.pay("log_base")
        self.gas.pay("log_byte", len(message.encode()))
        self.log(message)
