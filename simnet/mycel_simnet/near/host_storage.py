"""Host functions of a contract's storage; they keep count of the bytes that the account takes."""

from __future__ import annotations

from typing import Never

from mycel_simnet.near.errors import HostError
from mycel_simnet.near.host import Call, host, not_in_view
from mycel_simnet.near.state import DATA
from mycel_simnet.near.tables import LARGE_VALUE, LIMITS, RECORD_BYTES


class StorageCall(Call):
    """The functions."""

    def _record_key(self, size: int, pointer: int) -> bytes:
        key = self.given(size, pointer)
        if len(key) > LIMITS["max_length_storage_key"]:
            raise HostError("KeyLengthExceeded", length=len(key), limit=LIMITS["max_length_storage_key"])
        return key

    def _get(self, key: bytes) -> bytes | None:
        found: bytes | None = self.state.get(DATA, self.context.current_account_id, key)
        return found

    def _touch(self, key: bytes, new: bytes | None, evicted: str) -> bytes | None:
        """Write or remove a record and pay for the way to it and for what was there."""
        old = self._get(key)
        self.gas.pay("touching_trie_node", self.trie_depth)
        if old is not None:
            self.gas.pay(evicted, len(old))
        self.state.put(DATA, self.context.current_account_id, key, new)
        return old

    @host("IIIII>I")
    @not_in_view
    def storage_write(self, key_size: int, key_at: int, value_size: int, value_at: int, register: int) -> int:
        """Write a record; 1 if there was one, which goes to the register."""
        self.gas.pay("storage_write_base")
        key = self._record_key(key_size, key_at)
        value = self.given(value_size, value_at)
        if len(value) > LIMITS["max_length_storage_value"]:
            raise HostError("ValueLengthExceeded", length=len(value), limit=LIMITS["max_length_storage_value"])
        self.gas.pay("storage_write_key_byte", len(key))
        self.gas.pay("storage_write_value_byte", len(value))
        old = self._touch(key, value, "storage_write_evicted_byte")
        if old is None:
            self.usage += len(key) + len(value) + RECORD_BYTES
            return 0
        self.usage += len(value) - len(old)
        self.set_register(register, old)
        return 1

    @host("III>I")
    def storage_read(self, size: int, pointer: int, register: int) -> int:
        """Read a record into the register; 0 if there is none."""
        self.gas.pay("base")
        self.gas.pay("storage_read_base")
        key = self._record_key(size, pointer)
        self.gas.pay("storage_read_key_byte", len(key))
        value = self._get(key)
        if value is None:
            return 0
        self.gas.pay("storage_read_value_byte", len(value))
        if len(value) > LARGE_VALUE:
            self.gas.pay("storage_large_read_overhead_base")
            self.gas.pay("storage_large_read_overhead_byte", len(value))
        self.set_register(register, value)
        return 1

    @host("III>I")
    @not_in_view
    def storage_remove(self, size: int, pointer: int, register: int) -> int:
        """Remove a record; 1 if there was one, which goes to the register."""
        self.gas.pay("storage_remove_base")
        key = self._record_key(size, pointer)
        self.gas.pay("storage_remove_key_byte", len(key))
        old = self._touch(key, None, "storage_remove_ret_value_byte")
        if old is None:
            return 0
        self.usage -= len(key) + len(old) + RECORD_BYTES
        self.set_register(register, old)
        return 1

    @host("II>I")
    def storage_has_key(self, size: int, pointer: int) -> int:
        """Is there such a record?"""
        self.gas.pay("base")
        self.gas.pay("storage_has_key_base")
        key = self._record_key(size, pointer)
        self.gas.pay("storage_has_key_byte", len(key))
        return int(self._get(key) is not None)

    @host("II>I")
    def storage_iter_prefix(self, *_: int) -> Never:
        """Gone from the network."""
        raise HostError("Deprecated", method_name="storage_iter_prefix")

    @host("IIII>I")
    def storage_iter_range(self, *_: int) -> Never:
        """Gone from the network."""
        raise HostError("Deprecated", method_name="storage_iter_range")

    @host("III>I")
    def storage_iter_next(self, *_: int) -> Never:
        """Gone from the network."""
        raise HostError("Deprecated", method_name="storage_iter_next")
