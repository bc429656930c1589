"""What GossipSub peers say to each other, read within bounds (libp2p specs, pubsub/README.md and gossipsub v1.1).

One topic is spoken of here; what is said about others is left out while reading, so nothing is kept of it. Messages are unsigned
(the policy StrictNoSign): who was first to send one is nobody's business, and what is in it is signed by whom it concerns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mycelnode.errors import EncodingError
from mycelnode.protocols import wire_fields
from mycelnode.protocols.wire_fields import Field, all_bytes, last_bytes, last_int

MAX_RPC_BYTES: Final = 1 << 18  # checked before a byte of one is awaited; a full one of ours has 135 KB
MAX_MESSAGES: Final = 128  # published in one RPC
MAX_SUBSCRIPTIONS: Final = 256  # in one RPC: to other topics, too, of peers that have more
MAX_CONTROLS: Final = 256  # control entries in one RPC
MAX_IDS: Final = 512  # message ids in one RPC
MAX_DATA_BYTES: Final = 1024  # of one message
ID_BYTES: Final = 32  # a message's id is the sha2-256 of its data
MAX_BACKOFF: Final = 3600  # seconds that a peer may ask not to be grafted for

_SUBSCRIPTIONS, _PUBLISH, _CONTROL = 1, 2, 3
_FROM, _DATA, _SEQNO, _TOPIC, _SIGNATURE, _KEY = 1, 2, 3, 4, 5, 6
_IHAVE, _IWANT, _GRAFT, _PRUNE = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC, as far as it concerns the topic. ``subscribe``: it begins (True) or ends being subscribed.

    ``prune``: seconds in which the sender does not want to be grafted.
    """

    subscribe: bool | None = None
    publish: tuple[bytes, ...] = ()
    ihave: tuple[bytes, ...] = ()
    iwant: tuple[bytes, ...] = ()
    graft: bool = False
    prune: int | None = None

    def write(self, topic: str) -> bytes:
        """Its protobuf, without a length."""
        name = topic.encode()
        fields: list[Field] = []
        if self.subscribe is not None:
            fields.append((_SUBSCRIPTIONS, wire_fields.write([(1, int(self.subscribe)), (2, name)])))
        fields += [(_PUBLISH, wire_fields.write([(_DATA, data), (_TOPIC, name)])) for data in self.publish]
        control: list[Field] = []
        if self.ihave:
            control.append((_IHAVE, wire_fields.write([(1, name), *((2, each) for each in self.ihave)])))
        if self.iwant:
            control.append((_IWANT, wire_fields.write((1, each) for each in self.iwant)))
        if self.graft:
            control.append((_GRAFT, wire_fields.write([(1, name)])))
        if self.prune is not None:
            control.append((_PRUNE, wire_fields.write([(1, name), (3, self.prune)])))
        if control:
            fields.append((_CONTROL, wire_fields.write(control)))
        return wire_fields.write(fields)


def read(data: bytes, topic: str) -> Rpc:
    """An RPC of a peer. Raises `EncodingError`: no RPC, too large, too much in it, or a signed message."""
    if len(data) > MAX_RPC_BYTES:
        raise EncodingError(f"an RPC of {len(data)} bytes; {MAX_RPC_BYTES} are allowed")
    name = topic.encode()
    fields = wire_fields.read(data)
    controls = [field for control in all_bytes(fields, _CONTROL) for field in wire_fields.read(control, MAX_CONTROLS)]
    if len(controls) > MAX_CONTROLS:
        raise EncodingError(f"more than {MAX_CONTROLS} control entries in one RPC")
    prunes = [entry for entry in map(wire_fields.read, all_bytes(controls, _PRUNE)) if last_bytes(entry, 1) == name]
    return Rpc(
        subscribe=_subscription(all_bytes(fields, _SUBSCRIPTIONS), name),
        publish=tuple(_messages(all_bytes(fields, _PUBLISH), name)),
        ihave=_ids(
            (entry for entry in map(wire_fields.read, all_bytes(controls, _IHAVE)) if last_bytes(entry, 1) == name), 2
        ),
        iwant=_ids(map(wire_fields.read, all_bytes(controls, _IWANT)), 1),
        graft=any(last_bytes(wire_fields.read(entry), 1) == name for entry in all_bytes(controls, _GRAFT)),
        prune=min(MAX_BACKOFF, last_int(prunes[-1], 3)) if prunes else None,
    )


def _subscription(entries: Sequence[bytes], name: bytes) -> bool | None:
    if len(entries) > MAX_SUBSCRIPTIONS:
        raise EncodingError(f"more than {MAX_SUBSCRIPTIONS} subscriptions in one RPC")
    found = None
    for entry in map(wire_fields.read, entries):
        if last_bytes(entry, 2) == name:
            found = bool(last_int(entry, 1))
    return found


def _messages(entries: Sequence[bytes], name: bytes) -> Iterator[bytes]:
    if len(entries) > MAX_MESSAGES:
        raise EncodingError(f"more than {MAX_MESSAGES} messages in one RPC")
    for entry in map(wire_fields.read, entries):
        if all_bytes(entry, _TOPIC) != [name]:
            continue
        if any(number in (_FROM, _SEQNO, _SIGNATURE, _KEY) for number, _ in entry):
            raise EncodingError("a signed message, on a topic whose messages are not")
        data = last_bytes(entry, _DATA)
        if len(data) > MAX_DATA_BYTES:
            raise EncodingError(f"a message of more than {MAX_DATA_BYTES} bytes")
        yield data


def _ids(entries: Iterator[Sequence[Field]], number: int) -> tuple[bytes, ...]:
    found: dict[bytes, None] = {}
    for entry in entries:
        for one in all_bytes(entry, number):
            if len(one) == ID_BYTES:  # others name no message of this topic
                found[one] = None
            if len(found) > MAX_IDS:
                raise EncodingError(f"more than {MAX_IDS} message ids in one RPC")
    return tuple(found)
