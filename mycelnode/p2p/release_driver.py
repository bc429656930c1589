"""Releases over libp2p streams: asks other devices what a release needs of them, and answers them. Nothing is decided here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import trio

from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import encode, peer_id
from mycelnode.errors import EncodingError, MycelError, NetworkError, PeerMisbehaved, first
from mycelnode.p2p.framing import FrameStream
from mycelnode.p2p.host import Host, Stream
from mycelnode.protocols import release_frames as frames
from mycelnode.protocols.release_frames import END, MAX_FRAME, MAX_HANDED, MEET, PROTOCOL, SIGN
from mycelnode.protocols.release_records import Plan, Seen, Spend, read_record
from mycelnode.protocols.release_steps import Call
from mycelnode.protocols.release_units import Handed
from mycelnode.protocols.release_window import Window
from mycelnode.releasing.dictionary import MAX_ENTRIES
from mycelnode.releasing.releases import MAX_HEARD, Releases

OPEN_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0  # between two frames
MEETING_SECONDS: Final = 600.0  # until two devices have the same
READING_SECONDS: Final = 3_600.0  # until a device has read all its turns of a window, and answers with the first
MAX_MARKS_HEARD: Final = 4_000_000


class ReleaseDriver:
    """Both ends, on the mesh's host. ``find``: connect to a device, if that can be done."""

    def __init__(self, releases: Releases, host: Host) -> None:
        self.releases, self.host = releases, host

    # --- asking -----------------------------------------------------------------------------------------------------------

    async def meet(self, device: DeviceId) -> bool:
        """See `mycelnode.releasing.deciding.Devices`."""
        try:
            with trio.move_on_after(MEETING_SECONDS):
                async with self._asking(device) as line:
                    await self._meet(line)
                return True
        except MycelError:
            return False
        return False

    async def agree(self, device: DeviceId, window: Window) -> bool:
        """Hear by which version and dictionary a device reads a window that it decides; False if that failed."""
        try:
            with trio.move_on_after(IDLE_SECONDS):
                async with self._asking(device) as line:
                    await self._hear_terms(line, window, device)
                return True
        except MycelError:
            return False
        return False

    async def ask(self, call: Call, device: DeviceId) -> str:
        """See `mycelnode.releasing.deciding.Devices`."""
        try:
            async with self._asking(device) as line:
                await self._meet(line)
            async with self._asking(device) as line:
                return await self._fetch(line, call, device)
        except MycelError as error:
            return str(error)

    async def countersign(self, record: Spend | Plan, device: DeviceId) -> Seen | str:
        """See `mycelnode.releasing.deciding.Devices`."""
        try:
            async with self._asking(device) as line:
                await line.send(encode([SIGN, record.encoded]), deadline=IDLE_SECONDS)
                answer = await _next(line)
                if why := frames.refusal(answer):
                    return why
                seen = read_record(frames.read(answer, "seen", 1)[0])
                return seen if isinstance(seen, Seen) else "it did not answer as a witness does"
        except MycelError as error:
            return str(error)

    @asynccontextmanager
    async def _asking(self, device: DeviceId) -> AsyncIterator[FrameStream]:
        stream = await self.host.open_stream(self.host.line(peer_id(device)), PROTOCOL, deadline=OPEN_SECONDS)
        line = FrameStream(stream, MAX_FRAME)
        try:
            yield line
        except EncodingError as error:
            raise PeerMisbehaved(f"it said something about releases that cannot be read: {error}") from error
        finally:
            with trio.CancelScope(shield=True):
                await line.aclose()

    async def _hear_terms(self, line: FrameStream, window: Window, device: DeviceId) -> None:
        await line.send(frames.ask_terms(window, self.releases.dictionary_of(window)), deadline=IDLE_SECONDS)
        answer = await _next(line)
        if why := frames.refusal(answer):
            raise NetworkError(why)
        terms, words = frames.read_terms(answer), list[str]()
        while (frame := await _next(line)) != END:
            words += frames.read_words(frame)
            if len(words) > MAX_ENTRIES:
                raise PeerMisbehaved("it has more words in its dictionary than there can be")
        await self.releases.agree(window, device, terms, words)

    async def _fetch(self, line: FrameStream, call: Call, device: DeviceId) -> str:
        await line.send(frames.write_call(call), deadline=IDLE_SECONDS)
        handed: list[Handed] = []
        frame = await _next(line, READING_SECONDS)
        if why := frames.refusal(frame):
            return why
        if nothing := frames.why_nothing(frame):
            frame = await _next(line)
        while frame != END:
            handed += frames.read_part(frame)
            if nothing:
                raise PeerMisbehaved("it has handed over turns after it said that there are none")
            if len(handed) > MAX_HANDED:
                raise PeerMisbehaved("it has handed over more turns than a window can have")
            frame = await _next(line)
        if not await self.releases.put_part(call.window, device, handed, nothing):
            return "it came too late"
        await line.send(encode(["stored"]), deadline=IDLE_SECONDS)
        return ""

    # --- both ends of a meeting -------------------------------------------------------------------------------------------

    async def _meet(self, line: FrameStream) -> None:
        """First the records, then what stands for the marks, then the marks that differ: we before the other end, each time."""
        await line.send(encode([MEET]), deadline=IDLE_SECONDS)
        await _send(line, frames.write_records(self.releases.records()))
        await self._hear_records(line)
        ours = await self.releases.mark_digests()
        await line.send(frames.write_digests(ours), deadline=IDLE_SECONDS)
        theirs = frames.read_digests(await _next(line))
        await self._send_marks(line, ours, theirs)
        await self._hear_marks(line)
        await line.send(encode(["met"]), deadline=IDLE_SECONDS)

    async def _met(self, line: FrameStream) -> None:
        await self._hear_records(line)
        await _send(line, frames.write_records(self.releases.records()))
        theirs = frames.read_digests(await _next(line))
        ours = await self.releases.mark_digests()
        await line.send(frames.write_digests(ours), deadline=IDLE_SECONDS)
        await self._hear_marks(line)
        await self._send_marks(line, ours, theirs)
        frames.read(await _next(line), "met", 0)

    async def _hear_records(self, line: FrameStream) -> None:
        heard: list[bytes] = []
        while (frame := await _next(line)) != END:
            heard += frames.read_records(frame)
            if len(heard) > MAX_HEARD:
                raise PeerMisbehaved("it sent more records of releases than there can be")
        await self.releases.hear(heard)

    async def _send_marks(self, line: FrameStream, ours: list[bytes], theirs: list[bytes]) -> None:
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            if one != other:
                for frame in frames.write_marks(await self.releases.marks([number])):
                    await line.send(frame, deadline=IDLE_SECONDS)
        await line.send(END, deadline=IDLE_SECONDS)

    async def _hear_marks(self, line: FrameStream) -> None:
        heard = 0
        while (frame := await _next(line)) != END:
            marks = frames.read_marks(frame)
            heard += len(marks)
            if heard > MAX_MARKS_HEARD:
                raise PeerMisbehaved("it sent more turns and days than there can be")
            await self.releases.take_marks(marks)

    # --- answering --------------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """The handler of the protocol."""
        line = FrameStream(stream, MAX_FRAME)
        try:
            frame = await line.receive(deadline=IDLE_SECONDS)
            if frame is None:
                return
            try:
                match frames.kind_of(frame):
                    case "meet":
                        await self._met(line)
                    case "terms":
                        await self._tell_terms(line, *frames.read_asked_terms(frame), stream.key)
                    case "part":
                        await self._hand(line, frames.read_call(frame), stream.key)
                    case "sign":
                        await self._sign(line, frames.read(frame, SIGN, 1)[0], stream.key)
            except NetworkError:
                raise
            except EncodingError as error:
                raise PeerMisbehaved(f"it said something about releases that cannot be read: {error}") from error
            except MycelError as error:
                await line.send(frames.said(str(first(error))), deadline=IDLE_SECONDS)
        finally:
            with trio.CancelScope(shield=True):
                await line.aclose()

    async def _tell_terms(self, line: FrameStream, window: Window, known: bytes, caller: DeviceId) -> None:
        answer = await self.releases.terms_for(window, caller)
        if isinstance(answer, str):
            await line.send(frames.said(answer), deadline=IDLE_SECONDS)
            return
        terms, words = answer
        await line.send(frames.write_terms(terms), deadline=IDLE_SECONDS)
        await _send(line, () if terms.dictionary == known else frames.write_words(words))

    async def _hand(self, line: FrameStream, call: Call, caller: DeviceId) -> None:
        if self.releases.part.unheard(call, caller, self.releases.now()):
            await self.agree(caller, call.window)
        answer = await self.releases.called(call, caller)
        if isinstance(answer, str):
            await line.send(frames.said(answer), deadline=IDLE_SECONDS)
            return
        if answer.said:
            await line.send(frames.nothing(answer.said), deadline=IDLE_SECONDS)
        await _send(line, frames.write_part(answer.turns))
        frames.read(await _next(line), "stored", 0)
        await self.releases.given(call.window)

    async def _sign(self, line: FrameStream, record: bytes, caller: DeviceId) -> None:
        answer = await self.releases.asked(record, caller)
        said = frames.said(answer) if isinstance(answer, str) else encode(["seen", answer.encoded])
        await line.send(said, deadline=IDLE_SECONDS)


async def _next(line: FrameStream, deadline: float = IDLE_SECONDS) -> bytes:
    frame = await line.receive(deadline=deadline)
    if frame is None:
        raise PeerMisbehaved("it left in the middle of what it said about releases")
    return frame


async def _send(line: FrameStream, some: Iterable[bytes]) -> None:
    for frame in some:
        await line.send(frame, deadline=IDLE_SECONDS)
    await line.send(END, deadline=IDLE_SECONDS)


@asynccontextmanager
async def open_release_driver(releases: Releases, host: Host) -> AsyncIterator[ReleaseDriver]:
    """Answer the other devices for as long as the block lasts."""
    driver = ReleaseDriver(releases, host)
    host.set_handler(PROTOCOL, driver.serve)
    try:
        yield driver
    finally:
        host.remove_handler(PROTOCOL)
