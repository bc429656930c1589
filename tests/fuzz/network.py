"""The decoders of what comes over a line before it is a message of ours, of the local network, and of the control socket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import zeroconf

from mycelnode.control import error_from, parse_request
from mycelnode.encoding import decode, encode, key_of_peer, peer_id
from mycelnode.errors import (
    BrokenError,
    ControlError,
    EncodingError,
    MycelError,
    NetworkError,
    PeerMisbehaved,
    Unsupported,
)
from mycelnode.p2p import _addresses, _mdns, _multistream, framing
from tests.fuzz import samples
from tests.fuzz.guard import Broken, Target, same, text, texts


def _framing(data: bytes) -> None:
    """Frames, where the first byte tells how the bytes are cut."""
    size = data[0] + 1 if data else 1
    decoder, found = framing.FrameDecoder(4096), list[bytes]()
    for at in range(1, len(data), size):
        found += decoder.feed(data[at : at + size])
        if decoder.pending > 4096 + 12 + size:
            raise Broken("framing: more is held than a frame")
    again = b"".join(framing.encode_frame(payload, 4096) for payload in found) + (framing.END if decoder.ended else b"")
    same("framing", again, data[1 : 1 + len(again)])


class _Line:
    """A line that says ``data`` and takes what is written."""

    def __init__(self, data: bytes) -> None:
        self.data, self.written = data, 0

    async def read_exactly(self, size: int) -> bytes:
        taken, self.data = self.data[:size], self.data[size:]
        if len(taken) < size:
            raise BrokenError
        return taken

    async def write(self, data: bytes) -> None:
        self.written += len(data)
        if self.written > 1 << 16:
            raise Broken("multistream: it says more than it heard")


def _agree(data: bytes) -> None:
    _now(_multistream.agree(_Line(data), {"/mycel/sync/1", "/noise"}))


def _propose(data: bytes) -> None:
    _now(_multistream.propose(_Line(data), "/mycel/sync/1"))


def _now(coroutine: Any) -> None:
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise Broken("it waits for more than there is")


def _address(data: bytes) -> None:
    endpoint = _addresses.parse(text(data))
    assert _addresses.parse(str(endpoint)) == endpoint
    assert _addresses.usable([text(data)]) in ([], [str(endpoint)])
    if endpoint.kind in ("ip4", "ip6"):
        _addresses.is_public(endpoint.host)
        _addresses.group_of(endpoint.host, wide=True)
        _mdns.dialable([text(data)])


def _addresses_claimed(data: bytes) -> None:
    """What a peer says in the shared register of addresses."""
    claimed = decode(data)
    if isinstance(claimed, list):
        assert len(_addresses.usable(claimed)) <= _addresses.MAX_ADDRESSES


def _mdns_text(data: bytes) -> None:
    found = _mdns.read_record(data)
    if found is not None:
        key_of_peer(found[0])
        assert 0 < len(found[1]) <= _addresses.MAX_ADDRESSES


def _mdns_packet(data: bytes) -> None:
    """A packet as it comes from the local network: zeroconf takes it apart, and hands the text records to us."""
    for record in zeroconf.DNSIncoming(data[: zeroconf.const._MAX_MSG_ABSOLUTE]).answers():
        if record.type == _mdns.TYPE_TXT and record.key.endswith(f".{_mdns.SERVICE}"):
            _mdns_text(record.text)


def _request(data: bytes) -> None:
    request = parse_request(data)
    assert isinstance(request["type"], str)


def _answer(data: bytes) -> None:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(answer, dict):
        assert isinstance(error_from(answer), MycelError)


def _framed() -> list[bytes]:
    return [b"\x10" + b"".join(map(framing.encode_frame, samples.frames()[:3])) + framing.END, b"\xff" + framing.END]


def _mdns_texts() -> list[bytes]:
    record = _mdns.service_record(
        peer_id(samples.world().laptop.id), ["/ip4/192.168.1.5/tcp/4101", "/ip6/fd00::1/tcp/2"]
    )
    return [record.text]


def _packets() -> list[bytes]:
    info = _mdns.service_record(peer_id(samples.world().laptop.id), ["/ip4/192.168.1.5/tcp/4101"])
    out = zeroconf.DNSOutgoing(0x8400)
    out.add_answer_at_time(info.dns_text(), 0)
    out.add_answer_at_time(info.dns_pointer(), 0)
    out.add_answer_at_time(info.dns_service(), 0)
    return out.packets()


def _tokens() -> list[bytes]:
    version = b"\x13/multistream/1.0.0\n"
    return [version + b"\x0e/mycel/sync/1\n", version + b"\x03na\n\x03ls\n", version + b"\x07/noise\n"]


NETWORK: Sequence[Target] = (
    Target("framing", _framing, (PeerMisbehaved,), _framed),
    Target("multistream-agree", _agree, (PeerMisbehaved, BrokenError), _tokens, refused=("went away",)),
    Target(
        "multistream-propose",
        _propose,
        (PeerMisbehaved, BrokenError, Unsupported),
        _tokens,
        refused=("does not speak", "another protocol"),
    ),
    Target(
        "address",
        _address,
        (NetworkError,),
        texts("/ip4/192.168.1.5/tcp/4101", "/ip6/::ffff:1.2.3.4/tcp/1/p2p/x", "/dns4/a.b/tcp/443"),
        largest=_addresses.MAX_ADDRESS_CHARS,
    ),
    Target(
        "addresses", _addresses_claimed, (EncodingError,), lambda: [encode(["/ip4/10.0.0.1/tcp/1", "/dns/x/tcp/2", 5])]
    ),
    Target("mdns-text", _mdns_text, (), _mdns_texts, largest=_mdns.MAX_TEXT),
    Target("mdns-packet", _mdns_packet, (), _packets, largest=zeroconf.const._MAX_MSG_ABSOLUTE),
    Target(
        "control-request",
        _request,
        (ControlError,),
        texts('{"type": "config.get", "key": "mesh.lan"}', '{"type":"x","y":[1,{}]}'),
    ),
    Target("control-answer", _answer, (), texts('{"type": "error", "error": "DiskFull", "message": "full"}')),
)
