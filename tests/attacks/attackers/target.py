"""What an attack is aimed at, and where it comes from."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from wire import Broken, Line, Peer, Refused, Session, connect

NETWORKS = 60  # /24s, for attacks from many addresses
WAVE = 50  # connections opened anew at a time
WORKERS = 6  # handshakes that one attacker has under way
FAILED = (Broken, Refused, OSError)


class Target:
    """The victim at ``addr``.

    ``protocol``: one that it serves to strangers; ``deaf``, ``pour``: those whose handlers never read, and never stop writing;
    ``tell``: one that says how a stream ended; ``kad``: the name of its DHT; ``signed``: does it want messages signed by who is
    first to send them? ``source``: the one address that the attack comes from, "many": ten addresses in each of sixty networks, or
    "near": two hundred in that of the newcomers. ``seed``: of the one identity that it has, in hexadecimal, instead of a fresh one
    for each connection.
    """

    def __init__(
        self,
        addr: str,
        protocol: str = "/echo/1",
        deaf: str = "/deaf/1",
        pour: str = "/pour/1",
        tell: str = "/tell/1",
        kad: str = "/ipfs/kad/1.0.0",
        signed: str = "yes",
        source: str = "127.0.0.2",
        seed: str = "",
    ) -> None:
        self.addr, self.protocol, self.deaf, self.pour, self.tell = addr, protocol, deaf, pour, tell
        self.kad, self.signed = kad, signed == "yes"
        self._source, self._seed = source, bytes.fromhex(seed)
        self.saw: dict[str, Any] = {}
        self._on = False
        self._over = False

    def source(self, number: int) -> str:
        """Where the connection of this number comes from."""
        if self._source == "near":
            return f"127.0.0.{10 + number % 200}"
        if self._source != "many":
            return self._source
        return f"127.0.{1 + number % NETWORKS}.{1 + number // NETWORKS % 10}"

    def on(self) -> None:
        """The attack is in full swing."""
        if not self._on:
            self._on = True
            print("on", flush=True)

    def going(self, pause: float = 0.0) -> bool:
        """Wait so long; then: is it to go on?"""
        if not self._over and select.select([sys.stdin], [], [], pause)[0]:
            self._over = not sys.stdin.read(1)
        return not self._over

    def keep_on(self, strike: Callable[[int], object], pause: float = 0.0) -> None:
        """Strike again and again; what the victim does about it is no reason to stop.

        ``struck``: the strikes that were carried out, of which the first says that the attack is on.
        """
        number = self.saw["struck"] = 0
        while self.going(pause):
            with suppress(*FAILED):
                strike(number)
                self.count("struck")
                self.on()
            number += 1
        self.saw["strikes"] = number

    def line(self, number: int) -> Line:
        """A TCP connection."""
        return connect(self.addr, source=self.source(number))

    def session(self, number: int) -> Session:
        """A full connection."""
        return Peer(self._seed or None).dial(self.addr, source=self.source(number))

    def count(self, what: str, amount: int = 1) -> None:
        """For the report."""
        self.saw[what] = self.saw.get(what, 0) + amount


class Crowd:
    """So many connections, held; a new one for each that the victim cuts."""

    def __init__(self, target: Target, size: int, open_one: Callable[[int], Line]) -> None:
        self.target, self.size, self._open_one = target, size, open_one
        self.lines: list[Line] = []
        self._opened = 0

    def _try(self, number: int) -> Line | None:
        if not self.target.going():
            return None
        try:
            return self._open_one(number)
        except FAILED:
            return None

    def gather(self, numbers: Iterable[int]) -> None:
        """Open those, several at once."""
        with ThreadPoolExecutor(WORKERS) as pool:
            self.lines += [line for line in pool.map(self._try, numbers) if line is not None]

    def hold(self, each: Callable[[Line], object] = lambda line: None, every: float = 0.25) -> None:
        """Hold them until the attack is over; ``each`` is done to every one of them now and then."""
        self.gather(range(len(self.lines), self.size))
        self._opened = self.size
        self.target.saw["held"] = self.target.saw["struck"] = len(self.lines)
        self.target.on()
        while self.target.going(every):
            self.lines = [line for line in self.lines if line.socket.fileno() >= 0]
            poll = select.poll()
            for line in self.lines:
                poll.register(line.socket, select.POLLIN)
            ready = {handle for handle, _ in poll.poll(0)}
            alive = []
            for line in self.lines:
                if line.socket.fileno() in ready and not _still_open(line):
                    line.close()
                else:
                    alive.append(line)
            self.lines = alive
            until = time.monotonic() + every
            for line in self.lines:
                with suppress(*FAILED):
                    each(line)
                if time.monotonic() > until:
                    break
            missing = min(self.size - len(self.lines), WAVE)
            held = len(self.lines)
            self.gather(range(self._opened, self._opened + missing))
            self._opened += missing
            self.target.count("struck", len(self.lines) - held)
        self.target.saw["opened"] = self._opened


def _still_open(line: Line) -> bool:
    """Takes what has come, unseen."""
    line.socket.setblocking(False)
    try:
        return bool(line.socket.recv(1 << 16))
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        line.socket.settimeout(1.0)
