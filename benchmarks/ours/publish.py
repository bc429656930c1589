"""How soon a pattern that one stranger publishes is found on another's node, beside a round trip. Argument: repetitions.

Two programs `mycelnode run` with open second doors, connected over loopback; both are asked over their control sockets. The clock
starts when `pattern publish` is answered, and stops when `pattern search` on the neighbour answers with that pattern, so its grain
is one search.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from time import perf_counter

import trio

from benchmarks.ours.neighbours import Neighbour, neighbour, skill, word
from benchmarks.ours.world import DEADLINE, Numbers, job
from mycelnode.p2p.host import Admission, HostConfig, Stream, open_host
from mycelnode.p2p.identify import PING, PING_BYTES

SECONDS = 10.0  # for one answer
SAME_CREATOR = 10  # publications in a row: neighbours take twenty of one creator at once


async def _ping(stream: Stream) -> None:
    await stream.send_all(bytes(PING_BYTES), deadline=SECONDS)
    await stream.read_exactly(PING_BYTES)


async def _floor(contact: str, times: int) -> Numbers:
    """Medians, in ms: from dialling to the answer to a first ping, and of a ping on a stream that stands."""
    addr, _, peer = contact.rpartition("/p2p/")
    dialled, asked = [], []
    for _ in range(times):
        config = HostConfig(listen=(), private_only=False)
        async with open_host(os.urandom(32), config, admit=lambda _: Admission.STRANGER) as host:
            started = perf_counter()
            await host.dial(peer, [addr], deadline=SECONDS)
            stream = await host.open_stream(host.line(peer), PING, deadline=SECONDS)
            await _ping(stream)
            dialled.append((perf_counter() - started) * 1000)
            started = perf_counter()
            await _ping(stream)
            asked.append((perf_counter() - started) * 1000)
            await stream.aclose()
    return {"dial_ms": statistics.median(dialled), "round_trip_ms": statistics.median(asked)}


async def _visible(here: Neighbour, there: Neighbour, folder: Path, times: int) -> tuple[list[float], list[float]]:
    """ms from the answer to `pattern publish`, and from its request, to when the neighbour finds the pattern."""
    since_answer, since_request = [], []
    for number in range(times + 1):
        path = str(skill(folder, number))
        begun = perf_counter()
        made = here.call("pattern.publish", path=path, new_key=number % SAME_CREATOR == 0)
        answered = perf_counter()
        with trio.fail_after(DEADLINE):
            while made["cid"] not in _found(there, word(number)):
                await trio.lowlevel.checkpoint()
        seen = perf_counter()
        since_answer.append((seen - answered) * 1000)
        since_request.append((seen - begun) * 1000)
    return sorted(since_answer[1:]), sorted(since_request[1:])  # what is done once in a process is not measured


def _found(node: Neighbour, query: str) -> list[str]:
    return [result["cid"] for result in node.call("pattern.search", query=query)["results"]]


async def measure(folder: Path, times: int) -> Numbers:
    """Medians and 95th percentiles, in ms."""
    async with neighbour(folder / "here") as here, neighbour(folder / "there", here.contact) as there:
        await here.meets()
        await there.meets()
        numbers = await _floor(here.contact, times)
        since_answer, since_request = await _visible(here, there, folder / "skills", times)
        searching = []
        for number in range(times):
            started = perf_counter()
            _found(there, word(number))
            searching.append((perf_counter() - started) * 1000)
    late = int(times * 0.95)
    return {
        **numbers,
        "visible_ms": statistics.median(since_answer),
        "visible_p95_ms": since_answer[min(late, times - 1)],
        "from_request_ms": statistics.median(since_request),
        "from_request_p95_ms": since_request[min(late, times - 1)],
        "search_ms": statistics.median(searching),
    }


if __name__ == "__main__":
    job(measure)
