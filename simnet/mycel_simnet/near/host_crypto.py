"""Host functions that hash and verify."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import coincurve
from Crypto.Hash import RIPEMD160, keccak
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from mycel_simnet.near.errors import HostError
from mycel_simnet.near.host import Call, host

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1


def recover(message_hash: bytes, signature: bytes, recovery_id: int) -> bytes | None:
    """The public key (64 bytes) that made a secp256k1 signature, if it is one."""
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature + bytes([recovery_id]), message_hash, None)
    except ValueError:
        return None
    return key.format(compressed=False)[1:]


class CryptoCall(Call):
    """The functions."""

    @host("III")
    def sha256(self, size: int, pointer: int, register: int) -> None:
        """SHA2-256."""
        self._hash("sha256", size, pointer, register, lambda data: hashlib.sha256(data).digest())

    @host("III")
    def keccak256(self, size: int, pointer: int, register: int) -> None:
        """Keccak-256, as Ethereum has it."""
        self._hash("keccak256", size, pointer, register, lambda data: keccak.new(digest_bits=256, data=data).digest())

    @host("III")
    def keccak512(self, size: int, pointer: int, register: int) -> None:
        """Keccak-512."""
        self._hash("keccak512", size, pointer, register, lambda data: keccak.new(digest_bits=512, data=data).digest())

    def _hash(self, name: str, size: int, pointer: int, register: int, digest: Callable[[bytes], bytes]) -> None:
        self.gas.pay(f"{name}_base")
        data = self.given(size, pointer)
        self.gas.pay(f"{name}_byte", len(data))
        self.set_register(register, digest(data))

    @host("III")
    def ripemd160(self, size: int, pointer: int, register: int) -> None:
        """RIPEMD-160, paid by block."""
        self.gas.pay("ripemd160_base")
        data = self.given(size, pointer)
        self.gas.pay("ripemd160_block", (len(data) + 8) // 64 + 1)
        self.set_register(register, RIPEMD160.new(data).digest())

    @host("IIIIIII>I")
    def ecrecover(
        self, hash_size: int, hash_at: int, size: int, pointer: int, recovery_id: int, malleability: int, register: int
    ) -> int:
        """Who signed, on secp256k1; 0 if nobody can have."""
        self.gas.pay("ecrecover_base")
        signature = self.given(size, pointer)
        if len(signature) != 64:
            message = f"The length of the signature: {len(signature)}, exceeds the limit of 64 bytes"
            raise HostError("ECRecoverError", msg=message)
        if recovery_id >= 4:
            message = f"V recovery byte 0 through 3 are valid but was provided {recovery_id}"
            raise HostError("ECRecoverError", msg=message)
        message_hash = self.given(hash_size, hash_at)
        if len(message_hash) != 32:
            message = f"The length of the hash: {len(message_hash)}, exceeds the limit of 32 bytes"
            raise HostError("ECRecoverError", msg=message)
        if malleability > 1:
            message = f"Malleability flag needs to be 0 or 1, but is instead {malleability}"
            raise HostError("ECRecoverError", msg=message)
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        highest = _ORDER // 2 if malleability else _ORDER - 1
        if not (0 < r < _ORDER and 0 < s <= highest):
            return 0
        key = recover(message_hash, signature, recovery_id)
        if key is None:
            return 0
        self.set_register(register, key)
        return 1

    @host("IIIIII>I")
    def ed25519_verify(
        self, size: int, pointer: int, message_size: int, message_at: int, key_size: int, key_at: int
    ) -> int:
        """Is it the signature of this message by this key?"""
        self.gas.pay("ed25519_verify_base")
        signature = self.given(size, pointer)
        if len(signature) != 64:
            raise HostError("Ed25519VerifyInvalidInput", msg="invalid signature length")
        if signature[63] & 0b1110_0000:
            return 0
        message = self.given(message_size, message_at)
        self.gas.pay("ed25519_verify_byte", len(message))
        key = self.given(key_size, key_at)
        if len(key) != 32:
            raise HostError("Ed25519VerifyInvalidInput", msg="invalid public key length")
        try:
            VerifyKey(key).verify(message, signature)
        except (BadSignatureError, ValueError):
            return 0
        return 1
