"""Attacks on the Noise handshake."""

from __future__ import annotations

import os
import struct

from wire import Handshake, Identity, Line, Peer, Secured, message, propose

from .target import Crowd, Target

RSA_BYTES = 58_000  # of a modulus: as much as fits a Noise message


def _begun(target: Target, number: int, identity: Identity | None = None) -> Handshake:
    line = target.line(number)
    line.patience(10.0)
    propose(line, "/noise")
    return Handshake(line, identity or Identity())


def half_open(target: Target) -> None:
    """300 handshakes that stop half-way: before the first message, after it, within it, within the third."""

    def one(number: int) -> Line:
        shake = _begun(target, number)
        step = number % 4
        if step == 1:
            shake.first()
        elif step == 2:
            shake.line.write(struct.pack(">H", 32) + os.urandom(16))
        elif step == 3:
            shake.first()
            shake.second()
            third = shake.third_message()
            shake.line.write(struct.pack(">H", len(third)) + third[:50])
        return shake.line

    Crowd(target, 300, one).hold()


def broken(target: Target) -> None:
    """Handshakes that go wrong: no curve point, noise for Noise, a third message that was changed, nothing, too much."""

    def one(number: int) -> None:
        shake = _begun(target, number)
        match number % 5:
            case 0:
                shake.send(bytes(32))  # the point of order one: every secret with it is zero
            case 1:
                shake.send(os.urandom(32))
                shake.receive()
                shake.send(os.urandom(200))
            case 2:
                shake.first()
                shake.second()
                third = bytearray(shake.third_message())
                third[-1] ^= 1
                shake.send(bytes(third))
            case 3:
                shake.send(b"")
            case 4:
                shake.send(os.urandom(1000))
        if shake.line.hung_up(2.0):
            target.count("hung_up")
        shake.line.close()

    target.keep_on(one)


class _Liar(Identity):
    """Signs another static key than the one it uses."""

    def payload(self, static: bytes) -> bytes:
        return super().payload(bytes(32))


class _Thief(Identity):
    """Shows somebody else's key, with a signature of its own."""

    def payload(self, static: bytes) -> bytes:
        theirs, own = Identity().payload(static), super().payload(static)
        return theirs[:38] + own[38:]


class _Silent(Identity):
    """Signs nothing."""

    def payload(self, static: bytes) -> bytes:
        return message((1, b"\x08\x01\x12\x20" + self.key))


def bad_signature(target: Target) -> None:
    """Handshakes that are right but for the proof of the key."""

    def one(number: int) -> None:
        shake = _begun(target, number, (_Liar, _Thief, _Silent)[number % 3]())
        secure = shake.run()
        target.count("let_in", not _hung_up(secure))
        secure.close()

    target.keep_on(one)


def _hung_up(secure: Secured) -> bool:
    """Instead of agreeing on a multiplexer."""
    try:
        propose(secure, "/yamux/1.0.0")
    except Exception:
        return True
    return False


def flood(target: Target) -> None:
    """As many whole handshakes a second as it can, each of a new identity, for the work that they make."""

    def one(number: int) -> Line:
        line = target.line(number)
        line.patience(10.0)
        Peer().secure(line)
        line.close()
        target.count("struck")
        return line

    crowd = Crowd(target, 0, one)
    target.on()
    number = 0
    while target.going():
        crowd.gather(range(number, number + 60))
        crowd.lines.clear()
        number += 60


class _Rsa(Identity):
    """Shows an RSA key that is as large as a handshake message can be."""

    def payload(self, static: bytes) -> bytes:
        modulus = _der(2, b"\x00" + b"\xff" * RSA_BYTES)
        key = _der(0x30, modulus + _der(2, b"\x01\x00\x01"))
        algorithm = _der(0x30, bytes.fromhex("06092a864886f70d010101") + b"\x05\x00")
        return message((1, message((1, 0), (2, _der(0x30, algorithm + _der(3, b"\x00" + key))))), (2, bytes(256)))


def _der(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def big_rsa(target: Target) -> None:
    """An identity of 58 KB: RSA, which is expensive to import, before anything of it is checked."""

    def one(number: int) -> None:
        shake = _begun(target, number, _Rsa())
        secure = shake.run()
        target.on()
        secure.line.hung_up(2.0)
        secure.close()

    target.keep_on(one, pause=0.05)
