"""An enrolled device turned hostile: ``python -I insider.py ATTACK SEED ROOT ADDRESS…``, where SEED is its real key (hex).

It speaks the mesh's own protocols, each byte by its own code (`member`). Prints ``on`` in full swing, keeps on until its standard
input ends, and then prints what it saw as one JSON object; ``went on`` in it is what it has done since. It shares no code with what
it attacks: see `wire.alone`.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import wire  # noqa: I001  # first of all: from here on mycelnode and libp2p cannot be imported

import wire.alone
from member import (
    BYE,
    ENTRIES,
    HAVE,
    PROBE,
    PROBED,
    REFUSED,
    SNAPSHOT,
    STATE,
    STATEMENTS,
    WANT,
    Device,
    Line,
    blake,
    chained,
    encode,
)

Tip = tuple[int, bytes]
KEEP_ON = 1000.0  # seconds; whoever started it will have told it to stop by then


class Attack:
    """What all attacks share: when to stop, what was seen."""

    def __init__(self, device: Device, addresses: list[str]) -> None:
        self.device, self.addresses = device, addresses
        self.saw: Counter[str] = Counter()
        self.stopped = threading.Event()
        self._on = threading.Event()
        self.before = 0  # of what is `done`, until it was on

    def going(self) -> bool:
        return not self.stopped.is_set()

    def on(self) -> None:
        """The attack is in full swing."""
        self._on.set()

    def done(self) -> int:
        """How much of it took place; what the victims refused or cut is not counted again."""
        return sum(
            count for what, count in self.saw.items() if what.partition(":")[0] not in ("refused", "cut", "failed")
        )

    def everywhere(self, one: Callable[[str], None]) -> None:
        """On all victims at once, again and again, until it is told to stop."""

        def loop(addr: str) -> None:
            while self.going():
                try:
                    one(addr)
                except wire.Refused:
                    self.saw["refused"] += 1
                    self.stopped.wait(0.3)
                except (wire.Broken, OSError, ValueError):
                    self.saw["cut"] += 1
                    self.stopped.wait(0.05)
                except Exception as error:
                    self.saw[f"failed: {error!r}"[:120]] += 1
                    self.stopped.wait(0.3)

        for addr in self.addresses:
            threading.Thread(target=loop, args=(addr,), daemon=True).start()
        self._on.wait(30)
        self.before = self.done()
        print("on", flush=True)
        sys.stdin.read()
        self.stopped.set()


# --- entries -----------------------------------------------------------------------------------------------------------------


def transaction(*operations: Any, clock: int | None = None) -> bytes:
    now = round(time.time() * 1000) << 16
    return encode([now if clock is None else clock, *operations])


def forged(attack: Attack) -> None:
    """Logs with a wrong signature or hash, out of order, cut short, said again, of others; each on a connection of its own."""
    device = attack.device

    def wrong(line: Line, number: int) -> list[Any]:
        start = line.own_tip()
        entries = [transaction([2, "notes", f"evil-{number}-{place}", "x"]) for place in range(3)]
        frame, _ = device.run(start, entries)
        head = list(frame[5])
        match number % 9:
            case 0:
                frame[5] = [head[0], head[1], bytes(64)]
            case 1:
                frame[5] = device.head(head[0], blake(b"other"))
            case 2:
                frame[4] = entries[::-1]
            case 3:
                frame[4] = entries[:-1]
            case 4:
                frame[2], frame[3] = start[0] + 5, blake(b"hole")
                frame[5] = device.run((frame[2], frame[3]), entries)[0][5]
            case 5:  # another's log, signed by us
                other = next(key for key in line.tips if key != device.key)
                (seq, digest), *_ = line.tips[other]
                for entry in entries:
                    seq, digest = seq + 1, chained(digest, entry)
                frame = [ENTRIES, other, *line.tips[other][0], entries, device.head(seq, digest, other)]
            case 6:  # a head of another's log further on than its log
                other = next(key for key in line.tips if key != device.key)
                frame = [ENTRIES, other, *line.tips[other][0], [], device.head(1 << 40, blake(b"x"), other)]
            case 7:
                frame[4] = [bytes(300 << 10)]  # an entry larger than any
                frame[5] = device.run(start, frame[4])[0][5]
            case 8:
                frame[4] = [*entries, 5]
        return frame

    numbers = iter(range(1 << 60))

    def one(addr: str) -> None:
        line = Line(device, addr)
        line.say(wrong(line, next(numbers)))
        attack.saw["sent"] += 1
        attack.on()
        if not line.cut(10.0):
            attack.saw["believed"] += 1
        line.close()
        raise wire.Broken

    attack.everywhere(one)


def replayed(attack: Attack) -> None:
    """What the victim has said and what we have said, again and again."""

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        frame, _ = attack.device.run(line.own_tip(), [transaction([6, "count", 1])])
        while attack.going():
            for again in (frame, *line.others[:20]):
                line.say(again)
                attack.saw["sent"] += 1
            attack.on()

    attack.everywhere(one)


def _pour(
    attack: Attack, make: Callable[[int, Tip, Line], list[bytes]], on: tuple[str, int] = ("bytes", 2 << 20)
) -> None:
    """Runs of entries, well-formed and signed, as fast as they are taken, the same log to all victims.

    ``make`` is given the number of the run, where the log ends, and a connection with a victim; ``on`` is when the attack is.
    """
    runs: list[list[Any]] = []
    lock = threading.Lock()
    tip: list[Tip] = []

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        start = line.own_tip()
        with lock:
            if not tip:
                tip.append(start)
        place = 0
        while attack.going():
            with lock:
                while len(runs) <= place:
                    frame, tip[0] = attack.device.run(tip[0], make(len(runs), tip[0], line))
                    runs.append(frame)
            frame = runs[place]
            place += 1
            if frame[5][0] <= start[0]:
                continue
            line.say(frame)
            attack.saw["entries"] += len(frame[4])
            attack.saw["bytes"] += sum(map(len, frame[4]))
            if line.heard[REFUSED]:
                attack.saw["refusals"] += 1
                line.close()
                attack.stopped.wait(0.5)
                return
            if attack.saw[on[0]] > on[1]:
                attack.on()

    attack.everywhere(one)


def flood(attack: Attack) -> None:
    """Small entries, without end."""
    _pour(attack, lambda run, *_: [transaction([2, "flood", f"flood-{run % 50}-{n}", "x" * 60]) for n in range(3000)])


def huge(attack: Attack) -> None:
    """Entries as large as any may be: of bytes, and of as many values as there can be in them."""
    bodies: list[Any] = [os.urandom(255 << 10), [{}] * (255 << 10)]
    entries = [transaction([1, f"huge-{number}", bodies[number % 2]]) for number in range(4)]
    _pour(attack, lambda run, *_: [entries[run % 4]])


def deletions(attack: Attack) -> None:
    """Every key that the others may have, removed, again and again."""
    _pour(attack, lambda *_: [transaction(*([2, "notes", f"key-{n}"] for n in range(200))) for _ in range(40)])


def ahead(attack: Attack) -> None:
    """Writes dated in two years, to win against whatever the others write."""
    later = round((time.time() + 2 * 365 * 86400) * 1000) << 16
    _pour(
        attack, lambda run, *_: [transaction([2, "notes", f"key-{n}", "mine"], clock=later + run) for n in range(2000)]
    )


def versions(attack: Attack) -> None:
    """The log anew, and otherwise, for each victim and each time."""

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        start = line.own_tip()
        for number in range(40):
            tips = line.tips.get(attack.device.key)
            at = (tips[number % len(tips)][0], tips[number % len(tips)][1]) if tips and number % 2 else start
            entries = [transaction([2, "notes", f"evil-{random.random()}", number]) for _ in range(1 + number % 3)]
            line.say(attack.device.run(at, entries)[0])
            attack.saw["versions"] += 1
            line.listen(0.05)
            attack.on()
        line.cut(1.0)
        line.close()

    attack.everywhere(one)


# --- statements --------------------------------------------------------------------------------------------------------------


def _stated(device: Device, tip: Tip, said: Iterable[tuple[str, bytes, Any, Any]]) -> list[bytes]:
    """Statements of ours, one after another in our log: (kind, subject, head, info) of each."""
    made: list[bytes] = []
    for kind, subject, head, info in said:
        made.append(encode([0, device.statement(kind, subject, head, (tip[0] + 1, tip[1]), info)]))
        tip = (tip[0] + 1, chained(tip[1], made[-1]))
    return made


def enrolments(attack: Attack) -> None:
    """New devices enrolled without end, each an entry of our log."""

    def run(_: int, tip: Tip, line: Line) -> list[bytes]:
        made = (("enrol", os.urandom(32), None, {"name": "x", "time": 1}) for _ in range(100))
        return _stated(attack.device, tip, made)

    _pour(attack, run, ("entries", 500))


def revocations(attack: Attack) -> None:
    """Everybody put out, at whatever place in their logs, at whatever time; and again."""
    times = [-(1 << 40), 1, round(time.time() * 1000), 1 << 60]

    def run(number: int, tip: Tip, line: Line) -> list[bytes]:
        others = [(key, tips[0]) for key, tips in line.tips.items() if key != attack.device.key]
        return _stated(
            attack.device,
            tip,
            [("revoke", key, head, {"time": times[number % len(times)]}) for key, head in others for _ in range(10)],
        )

    _pour(attack, run, ("entries", 500))


def statements(attack: Attack) -> None:
    """Statements that stand in no log: revocations of everybody's future, enrolments, at ever lower places."""
    places = iter(range(1 << 47, 0, -1))

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        line.own_tip()
        while attack.going():
            made = [
                attack.device.statement("enrol", os.urandom(32), None, (next(places), os.urandom(32)), {"name": 5})
                for _ in range(200)
            ]
            line.say([STATEMENTS, made])
            attack.saw["said"] += len(made)
            if attack.saw["said"] >= 1000:
                attack.on()

    attack.everywhere(one)


# --- lies and noise ----------------------------------------------------------------------------------------------------------


def lies(attack: Attack) -> None:
    """Logs and versions that do not exist, said to be held; answers to probes that lead nowhere."""

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        line.own_tip()
        ids = [os.urandom(32) for _ in range(900)]
        while attack.going():
            told: dict[bytes, list[list[Any]]] = {key: [[random.randrange(1, 9), os.urandom(32)]] for key in ids}
            for key in list(line.tips)[:5]:
                told[key] = [[random.randrange(1, 1 << 40), os.urandom(32)] for _ in range(4)]
            line.say([HAVE, told, [os.urandom(32) for _ in range(50)]])
            line.say([PROBED, random.choice(ids), [[1, os.urandom(32)]]]) if attack.saw["told"] % 20 == 19 else None
            attack.saw["told"] += 1
            if attack.saw["told"] > 5:
                attack.on()

    attack.everywhere(one)


def states(attack: Attack) -> None:
    """States that nobody asked for, snapshots that nobody confirmed, requests for states without end, and what came of it."""
    state = b"\x01" + os.urandom(1000)
    numbers = iter(range(1 << 60))

    def unasked(line: Line) -> None:
        line.say([STATE, blake(state), len(state), 0, state, {}])

    def unconfirmed(line: Line) -> None:
        cut = {key: tips[0] for key, tips in line.tips.items()}
        us = attack.device.key
        body = encode(["snapshot", us, [1 << 30, bytes(32)], cut, [], {}, {}, [us], bytes(32), 9])
        line.say(
            [SNAPSHOT, encode([body, attack.device.sign(b"mycel-snapshot" + attack.device.root + body)]), [], True]
        )

    def wanted(line: Line) -> None:
        for _ in range(300):
            line.say([WANT, os.urandom(32), 0])

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        line.own_tip()
        number = next(numbers)
        lie = (unasked, unconfirmed, wanted)[number % 3]
        try:
            lie(line)
            cut = line.cut(2.0)
        except (wire.Broken, OSError):
            cut = True
        attack.saw[f"{lie.__name__}, {'cut' if cut else 'ignored'}"] += 1
        if number >= 3:
            attack.on()
        line.close()

    attack.everywhere(one)


def probes(attack: Attack) -> None:
    """Questions without end, whose answers nobody reads."""

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        tip = line.own_tip()
        asked = Line.framed([PROBE, attack.device.key, *tip, list(range(24))]) * 20
        while attack.going():
            line.stream.write(asked)
            attack.saw["asked"] += 20
            attack.on()

    attack.everywhere(one)


def goodbyes(attack: Attack) -> None:
    """In, no more of any log, goodbye; again."""

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        line.own_tip()
        for key in line.tips:
            line.say([REFUSED, key])
        line.say([BYE, "so long\x1b[31m"])
        attack.saw["left"] += 1
        attack.on()
        line.close()

    attack.everywhere(one)


def returns(attack: Attack) -> None:
    """In and gone without a word, as often as can be, at each stage."""

    def one(addr: str) -> None:
        if attack.saw["came"] % 2:
            Line(attack.device, addr, greet=False).session.secure.line.reset()
        else:
            attack.device.peer.dial(addr).secure.line.reset()
        attack.saw["came"] += 1
        attack.on()

    attack.everywhere(one)


def collisions(attack: Attack) -> None:
    """Frames of one megabyte, slow to decode: keys that all have one hash, lists in lists, lengths that lie, a million members."""

    def keys() -> Iterator[bytes]:
        for number in range(55_000):
            yield b"\x90" + bytes(0x20 + (number >> bit & 1) for bit in range(16)) + b"\x00"

    slow = b"\xb9" + (55_000).to_bytes(2, "big") + b"".join(keys())
    many = b"\x9a" + ((1 << 20) - 64).to_bytes(4, "big")
    frames = [
        slow,
        b"\x9b" + b"\xff" * 8,
        b"\x81" * (1 << 20),
        b"\x82\x04" + b"\xb9\xff\xff" + slow[3:900_000],
        *(many + kind * ((1 << 20) - 64) for kind in (b"\x80", b"\xa0", b"\x40")),
    ]

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        frame = frames[attack.saw["sent"] % len(frames)]
        line.say(frame)
        attack.saw["sent"] += 1
        attack.saw["bytes"] += len(frame)
        attack.on()
        if not line.cut(10.0):
            attack.saw["believed"] += 1
        line.close()

    attack.everywhere(one)


def stalled(attack: Attack) -> None:
    """Not hostile: busy for 7 seconds, in which it reads nothing, while others write; then it goes on, as if nothing had been."""
    done = threading.Semaphore(0)

    def hears(line: Line, mark: bytes, within: float) -> bool:
        for _ in range(round(within / 0.2)):
            line.listen(0.2)
            frames, line.others = line.others, []
            line.say([HAVE, {frame[1]: [frame[5][:2]] for frame in frames}, []])
            if any(mark in entry for frame in frames for entry in frame[4]):
                return True
        return False

    def one(addr: str) -> None:
        line = Line(attack.device, addr)
        attack.on()
        if hears(line, b"stall-first", 60.0):
            time.sleep(7.0)
        attack.saw["caught up" if hears(line, b"stall-last", 30.0) else "left behind"] += 1
        done.release()
        line.cut(KEEP_ON)

    attack.everywhere(one)
    all(done.acquire(timeout=35.0) for _ in attack.addresses)


def knock(attack: Attack) -> None:
    """Only asks to be let in."""

    def one(addr: str) -> None:
        try:
            Line(attack.device, addr).close()
            attack.saw["admitted"] += 1
        finally:
            attack.saw["knocked"] += 1
            attack.on()
        attack.stopped.wait(0.3)

    attack.everywhere(one)


if __name__ == "__main__":
    name, seed, root, *addresses = sys.argv[1:]
    running = Attack(Device(bytes.fromhex(seed), bytes.fromhex(root)), addresses)
    globals()[name](running)
    print(
        json.dumps({**running.saw, "went on": running.done() - running.before, "shared": wire.alone.shared()}),
        flush=True,
    )
    os._exit(0)
