"""Negotiation: both ends agree, and nothing that the other end sends costs more than a few bytes or raises anything unexpected."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MemoryReceiveStream, memory_stream_pair

from mycelnode.errors import BrokenError, NetworkError, PeerMisbehaved, Unsupported
from mycelnode.p2p._multistream import MAX_PROPOSALS, MAX_TOKEN_BYTES, VERSION, agree, propose

VERSION_TOKEN = b"\x13/multistream/1.0.0\n"


class MemoryLine:
    """One end of a pipe in memory."""

    def __init__(self, stream: trio.StapledStream[trio.abc.SendStream, MemoryReceiveStream]) -> None:
        self.stream = stream
        self.asked = 0  # the most bytes asked for at once

    async def read_exactly(self, size: int) -> bytes:
        self.asked = max(self.asked, size)
        data = b""
        while len(data) < size:
            more = await self.stream.receive_some(size - len(data))
            if not more:
                raise BrokenError
            data += more
        return data

    async def write(self, data: bytes) -> None:
        await self.stream.send_all(data)


def pair() -> tuple[MemoryLine, MemoryLine]:
    one, other = memory_stream_pair()
    return MemoryLine(one), MemoryLine(other)


async def answer_of(sent: bytes, offered: Collection[str]) -> tuple[str | NetworkError, MemoryLine]:
    """What `agree` makes of ``sent`` followed by the end of the line."""
    here, there = pair()
    await there.write(sent)
    await there.stream.send_stream.aclose()
    try:
        return await agree(here, offered), here
    except NetworkError as error:
        return error, here


def token(text: str) -> bytes:
    data = text.encode() + b"\n"
    length = len(data)
    return (bytes([length]) if length < 128 else bytes([length % 128 + 128, length // 128])) + data


@pytest.mark.parametrize("protocol", ["/a", "/mycel/sync/1", "/" + "x" * 500])
async def test_two_ends_agree(protocol: str) -> None:
    here, there = pair()
    agreed: list[str] = []
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            agreed.append(await agree(here, {"/other", protocol}))

        nursery.start_soon(serve)
        await propose(there, protocol)
    assert agreed == [protocol]


async def test_a_protocol_that_is_not_served_is_unsupported() -> None:
    here, there = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agree, here, {"/other"})
        with pytest.raises(Unsupported):
            await propose(there, "/mycel/sync/1")
        nursery.cancel_scope.cancel()


async def test_the_second_proposal_may_be_the_one() -> None:
    agreed, _ = await answer_of(VERSION_TOKEN + token("/new/2") + token("/old/1"), {"/old/1"})
    assert agreed == "/old/1"


async def test_what_is_on_offer_is_told_nobody() -> None:
    here, there = pair()
    await there.write(VERSION_TOKEN + token("ls"))
    await there.stream.send_stream.aclose()
    with pytest.raises(BrokenError):
        await agree(here, {"/secret"})
    await here.stream.send_stream.aclose()
    assert await there.read_exactly(len(VERSION_TOKEN) + 4) == VERSION_TOKEN + b"\x03na\n"
    assert await there.stream.receive_some() == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"\x02\xff\n",  # not UTF-8
        VERSION_TOKEN + b"\x03\xff\xfe\n",
        b"\x00",  # empty
        b"\x02/a",  # no line end
        b"\xff\xff\x03",  # more than two bytes of length
        b"\x81\x08",  # 1025 bytes
        token("/multistream/2.0.0"),
        b"GET / HTTP/1.1\r\n\r\n" + b"\n" * 100,
    ],
)
async def test_what_is_not_multistream_is_misbehaviour(sent: bytes) -> None:
    answer, _ = await answer_of(sent, {"/a"})
    assert isinstance(answer, PeerMisbehaved)


async def test_proposals_come_to_an_end() -> None:
    answer, _ = await answer_of(VERSION_TOKEN + token("/no") * MAX_PROPOSALS + token("/a"), {"/a"})
    assert isinstance(answer, PeerMisbehaved)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_raise_anything_else_or_ask_for_much(sent: bytes, with_version: bool) -> None:
    async def check() -> None:
        _, line = await answer_of((VERSION_TOKEN if with_version else b"") + sent, {VERSION, "/a"})
        assert line.asked <= MAX_TOKEN_BYTES

    trio.run(check)


@pytest.mark.parametrize("answers", [b"\x02\xff\n", VERSION_TOKEN + token("/b"), token("na")])
async def test_a_wrong_answer_to_a_proposal_is_misbehaviour(answers: bytes) -> None:
    here, there = pair()
    await there.write(answers)
    with pytest.raises(PeerMisbehaved):
        await propose(here, "/a")


async def test_a_line_that_ends_meanwhile_is_broken() -> None:
    here, there = pair()
    await there.stream.send_stream.aclose()
    with pytest.raises(BrokenError):
        await propose(here, "/a")
