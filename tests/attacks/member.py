"""A member of the mesh, from the wire up: its logs and statements, and a sync session, each byte by our own code.

Canonical CBOR, the chain of BLAKE2b hashes, Ed25519 signatures, the frames of `/mycel/membership/1` and `/mycel/sync/1`
(docs/protocols). It shares no code with what it speaks to: see `wire.alone`.
"""

from __future__ import annotations

import hashlib
import select
import struct
import time
from collections import Counter
from typing import Any

import cbor2
import wire

HELLO, HAVE, STATEMENTS, ENTRIES, PING, PONG, PROBE, PROBED, STATE, BYE, REFUSED, SNAPSHOT, WANT = range(1, 14)
MEMBERSHIP, SYNC = "/mycel/membership/1", "/mycel/sync/1"


def blake(data: bytes, size: int = 32) -> bytes:
    return hashlib.blake2b(data, digest_size=size).digest()


def encode(value: Any) -> bytes:
    return cbor2.dumps(value, canonical=True)


def chained(last: bytes, entry: bytes) -> bytes:
    """h_n = H(h_(n-1) ‖ H(entry))."""
    return blake(last + blake(entry))


class Device:
    """The key that was stolen, and what it may sign."""

    def __init__(self, seed: bytes, root: bytes) -> None:
        self.peer, self.root = wire.Peer(seed), root
        self.key = self.peer.key
        self.sign = self.peer.identity.private.sign
        self.genesis = blake(b"mycel-log" + root + self.key)

    def head(self, seq: int, digest: bytes, key: bytes | None = None) -> list[Any]:
        """``[seq, hash, signature]``; ``key``: claimed to be that device's."""
        message = b"mycel-head" + self.root + (key or self.key) + seq.to_bytes(8, "big") + digest
        return [seq, digest, self.sign(message)]

    def statement(self, kind: str, subject: bytes, head: Any, at: tuple[int, bytes], info: Any = None) -> bytes:
        """The wire form of a statement that stands at ``at`` in our log."""
        body = encode([kind, subject, head, self.key, list(at), info or {"time": 1}])
        return encode([body, self.sign(b"mycel-statement" + self.root + body)])

    def run(self, start: tuple[int, bytes], entries: list[bytes]) -> tuple[list[Any], tuple[int, bytes]]:
        """An ENTRIES frame of ours, and where our log ends then."""
        seq, digest = start
        for entry in entries:
            seq, digest = seq + 1, chained(digest, entry)
        return [ENTRIES, self.key, *start, entries, self.head(seq, digest)], (seq, digest)


class Line:
    """A sync session with one victim, from admission on; ``tips`` is what it said to hold of each log."""

    def __init__(self, device: Device, addr: str, *, greet: bool = True) -> None:
        self.session = device.peer.dial(addr)
        self.device, self.buffer = device, bytearray()
        self.tips: dict[bytes, list[list[Any]]] = {}
        self.heard: Counter[int] = Counter()
        self.others: list[list[Any]] = []  # ENTRIES frames heard
        stream = self.session.open(MEMBERSHIP)
        stream.write(self.framed([1, [], None]))
        answer = self._frame(stream)
        self.admitted = answer[2] is True
        self.statements = [cbor2.loads(item) for item in answer[1]]
        stream.close()
        if not self.admitted:
            raise wire.Refused("not admitted")
        self.buffer.clear()
        self.stream = self.session.open(SYNC)
        if greet:
            self.say([HELLO, 1, round(time.time() * 1000), None, []])
            self.say([HAVE, {}, []])

    @staticmethod
    def framed(message: Any) -> bytes:
        payload = message if isinstance(message, bytes) else encode(message)
        return struct.pack(">I", len(payload)) + payload + blake(payload, 8)

    def _frame(self, stream: Any) -> Any:
        while True:
            if len(self.buffer) >= 4:
                size = struct.unpack_from(">I", self.buffer)[0]
                if len(self.buffer) >= size + 12:
                    payload = bytes(self.buffer[4 : 4 + size])
                    del self.buffer[: size + 12]
                    return cbor2.loads(payload) if payload else None
            more = stream.read_some()
            if not more:
                raise wire.Broken("it ended the stream")
            self.buffer += more

    def say(self, message: Any) -> None:
        """One frame, while what the victim says is taken in."""
        self.listen()
        self.stream.write(self.framed(message))

    def listen(self, seconds: float = 0.0) -> None:
        """Take in what has come, and what comes within so many seconds."""
        deadline = time.monotonic() + seconds
        socket = self.session.secure.line.socket
        while True:
            while self.stream.unread or self._whole():
                self._take(self._frame(self.stream))
            wait = max(0.0, deadline - time.monotonic())
            if not self.session.secure._unread and not select.select([socket], [], [], wait)[0]:
                return
            self.session.pump()
            if self.stream.was_reset or self.stream.ended:
                raise wire.Broken("it ended the session")

    def _whole(self) -> bool:
        return len(self.buffer) >= 4 and len(self.buffer) >= struct.unpack_from(">I", self.buffer)[0] + 12

    def _take(self, frame: Any) -> None:
        if not frame:
            raise wire.Broken("it ended the session")
        self.heard[frame[0]] += 1
        if frame[0] == HAVE:
            self.tips.update(frame[1])
        elif frame[0] == ENTRIES:
            self.others.append(frame)
        elif frame[0] == PING:
            self.stream.write(self.framed([PONG, frame[1]]))
        elif frame[0] == BYE:
            raise wire.Broken(f"it said goodbye: {frame[1]}")

    def own_tip(self) -> tuple[int, bytes]:
        """Where our log ends, as the victim has it."""
        deadline = time.monotonic() + 20
        while not self.heard[HAVE] and time.monotonic() < deadline:
            self.listen(0.05)
        tips = self.tips.get(self.device.key)
        return (tips[0][0], tips[0][1]) if tips else (0, self.device.genesis)

    def cut(self, within: float = 15.0) -> bool:
        """Does the victim end this within so many seconds?"""
        try:
            deadline = time.monotonic() + within
            while time.monotonic() < deadline:
                self.listen(0.1)
        except (wire.Broken, OSError):
            return True
        return False

    def close(self) -> None:
        self.session.close()
