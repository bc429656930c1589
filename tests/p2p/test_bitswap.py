"""Bitswap between real hosts, honest and other: what is fetched is what was asked for, and nobody makes a node hold much."""

from __future__ import annotations

import math
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import psutil
import pytest
import trio

from mycelnode.errors import BlockUnavailable, BrokenError, DagRefused, DataDirUnusable, NetworkError
from mycelnode.p2p.bitswap import CHATTER_BYTES, CHATTER_RATE, LARGE_AT_ONCE, Bitswap, Progress, open_bitswap
from mycelnode.p2p.host import Host, Stream
from mycelnode.p2p.swarm import Swarm, open_swarm
from mycelnode.protobuf import bytes_field, varint, varint_field
from mycelnode.protocols.bitswap_frames import MAX_MESSAGE, PROTOCOL, Block, Entry, Message, encode_message
from mycelnode.protocols.bitswap_outflow import BURST_SECONDS
from tests.p2p.blocks import NODE, Blocks, a_dag, cid_of, links, node, random_block
from tests.p2p.hosts import LOOPBACK, PATIENCE, a_host, connect, never_read, until

MIB = 1 << 20


@asynccontextmanager
async def a_swarm(store: Blocks, bootstrap: Swarm | None = None, upload: float = math.inf) -> AsyncIterator[Swarm]:
    """A door with ``store`` behind it, connected with ``bootstrap``."""
    first = bootstrap.contacts if bootstrap else ()
    async with open_swarm(os.urandom(32), listen=LOOPBACK, bootstrap=first, store=store, upload=upload) as swarm:
        if bootstrap is not None:
            await until(lambda: bootstrap.peer_id in swarm.peers and swarm.peer_id in bootstrap.peers)
        yield swarm


async def say(host: Host, other: Host, message: bytes) -> Stream:
    """Send one message as it is."""
    stream = await host.open_stream(host.line(other.peer_id), PROTOCOL, deadline=PATIENCE)
    await stream.send_all(varint(len(message)) + message, deadline=PATIENCE)
    return stream


async def fetched(swarm: Swarm, root: bytes, **more: object) -> Progress:
    arguments = {"links": links, "max_blocks": 1000, "max_bytes": 100 * MIB, **more}
    with trio.fail_after(4 * PATIENCE):
        return await swarm.bitswap.fetch_dag(root, **arguments)  # type: ignore[arg-type]


def nothing_left(bitswap: Bitswap) -> bool:
    client = bitswap.machine.client
    owed = any(client.owes(peer) for peer in bitswap._lines)
    return not (client.wants or bitswap._waiting or owed or bitswap.machine.speaks_to(trio.current_time()))


# --- fetching ----------------------------------------------------------------------------------------------------------------


async def test_blocks_of_all_sizes() -> None:
    theirs = Blocks([b"", b"small", random_block(1025), random_block(MIB), random_block(2 * MIB)])
    ours = Blocks()
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here:
        for cid, block in theirs.items():
            assert await here.bitswap.fetch(cid, deadline=PATIENCE) == block
        assert ours == {}  # that is for the caller to do
        assert nothing_left(here.bitswap)


async def test_a_block_that_is_here_is_asked_of_nobody() -> None:
    async with a_swarm(Blocks([b"here"])) as here:
        assert await here.bitswap.fetch(cid_of(b"here"), deadline=0) == b"here"


async def test_a_dag_of_ten_mebibytes() -> None:
    theirs, ours, told = Blocks(), Blocks(), list[Progress]()
    root = a_dag(theirs, 10, MIB)
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here:
        done = await fetched(here, root, on_progress=told.append)
        assert ours == theirs
        assert done == told[-1] == Progress(blocks=11, size=sum(map(len, theirs.values())), fetched=11, known=11)
        assert [progress.blocks for progress in told] == list(range(1, 12))
        again = await fetched(here, root)
        assert (again.blocks, again.fetched) == (11, 0)


async def test_a_fetch_goes_on_where_it_was_stopped() -> None:
    theirs, ours = Blocks(), Blocks()
    root = a_dag(theirs, 40, 50_000)
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here:
        with trio.CancelScope() as scope:

            def stop(progress: Progress) -> None:
                if progress.fetched == 10:
                    scope.cancel()

            await fetched(here, root, on_progress=stop)
        assert scope.cancelled_caught
        kept = set(ours)
        assert 10 <= len(kept) < 41
        await until(lambda: nothing_left(here.bitswap))
        await until(lambda: not there.bitswap.machine._ledgers[here.peer_id].blocks)  # it was told to stop, too
        done = await fetched(here, root)
        assert ours == theirs
        assert done.fetched == 41 - len(kept)
        assert len(ours.puts) == 41  # each block once


async def test_a_dag_comes_from_all_who_have_it() -> None:
    theirs, ours = Blocks(), Blocks()
    root = a_dag(theirs, 64, 100_000)
    async with a_swarm(theirs) as one, a_swarm(theirs) as two, a_swarm(ours, one) as here:
        await connect(here.host, two.host)
        await fetched(here, root)
        peers = here.bitswap.machine.client._peers
        gave = [peers[peer.peer_id].wanted_bytes for peer in (one, two)]
        assert ours == theirs
        assert min(gave) > 64 * 100_000 / 10


async def test_two_who_want_the_same_get_it_once() -> None:
    theirs = Blocks([random_block(MIB)])
    (cid,) = theirs
    async with a_swarm(theirs) as there, a_swarm(Blocks(), there) as here, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(here.bitswap.fetch, cid)
        await until(lambda: here.bitswap.machine.client._peers[there.peer_id].wanted_bytes)
        await until(lambda: nothing_left(here.bitswap))
        assert here.bitswap.machine.client._peers[there.peer_id].wanted_bytes == MIB


async def test_a_block_that_is_made_later_is_sent() -> None:
    theirs = Blocks()
    async with a_swarm(theirs) as there, a_swarm(Blocks(), there) as here, trio.open_nursery() as nursery:
        got = list[bytes]()

        async def fetch() -> None:
            got.append(await here.bitswap.fetch(cid_of(b"later")))

        nursery.start_soon(fetch)
        await until(lambda: there.bitswap.machine._ledgers[here.peer_id].wants)
        await there.bitswap.put(cid_of(b"later"), b"later")
        await until(lambda: got)
        assert got == [b"later"]


async def test_a_cancelled_fetch_is_taken_back() -> None:
    async with a_swarm(Blocks()) as there, a_swarm(Blocks(), there) as here, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(here.bitswap.fetch, cid_of(b"nowhere"))
        ledger = there.bitswap.machine._ledgers[here.peer_id]
        await until(lambda: ledger.wants)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await until(lambda: not ledger.wants)
            assert nothing_left(here.bitswap)


async def test_a_block_that_nobody_has() -> None:
    async with a_swarm(Blocks()) as there, a_swarm(Blocks(), there) as here:
        with pytest.raises(BlockUnavailable, match="1 connected peers"):
            await here.bitswap.fetch(cid_of(b"nowhere"), deadline=0.2)
        await until(lambda: nothing_left(here.bitswap))


# --- DAGs that are not what they should be -----------------------------------------------------------------------------------


async def test_a_dag_that_is_too_large_is_refused_before_it_is_fetched() -> None:
    theirs, ours = Blocks(), Blocks()
    root = a_dag(theirs, 100, 1000)
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here:
        with pytest.raises(DagRefused, match="100 blocks"):
            await fetched(here, root, max_blocks=100)
        assert len(ours) == 1  # the root
        with pytest.raises(DagRefused, match="bytes"):
            await fetched(here, root, max_bytes=50_000)
        assert sum(map(len, ours.values())) < 50_000 + 20_000
        await until(lambda: nothing_left(here.bitswap))


async def test_a_dag_of_many_paths_ends() -> None:
    theirs, ours = Blocks([b"leaf"]), Blocks()
    root = cid_of(b"leaf")
    for _ in range(30):
        block = node([root, root])
        root = cid_of(block, NODE)
        theirs[root] = block
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here:
        assert (await fetched(here, root)).blocks == 31


async def test_a_block_that_cannot_be_read_ends_a_fetch() -> None:
    theirs = Blocks()
    theirs[cid_of(b"no node", NODE)] = b"no node"
    async with a_swarm(theirs) as there, a_swarm(Blocks(), there) as here:
        with pytest.raises(DagRefused, match="not a node"):
            await fetched(here, cid_of(b"no node", NODE))


class Failing(Blocks):
    """A disk that fails."""

    def get(self, cid: bytes, default: object = None) -> bytes | None:  # type: ignore[override]
        raise DataDirUnusable("the disk fails")


async def test_a_block_that_cannot_be_read_any_more_is_said_to_be_missing() -> None:
    failing = Failing([random_block(5000)])
    (cid,) = failing
    async with a_swarm(failing) as there, a_swarm(Blocks(), there) as here:
        with pytest.raises(BlockUnavailable):
            await here.bitswap.fetch(cid, deadline=0.5)
        assert there.peer_id in here.peers


class Full(Blocks):
    """A disk that takes three blocks."""

    def put(self, cid: bytes, block: bytes) -> None:
        if len(self) >= 3:
            raise DataDirUnusable("the disk is full")
        super().put(cid, block)


async def test_a_store_that_takes_no_more_ends_a_fetch() -> None:
    theirs, ours = Blocks(), Full()
    root = a_dag(theirs, 50, 1000)
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here:
        with pytest.raises(DataDirUnusable, match="full"):
            await fetched(here, root)
        await until(lambda: nothing_left(here.bitswap))
        assert len(ours) == 3


# --- peers that are not what they should be ------------------------------------------------------------------------------------


async def test_a_peer_that_never_answers_does_not_hold_up_a_fetch() -> None:
    theirs, ours = Blocks(), Blocks()
    root = a_dag(theirs, 20, 20_000)
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here, a_host() as mute:
        mute.set_handler(PROTOCOL, never_read, strangers=True)
        await connect(here.host, mute)
        await fetched(here, root)
        assert ours == theirs


async def test_a_peer_that_does_not_speak_bitswap_is_left_alone() -> None:
    theirs, ours = Blocks([b"block"]), Blocks()
    async with a_swarm(ours) as here, a_host() as other:
        await connect(here.host, other)
        with pytest.raises(BlockUnavailable):
            await here.bitswap.fetch(cid_of(b"block"), deadline=0.3)
        assert other.peer_id in here.peers
        async with a_swarm(theirs) as there:
            await connect(here.host, there.host)
            assert await here.bitswap.fetch(cid_of(b"block"), deadline=PATIENCE) == b"block"


async def test_a_peer_that_sends_garbage_is_cut_and_nothing_is_kept() -> None:
    """It answers each question with blocks that nobody asked for, and with others under the names that were asked for."""
    theirs, ours = Blocks(), Blocks()
    root = a_dag(theirs, 20, 20_000)
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here, a_host() as bad:

        async def garbage(stream: Stream) -> None:
            while True:
                blocks = [Block(root[:4], random.randbytes(100_000)) for _ in range(5)]
                await say(bad, here.host, encode_message(Message(blocks=tuple(blocks))))

        bad.set_handler(PROTOCOL, garbage, strangers=True)
        await connect(here.host, bad)
        await fetched(here, root)
        assert ours == theirs
        await until(lambda: bad.peer_id not in here.peers)
        assert ours == theirs
        assert there.peer_id in here.peers


async def test_unasked_blocks_cost_nothing_and_their_sender_its_connection() -> None:
    ours = Blocks()
    async with a_swarm(ours) as here, a_host() as bad:
        await connect(bad, here.host)
        message = encode_message(Message(blocks=(Block.of(cid_of(b""), random_block(100_000)),)))
        with pytest.raises(NetworkError):
            for _ in range(100):
                await say(bad, here.host, message)
        await until(lambda: bad.peer_id not in here.peers)
        assert ours == {}


async def test_a_want_list_of_fifty_thousand_is_bounded() -> None:
    async with a_swarm(Blocks()) as here, a_host() as greedy:
        greedy.set_handler(PROTOCOL, never_read, strangers=True)
        await connect(greedy, here.host)
        process = psutil.Process()
        before = process.memory_info().rss
        for number in range(2):
            entries = (Entry(cid_of(b"%d %d" % (number, n)), send_dont_have=True) for n in range(50_000))
            message = encode_message(Message(tuple(entries)))
            assert len(message) < MAX_MESSAGE
            await say(greedy, here.host, message)
        ledger = here.bitswap.machine._ledgers[greedy.peer_id]
        await until(lambda: cid_of(b"1 0") in ledger.wants)
        assert len(ledger.wants) <= 1024
        assert process.memory_info().rss - before < 40 * MIB  # both ends are in this process
        stream = await say(greedy, here.host, encode_message(Message((Entry(cid_of(b"x")),))))
        await until(lambda: cid_of(b"x") in ledger.wants)  # it is served still
        stream.reset()


async def test_want_lists_without_end_are_read_slowly() -> None:
    """And blocks of others come meanwhile."""
    theirs, ours = Blocks(), Blocks()
    root = a_dag(theirs, 10, MIB)
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here, a_host() as bad, trio.open_nursery() as nursery:
        bad.set_handler(PROTOCOL, never_read, strangers=True)
        await connect(bad, here.host)
        message = encode_message(Message(tuple(Entry(cid_of(b"%d" % n)) for n in range(50_000))))
        sent = 0

        async def pour() -> None:
            nonlocal sent
            stream = await bad.open_stream(bad.line(here.peer_id), PROTOCOL, deadline=PATIENCE)
            while True:
                await stream.send_all(varint(len(message)) + message, deadline=60)
                sent += len(message)

        nursery.start_soon(pour)
        await until(lambda: sent)
        began = trio.current_time()
        await fetched(here, root)
        assert ours == theirs
        window = 4 * MIB  # what is on its way unread
        assert sent <= CHATTER_BYTES + window + (trio.current_time() - began + PATIENCE) * CHATTER_RATE
        await until(lambda: here.bitswap._lines[bad.peer_id].chatter > trio.current_time())  # it has to wait
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "data",
    [
        varint(MAX_MESSAGE + 1) + b"x",
        b"\xff" * 20,
        varint(4) + b"\xff\xff\xff\xff",
        varint(10) + varint_field(1, 1) + bytes_field(5, b"123456"),
    ],
    ids=["too long", "endless", "no message", "wrong kinds"],
)
async def test_nonsense_ends_the_connection(data: bytes) -> None:
    async with a_swarm(Blocks()) as here, a_host() as bad:
        await connect(bad, here.host)
        stream = await bad.open_stream(bad.line(here.peer_id), PROTOCOL, deadline=PATIENCE)
        await stream.send_all(data, deadline=PATIENCE)
        with trio.fail_after(PATIENCE), pytest.raises(BrokenError):
            await stream.receive_some(1)
        await until(lambda: bad.peer_id not in here.peers)


async def test_messages_that_never_come_whole_hold_up_nobody() -> None:
    """As many large ones as are taken at once, begun and not ended: blocks that were asked for come all the same."""
    theirs, ours = Blocks(), Blocks()
    root = a_dag(theirs, 10, MIB)
    async with a_swarm(theirs) as there, a_swarm(ours, there) as here, trio.open_nursery() as nursery:

        async def dribble(task_status: trio.TaskStatus[None]) -> None:
            async with a_host() as bad:
                await connect(bad, here.host)
                stream = await bad.open_stream(bad.line(here.peer_id), PROTOCOL, deadline=PATIENCE)
                await stream.send_all(varint(MAX_MESSAGE) + bytes(1000), deadline=PATIENCE)
                task_status.started()
                await trio.sleep_forever()

        for _ in range(LARGE_AT_ONCE + 2):
            await nursery.start(dribble)
        await until(lambda: here.bitswap._large.available_tokens == 0)
        await fetched(here, root)
        assert ours == theirs
        nursery.cancel_scope.cancel()


async def test_a_peer_that_reads_nothing_is_cut_and_the_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.p2p.bitswap.SEND_SECONDS", 1.0)
    theirs, ours = Blocks(), Blocks()
    root = a_dag(theirs, 20, MIB)
    async with a_swarm(theirs) as there, a_host() as deaf, a_swarm(ours, there) as here:
        deaf.set_handler(PROTOCOL, never_read, strangers=True)
        await connect(deaf, there.host)
        await say(deaf, there.host, encode_message(Message(tuple(Entry(cid) for cid in theirs))))
        await fetched(here, root)
        await until(lambda: deaf.peer_id not in there.peers)
        assert ours == theirs


async def test_who_asks_for_a_block_again_and_again_is_sent_no_more_than_may_go_out() -> None:
    """And who asks for another one meanwhile gets it."""
    theirs, rate, heard = Blocks([random_block(200_000), b"another"]), 250_000, 0
    large, another = theirs
    async with (
        a_swarm(theirs, upload=rate) as there,
        a_host() as greedy,
        a_swarm(Blocks(), there) as here,
        trio.open_nursery() as nursery,
    ):

        async def listen(stream: Stream) -> None:
            nonlocal heard
            while data := await stream.receive_some(1 << 18):
                heard += len(data)

        async def ask() -> None:
            stream = await greedy.open_stream(greedy.line(there.peer_id), PROTOCOL, deadline=PATIENCE)
            message = encode_message(Message((Entry(large),)))
            while True:
                await stream.send_all(varint(len(message)) + message, deadline=PATIENCE)
                await trio.sleep(0.005)

        greedy.set_handler(PROTOCOL, listen, strangers=True)
        began = trio.current_time()
        await connect(greedy, there.host)
        nursery.start_soon(ask)
        await until(lambda: heard >= BURST_SECONDS * rate)
        assert await here.bitswap.fetch(another, deadline=PATIENCE) == b"another"
        await trio.sleep(2.0)
        assert heard <= (BURST_SECONDS + trio.current_time() - began) * rate + 2 * 210_000
        await until(lambda: heard >= (BURST_SECONDS + 1) * rate)  # it is served on
        nursery.cancel_scope.cancel()


async def test_peers_that_read_nothing_make_room_for_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mycelnode.protocols.bitswap_outflow.HELD_BYTES", 5 * MIB)
    monkeypatch.setattr("mycelnode.protocols.bitswap_outflow.STUCK_SECONDS", 0.5)
    theirs = Blocks([random_block(2 * MIB)])
    (cid,) = theirs
    async with a_swarm(theirs) as there, AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(a_host()) for _ in range(4)]
        for deaf in crowd:
            deaf.set_handler(PROTOCOL, never_read, strangers=True)
            await connect(deaf, there.host)
            await say(deaf, there.host, encode_message(Message((Entry(cid),))))
        books = there.bitswap.machine._outflow
        await until(lambda: books.held == 6 * MIB)
        async with a_swarm(Blocks(), there) as here:
            assert await here.bitswap.fetch(cid, deadline=PATIENCE) == theirs[cid]
        assert books.held <= 6 * MIB
        await until(lambda: len(there.peers & {deaf.peer_id for deaf in crowd}) < 3)


async def test_a_peer_that_ends_each_stream_after_a_message_is_served() -> None:
    """As peers do that use a stream a message."""
    theirs = Blocks([random_block(5000)])
    (cid,) = theirs
    async with a_swarm(theirs) as there, a_host() as old:
        heard = list[bytes]()

        async def one_message(stream: Stream) -> None:
            heard.append(await stream.receive_some(1 << 16))
            stream.reset()

        old.set_handler(PROTOCOL, one_message, strangers=True)
        await connect(old, there.host)
        for number in range(1, 4):
            stream = await say(old, there.host, encode_message(Message((Entry(cid),))))
            await stream.aclose()
            await until(partial(lambda most: len(heard) >= most, number))


async def test_a_peer_that_takes_no_stream_at_first_is_heard_later() -> None:
    theirs = Blocks([b"block"])
    (cid,) = theirs
    async with a_swarm(Blocks()) as here, a_host() as late:
        await connect(late, here.host)
        with pytest.raises(BlockUnavailable, match="none of 0"):
            await here.bitswap.fetch(cid, deadline=0.3)
        async with open_bitswap(late, theirs, strangers=True) as there:
            with suppress(BlockUnavailable):
                await there.fetch(cid_of(b"what the other has not"), deadline=0.1)
            assert await here.bitswap.fetch(cid, deadline=PATIENCE) == b"block"


# --- over any host -------------------------------------------------------------------------------------------------------------


async def test_members_of_a_mesh_can_use_it_too() -> None:
    """On a host that knows its members, only they are served."""
    theirs = Blocks([b"block"])
    async with a_host() as one, a_host() as two:
        async with (
            open_bitswap(one, theirs, strangers=False),
            open_bitswap(two, Blocks(), strangers=False) as here,
        ):
            await connect(two, one)
            assert await here.fetch(cid_of(b"block"), deadline=PATIENCE) == b"block"
        assert PROTOCOL not in one._handlers
