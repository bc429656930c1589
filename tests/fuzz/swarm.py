"""The decoders of the swarm door: announcements, and what GossipSub and Kademlia peers say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mycelnode.encoding import blake2b, peer_id
from mycelnode.errors import EncodingError
from mycelnode.identity import KeyPair
from mycelnode.protobuf import varint
from mycelnode.protocols import gossip_wire, kad_wire
from mycelnode.protocols.announce import MAX_ANNOUNCEMENT_BYTES, Announcement, Verdict
from mycelnode.protocols.gossip import MAX_ASKED, MAX_KEPT, Gossip, Send, message_id
from mycelnode.protocols.gossip_wire import MAX_RPC_BYTES, Rpc
from mycelnode.protocols.kad_wire import MAX_ADDR_BYTES, MAX_MESSAGE_BYTES, Kind, Message, PeerAddrs
from tests.fuzz.guard import Broken, Target, same

TOPIC = "/t/1"
_CREATOR = KeyPair(bytes(32))
_PEERS = [peer_id(blake2b(b"%d" % number)) for number in range(20)]
_ADDRS = ("/ip4/127.0.0.1/tcp/4001", "/ip6/2001:db8::1/tcp/1", "/dns4/a.example/tcp/9")


def _announcement(data: bytes) -> None:
    same("announcement", Announcement.read(data).write(), data)


def _rpc(data: bytes) -> None:
    rpc = gossip_wire.read(data, TOPIC)
    if gossip_wire.read(rpc.write(TOPIC), TOPIC) != rpc:
        raise Broken(f"rpc: {data.hex()} comes back as something else")


def _gossip(data: bytes) -> None:
    """Whatever a peer says, a machine keeps and answers little."""
    machine: Gossip[bytes] = Gossip(lambda peer, said, now: (Verdict.ACCEPT, said), lambda: 0.5)
    for peer in ("a", "b", "c"):
        machine.receive(peer, Rpc(subscribe=True, graft=True), 0.0)
    rpc = gossip_wire.read(data, TOPIC)
    sent = [action for action in machine.receive("a", rpc, 1.0) if isinstance(action, Send)]
    sent += machine.heartbeat(2.0)
    if sum(len(each.rpc.write(TOPIC)) for each in sent) > 8 * len(data) + 4096 or len(machine._peers) != 3:
        raise Broken(f"gossip: {data.hex()} is answered with too much")
    if len(machine._kept) > MAX_KEPT or len(machine._asked) > MAX_ASKED:
        raise Broken(f"gossip: too much is kept of {data.hex()}")


def _kad(data: bytes) -> None:
    message = Message.read(data)
    if Message.read(message.write()) != message:
        raise Broken(f"kad: {data.hex()} comes back as something else")


def _kad_addr(data: bytes) -> None:
    addr = kad_wire.read_addr(data)
    if addr is None:
        raise EncodingError("no plain TCP address")
    if kad_wire.read_addr(kad_wire.addr_bytes(addr)) != addr:
        raise Broken(f"kad-addr: {data.hex()} comes back as something else")


def _announcements() -> Sequence[bytes]:
    cids = [b"\x01\x71\x12\x20" + hashlib.sha256(b"%d" % number).digest() for number in range(3)]
    return [Announcement.sign(cid, _CREATOR.public, 9, 1_800_000_000, _CREATOR.sign).write() for cid in cids]


def _rpcs() -> Sequence[bytes]:
    names = tuple(message_id(b"%d" % number) for number in range(20))
    said = tuple(_announcements())
    rpcs = [
        Rpc(subscribe=True),
        Rpc(subscribe=False, publish=said),
        Rpc(ihave=names),
        Rpc(iwant=names),
        Rpc(graft=True),
        Rpc(prune=60),
        Rpc(True, said, names, names, True, 60),
    ]
    return [rpc.write(TOPIC) for rpc in rpcs]


def _messages() -> Sequence[bytes]:
    peers = tuple(PeerAddrs(peer, _ADDRS) for peer in _PEERS)
    key = b"\x12\x20" + bytes(32)
    return [Message(kind, key, peers[:count], peers[count:]).write() for kind in Kind for count in (0, 3, 20)]


def _addrs() -> Sequence[bytes]:
    plain = [kad_wire.addr_bytes(addr) for addr in _ADDRS]
    return [*plain, plain[0] + varint(421) + b"\x26" + kad_wire.peer_bytes(_PEERS[0])]


SWARM = (
    Target("announcement", _announcement, (EncodingError,), _announcements, largest=MAX_ANNOUNCEMENT_BYTES),
    Target("gossip-rpc", _rpc, (EncodingError,), _rpcs, largest=MAX_RPC_BYTES),
    Target("gossip", _gossip, (EncodingError,), _rpcs, largest=MAX_RPC_BYTES),
    Target("kad", _kad, (EncodingError,), _messages, largest=MAX_MESSAGE_BYTES),
    Target("kad-addr", _kad_addr, (EncodingError,), _addrs, largest=MAX_ADDR_BYTES),
)
