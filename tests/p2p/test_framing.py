"""Frames: any chunking gives the same payloads, garbage is refused, an end without its marker is a broken line."""

from __future__ import annotations

import contextlib
import itertools

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import BrokenError, ClosedError, PeerMisbehaved, ValueRefused
from mycelnode.p2p.framing import END, HASH_BYTES, FrameDecoder, FrameStream, encode_frame

payloads = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


class MemoryStream:
    """A `ByteStream` over trio's in-memory streams; ``room`` bytes may wait, then `send_all` blocks."""

    def __init__(self, stream: trio.StapledStream) -> None:
        self.stream = stream
        self.was_reset = False
        self.blocked = False

    async def send_all(self, data: bytes, *, deadline: float) -> None:
        with trio.move_on_after(deadline):
            if self.blocked:
                await trio.sleep_forever()
            try:
                await self.stream.send_all(data)
            except trio.BrokenResourceError as error:
                raise BrokenError from error
            return
        raise BrokenError("too slow")

    async def receive_some(self, max_bytes: int) -> bytes:
        return await self.stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.stream.aclose()

    def reset(self) -> None:
        self.was_reset = True


def pair() -> tuple[MemoryStream, MemoryStream]:
    left, right = trio.testing.memory_stream_pair()
    return MemoryStream(left), MemoryStream(right)


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(payloads, st.lists(st.integers(0, 10_000)), st.booleans())
def test_any_chunking_gives_the_same_frames(sent: list[bytes], cuts: list[int], end: bool) -> None:
    data = b"".join(map(encode_frame, sent)) + (END if end else b"")
    decoder = FrameDecoder()
    got = [payload for chunk in chunks(data, cuts) for payload in decoder.feed(chunk)]
    assert got == sent
    assert decoder.ended is end
    assert decoder.pending == 0


@given(st.binary(max_size=400), st.lists(st.integers(0, 400)))
def test_garbage_is_refused_or_waits_but_never_becomes_a_frame(garbage: bytes, cuts: list[int]) -> None:
    decoder = FrameDecoder(max_frame=256)
    with contextlib.suppress(PeerMisbehaved):
        for chunk in chunks(garbage, cuts):
            for payload in decoder.feed(chunk):
                assert encode_frame(payload) in garbage  # it really was a frame
    assert decoder.pending <= len(garbage)


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_flipped_bit_is_found(payload: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(payload))
    place = data.draw(st.integers(4, len(frame) - 1))
    frame[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(PeerMisbehaved, match="hash"):
        FrameDecoder().feed(bytes(frame))


def test_a_length_is_refused_as_soon_as_it_is_seen() -> None:
    decoder = FrameDecoder(max_frame=1000)
    with pytest.raises(PeerMisbehaved, match="1001"):
        decoder.feed((1001).to_bytes(4, "big"))
    FrameDecoder(max_frame=1000).feed(encode_frame(bytes(1000)))


def test_nothing_may_follow_the_end() -> None:
    with pytest.raises(PeerMisbehaved, match="after its end"):
        FrameDecoder().feed(END + b"x")
    decoder = FrameDecoder()
    decoder.feed(END)
    with pytest.raises(PeerMisbehaved, match="after its end"):
        decoder.feed(encode_frame(b"late"))


def test_an_end_with_a_wrong_hash_is_no_end() -> None:
    with pytest.raises(PeerMisbehaved):
        FrameDecoder().feed(bytes(4 + HASH_BYTES))


@pytest.mark.parametrize("size", [0, 1001])
def test_what_does_not_fit_is_refused_before_sending(size: int) -> None:
    with pytest.raises(ValueRefused):
        encode_frame(bytes(size), 1000)


async def test_send_receive_end() -> None:
    left, right = map(FrameStream, pair())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.send, b"hello")
        assert await right.receive() == b"hello"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.aclose)
        assert await right.receive() is None
        assert await right.receive() is None
    with pytest.raises(ClosedError):
        await left.send(b"more")
    with pytest.raises(ClosedError):
        await left.receive()


async def test_an_end_without_its_marker_is_a_broken_line() -> None:
    left, right = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.stream.send_all, encode_frame(b"whole") + encode_frame(b"cut")[:-1])
        frames = FrameStream(right)
        assert await frames.receive() == b"whole"
        await left.aclose()
        with pytest.raises(BrokenError, match="without an end marker"):
            await frames.receive()


async def test_a_misbehaving_peer_is_reset() -> None:
    left, right = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.stream.send_all, b"\xff" * 16)
        with pytest.raises(PeerMisbehaved):
            await FrameStream(right).receive()
    assert right.was_reset


async def test_concurrent_senders_do_not_interleave() -> None:
    left, right = pair()
    sender, receiver = FrameStream(left), FrameStream(right)
    sent = [bytes([i]) * (1000 + i) for i in range(20)]
    async with trio.open_nursery() as nursery:
        for payload in sent:
            nursery.start_soon(sender.send, payload)
        got = [await receiver.receive() for _ in sent]
    assert sorted(got) == sorted(sent)


async def test_a_write_that_is_not_taken_breaks_the_stream(autojump_clock: trio.testing.MockClock) -> None:
    left, _ = pair()
    left.blocked = True
    frames = FrameStream(left)
    with pytest.raises(BrokenError):
        await frames.send(b"stuck", deadline=5)
    assert trio.current_time() == pytest.approx(5)
    assert left.was_reset
    left.blocked = False
    with pytest.raises(BrokenError, match="cut short"):
        await frames.send(b"next")


async def test_the_wait_for_other_senders_counts(autojump_clock: trio.testing.MockClock) -> None:
    left, _ = pair()
    left.blocked = True
    frames = FrameStream(left)

    async def stuck() -> None:
        with pytest.raises(BrokenError):
            await frames.send(b"first", deadline=100)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stuck)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BrokenError, match="5 seconds"):
            await frames.send(b"second", deadline=5)
        assert not left.was_reset  # the first may still get through: nothing of the second went out


async def test_receive_keeps_its_place_when_cancelled_or_late(autojump_clock: trio.testing.MockClock) -> None:
    left, right = pair()
    frames = FrameStream(right)
    frame = encode_frame(b"in two pieces")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.stream.send_all, frame[:7])
        with pytest.raises(BrokenError, match="nothing came"):
            await frames.receive(deadline=1)
        with trio.move_on_after(1):
            await frames.receive()
        nursery.start_soon(left.stream.send_all, frame[7:])
        assert await frames.receive() == b"in two pieces"
