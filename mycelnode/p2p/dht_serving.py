"""Answering the questions of a DHT: streams in shares, and records of who provides what (docs/protocols/providers.md)."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from mycelnode.errors import EncodingError
from mycelnode.p2p.delimited import Reader
from mycelnode.p2p.dht_asking import READ_SECONDS, Asker, send
from mycelnode.p2p.host import Stream
from mycelnode.protocols.buckets import Buckets, Rate
from mycelnode.protocols.kad_table import BUCKET, Table, place_of
from mycelnode.protocols.kad_wire import MAX_MESSAGE_BYTES, Kind, Message, PeerAddrs
from mycelnode.protocols.providers import Own, ProviderStore

STREAMS: Final = 64  # that are served; then the one that has been silent longest goes
STREAMS_OF_PEER: Final = 4  # of them
QUESTION_RATE: Final = Rate(burst=64, per_second=20)  # of one peer; then it has to wait
MAX_PEERS: Final = 1024  # whose shares are kept
CANDIDATES: Final = 32  # peers that say they serve, too, and are not asked yet
SHA2_256: Final = b"\x12\x20"
_KEY_BYTES: Final = 34

_log = logging.getLogger(__name__)


class Server:
    """Answers from ``table``, ``store`` and what is our ``own``."""

    def __init__(self, table: Table, store: ProviderStore, own: Own, asker: Asker, clock: Callable[[], float]) -> None:
        self._table, self._store, self._own, self._asker, self._clock = table, store, own, asker, clock
        self._rates = Buckets(QUESTION_RATE, MAX_PEERS)
        self._waiting: OrderedDict[Stream, None] = OrderedDict()  # streams without a question, longest first
        self._served: Counter[str] = Counter()
        self._candidates, self.candidates = trio.open_memory_channel[PeerAddrs](
            CANDIDATES
        )  # who says that it serves as well

    async def serve(self, stream: Stream) -> None:
        """Questions of a peer, one after another."""
        peer = stream.peer
        if self._served[peer] >= STREAMS_OF_PEER:
            return
        if sum(self._served.values()) >= STREAMS:
            if not self._waiting:
                return
            self._waiting.popitem(last=False)[0].reset()
        self._served[peer] += 1
        reader = Reader(stream, MAX_MESSAGE_BYTES)
        try:
            while True:
                self._waiting[stream] = None
                with trio.fail_after(READ_SECONDS):
                    data = await reader.next(READ_SECONDS)
                self._waiting.pop(stream, None)
                if data is None:
                    return
                await trio.sleep(self._rates.owe(peer, trio.current_time()))
                answer = self._answer(peer, Message.read(data))
                if answer is not None:
                    await send(stream, answer)
        except EncodingError as error:
            _log.debug("%s asks what cannot be understood: %s", peer, error)
        finally:
            self._waiting.pop(stream, None)
            self._served[peer] -= 1
            if not self._served[peer]:
                del self._served[peer]

    def _answer(self, peer: str, question: Message) -> Message | None:
        self._hear(peer, question)
        key, now = question.key, self._clock()
        if question.kind is Kind.PING:
            return Message(Kind.PING)
        if question.kind is Kind.ADD_PROVIDER:
            mine = [each for each in question.providers if each.peer == peer]
            if len(key) == _KEY_BYTES and key.startswith(SHA2_256) and mine:
                self._store.add(key, PeerAddrs(peer, self._asker.at_its_address(mine[0].addrs, peer)), now)
            return None
        closer = tuple(e for e in self._table.closest(place_of(key), BUCKET, but=peer) if e.addrs)
        providers: tuple[PeerAddrs, ...] = ()
        if question.kind is Kind.GET_PROVIDERS:
            providers = (*(self._asker.ourselves() if key in self._own else ()), *self._store.of(key, now))[:BUCKET]
        return Message(question.kind, key, closer, providers)

    def _hear(self, peer: str, question: Message) -> None:
        """Who asks and says that it serves as well is asked, when there is time, and is in the table if it answers."""
        for each in question.closer:
            if each.peer != peer:
                continue
            addrs = self._asker.at_its_address(each.addrs, peer)
            if peer in self._table:
                self._table.answered(peer, addrs, self._clock())
                continue
            with suppress(trio.WouldBlock):
                self._candidates.send_nowait(PeerAddrs(peer, addrs))
