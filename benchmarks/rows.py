"""What the table says: which numbers stand beside which, and what we aim for."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.data import DIGEST_BYTES, Sizes
from benchmarks.jobs import DECIDED, LIBRARIES, REGISTERED, Runs

FLOOR: Final = "floor"


@dataclass(frozen=True)
class Row:
    """One line: our number beside one peer's, or beside the least there could be.

    ``ratio`` is ours ÷ the peer's, or ours ÷ ``floor`` where there is no peer. ``aim`` bounds the ratio, or our number itself where
    ``aim_of`` says so; from above, or from below if ``more`` is better. ``skipped``: why there are no numbers.
    """

    name: str
    unit: str
    ours: float | None
    peer: float | None
    floor: float | None
    ratio: float | None
    against: str | None = None
    more: bool = False
    aim: float | None = None
    aim_of: str | None = None
    skipped: str | None = None

    @property
    def met(self) -> bool | None:
        """Is the aim reached? None if there is none, or nothing to judge."""
        judged = self.ratio if self.aim_of == "ratio" else self.ours
        if self.aim is None or judged is None:
            return None
        return judged >= self.aim if self.more else judged <= self.aim

    def to_json(self) -> str:
        """One JSON object, the six fields that every benchmark prints first."""
        return json.dumps({**asdict(self), "met": self.met})


Metric = tuple[str, str]  # (job, what it prints)


@dataclass(frozen=True)
class Spec:
    """Where a row's numbers come from; ``scale`` turns what was measured into ``unit``."""

    name: str
    unit: str
    ours: Metric
    against: str | None = None
    peer: Metric | None = None
    floor: Callable[[Sizes], float] | Metric | None = None
    more: bool = False
    aim: float | None = None
    aim_of: str | None = None
    scale: float = 1.0

    @property
    def jobs(self) -> set[str]:
        """The jobs whose numbers it needs."""
        metrics = (self.ours, self.peer, self.floor)
        return {metric[0] for metric in metrics if isinstance(metric, tuple)}

    def row(self, runs: Runs, skipped: Mapping[str, str], sizes: Sizes) -> Row:
        """The line, from the medians."""
        ours = _median(runs, self.ours, self.scale)
        peer = None if self.peer is None else _median(runs, self.peer, self.scale)
        floor = None
        if self.floor is not None:
            floor = _median(runs, self.floor, self.scale) if isinstance(self.floor, tuple) else self.floor(sizes)
        below = peer if self.peer is not None else floor
        ratio = None if ours is None or not below else ours / below
        why = next((skipped[name] for name in sorted(self.jobs) if name in skipped), None)
        if why is None and ours is not None and self.peer is not None and peer is None:
            why = f"{self.against} is not installed; `python -m tests.peers.install` does it, where Go is"
        more = {"against": self.against, "more": self.more, "aim": self.aim, "aim_of": self.aim_of, "skipped": why}
        return Row(self.name, self.unit, ours, peer, floor, ratio, **more)  # type: ignore[arg-type]


def _median(runs: Runs, metric: Metric, scale: float) -> float | None:
    values = runs.get(metric[0], {}).get(metric[1])
    return statistics.median(values) * scale if values else None


def _with_peers(name: str, unit: str, workload: str, metric: str, **more: Any) -> list[Spec]:
    """A row beside each CRDT peer; the first of them carries the aim."""
    aim, aim_of = more.pop("aim", None), more.pop("aim_of", None)
    found = []
    for peer in ("pycrdt", "loro"):
        aims: dict[str, Any] = {"aim": aim, "aim_of": aim_of} if peer == "pycrdt" else {}
        found.append(
            Spec(name, unit, (f"{workload}.mycelnode", metric), peer, (f"{workload}.{peer}", metric), **aims, **more)
        )
    return found


def _bytes(name: str, ours: Metric, floor: Callable[[Sizes], float], aim: float | None = None) -> Spec:
    return Spec(name, "B", ours, FLOOR, floor=floor, aim=aim, aim_of=None if aim is None else "ratio")


def _w1(sizes: Sizes) -> float:
    return sizes.w1_floor


def _w2(sizes: Sizes) -> float:
    return sizes.w2_floor


def _w3(sizes: Sizes) -> float:
    return sizes.w3_floor


def _w3_state(sizes: Sizes) -> float:
    return sizes.w3_state_floor


def _w4(sizes: Sizes) -> float:
    return sizes.w4_floor


def _digests(count: int | None) -> Callable[[Sizes], float]:
    """As many digests; None: the whole catalogue."""
    return lambda sizes: DIGEST_BYTES * (sizes.catalogue if count is None else count)


def _catalogue() -> list[Spec]:
    """What it takes to learn of a few manifests out of many; aims are for 100 and more."""
    found = []
    for count in (10, 100, 1000):
        for kind, what in (("one", "missing"), ("both", "different, half at each end")):
            name, aim = f"catalogue, {count:,} {what}", 3.0 if count >= 100 else None
            found += [
                _bytes(f"{name}, bytes", ("catalogue", f"{kind}_{count}_bytes"), _digests(count), aim),
                Spec(f"{name}, time of both ends", "ms", ("catalogue", f"{kind}_{count}_s"), scale=1000),
            ]
    return [
        *found,
        _bytes("catalogue, to a newcomer, bytes", ("catalogue", "newcomer_bytes"), _digests(None), 1.1),
        Spec("catalogue, to a newcomer, time of both ends", "ms", ("catalogue", "newcomer_s"), scale=1000),
        Spec("catalogue, made ready for sessions", "ms", ("catalogue", "ready_s"), scale=1000),
        Spec("catalogue, one manifest more", "µs", ("catalogue", "change_s"), scale=1e6),
    ]


def _search(n: int) -> list[Spec]:
    """Searching among n patterns, beside what each half takes by plain means; the first of them carries the aim."""
    name, work = f"search among {n:,} patterns", f"search.{n}"
    aim: dict[str, Any] = {"aim": 20.0, "aim_of": "ours"} if n == max(LIBRARIES) else {}
    return [
        Spec(f"{name}, p50", "ms", (work, "ours_p50_ms"), "numpy", (work, "numpy_p50_ms"), **aim),
        Spec(f"{name}, p50", "ms", (work, "ours_p50_ms"), "FTS5", (work, "fts_p50_ms")),
        Spec(f"{name}, p95", "ms", (work, "ours_p95_ms"), "numpy", (work, "numpy_p95_ms")),
        Spec(f"{name}, with filters, p50", "ms", (work, "filtered_p50_ms")),
        Spec(f"{name}, words alone, p50", "ms", (work, "words_p50_ms"), "FTS5", (work, "fts_any_p50_ms")),
    ]


def _registry() -> list[Spec]:
    """The local copy of a registry, beside what the chain takes to answer, and beside a search without it."""
    name, answers = f"registry of {REGISTERED:,} patterns", "the chain's answers"
    copy = {"against": "no registry", "peer": ("registry", "alone_p50_ms")}
    return [
        Spec(f"{name}, catching up", "s", ("registry", "catch_up_s"), answers, ("registry", "plain_s")),
        Spec(f"{name}, a look at nothing new", "ms", ("registry", "look_ms")),
        Spec(f"{name}, search by words with the copy, p50", "ms", ("registry", "copy_p50_ms"), **copy),  # type: ignore[arg-type]
    ]


def _release() -> list[Spec]:
    """Detectors beside presidio; noise and release decisions beside OpenDP (Rust): a call for each draw, one for all decisions."""
    peer, its = "OpenDP", "release.opendp"
    return [
        Spec(
            "private things found by their form",
            "%",
            ("detectors", "recall"),
            "presidio",
            ("detectors.presidio", "recall"),
            more=True,
            scale=100,
        ),
        Spec("… and by all rules", "%", ("detectors", "hidden_recall"), more=True, scale=100, aim=95.0, aim_of="ours"),
        Spec("detectors, a sentence", "ms", ("detectors", "ms"), "presidio", ("detectors.presidio", "ms")),
        Spec("slowest detector, 100 kB", "ms", ("detectors", "slowest_ms"), aim=50.0, aim_of="ours"),
        Spec("generalising a sentence", "ms", ("detectors", "hidden_ms"), aim=1.0, aim_of="ours"),
        Spec(
            "marked by others as private, hidden",
            "%",
            ("labelled", "hidden"),
            scale=100,
            more=True,
            aim=95.0,
            aim_of="ours",
        ),
        Spec("… ordinary words lost beside it", "%", ("labelled", "lost"), scale=100, aim=20.0, aim_of="ours"),
        Spec("ordinary words lost, requests of others", "%", ("ordinary", "lost"), scale=100, aim=20.0, aim_of="ours"),
        Spec(
            "habits of one day a week, released in a year by quarters",
            "%",
            ("windows", "quarter"),
            scale=100,
            more=True,
        ),
        Spec("… by the year", "%", ("windows", "year"), scale=100, more=True),
        Spec("privacy, a draw of noise", "µs", ("release", "draw_us"), peer, (its, "draw_us")),
        Spec(
            f"privacy, deciding on {DECIDED:,} habits",
            "/s",
            ("release", "decisions_per_s"),
            peer,
            (its, "decisions_per_s"),
            more=True,
        ),
        Spec("privacy, windows decided on the disk", "/s", ("release", "windows_per_s"), more=True),
    ]


def _patterns() -> list[Spec]:
    """Patterns between neighbours, beside Kubo; and the blocks of which they are made."""
    ping, store = "a ping", "plain files"
    beside_kubo: dict[str, Any] = {"against": "Kubo", "peer": ("cids", "kubo_mb_s"), "more": True}
    return [
        Spec(
            "published to found on a neighbour, p50",
            "ms",
            ("publish", "visible_ms"),
            ping,
            floor=("publish", "round_trip_ms"),
        ),
        Spec(
            "published to found on a neighbour, p95",
            "ms",
            ("publish", "visible_p95_ms"),
            ping,
            floor=("publish", "round_trip_ms"),
        ),
        Spec(
            "publish asked to found, p50",
            "ms",
            ("publish", "from_request_ms"),
            "dial and ping",
            floor=("publish", "dial_ms"),
        ),
        Spec(
            "10 MiB with a pattern",
            "ms",
            ("fetch", "ours_s"),
            "Kubo",
            ("fetch", "kubo_s"),
            scale=1000,
            aim=2.0,
            aim_of="ratio",
        ),
        Spec("CID of 1 GiB + 1", "MB/s", ("cids", "ours_mb_s"), **beside_kubo),
        Spec(
            "CID of 1 GiB + 1, memory",
            "MB",
            ("cids", "peak_mb"),
            "of 1 MiB",
            floor=("cids", "small_peak_mb"),
            aim=1.25,
            aim_of="ratio",
        ),
        Spec(
            "blocks of 1 MiB, put", "MB/s", ("blocks", "put_mb_s"), store, floor=("blocks", "plain_put_mb_s"), more=True
        ),
        Spec(
            "blocks of 1 MiB, got", "MB/s", ("blocks", "get_mb_s"), store, floor=("blocks", "plain_get_mb_s"), more=True
        ),
        Spec("blocks of 1 MiB, pinned (fsync)", "MB/s", ("blocks", "pin_mb_s"), more=True),
        Spec("a small block, put", "µs", ("blocks", "small_put_s"), scale=1e6),
        Spec("100,000 blocks, opened", "ms", ("blocks", "open_s"), store, floor=("blocks", "plain_open_s"), scale=1000),
    ]


def _chain() -> list[Spec]:
    """NEAR, asked by us and by py-near's own client, at one local chain; and what the contracts weigh."""
    near, pynear = "chain", "py-near"
    return [
        Spec("view call", "ms", (near, "view_ms"), pynear, (near, "pynear_view_ms"), aim=5.0, aim_of="ours"),
        Spec(
            "transaction, until it is final",
            "ms",
            (near, "transaction_ms"),
            pynear,
            (near, "pynear_transaction_ms"),
            aim=20.0,
            aim_of="ours",
        ),
        Spec("register a pattern, gas of all receipts", "Tgas", ("finding", "register_tgas"), aim=10.0, aim_of="ours"),
        Spec("use a pattern, gas of all receipts", "Tgas", ("finding", "use_tgas"), aim=20.0, aim_of="ours"),
        Spec(f"a page of 50 among {REGISTERED:,}, gas", "Tgas", ("finding", "page_tgas"), aim=15.0, aim_of="ours"),
        Spec(f"a page of 50 among {REGISTERED:,}", "ms", ("finding", "page_ms"), "view call", (near, "view_ms")),
        Spec("contract, registry", "kB", (near, "registry_kb"), aim=200.0, aim_of="ours"),
        Spec("contract, reputation", "kB", (near, "reputation_kb"), aim=200.0, aim_of="ours"),
    ]


NET: Final = "net.mycelnode"
SPECS: Final[Sequence[Spec]] = (
    # to an empty replica, and two that met before
    *_with_peers("W1 by state, time", "ms", "w1", "state_s", scale=1000, aim=2.0, aim_of="ratio"),
    _bytes("W1 by state, bytes", ("w1.mycelnode", "state_bytes"), _w1, 1.10),
    *_with_peers("W1 by state, bytes", "B", "w1", "state_bytes", floor=_w1),
    Spec("W1 entry by entry, time", "ms", ("w1.mycelnode", "entries_s"), scale=1000),
    _bytes("W1 entry by entry, bytes", ("w1.mycelnode", "entries_bytes"), _w1, 1.35),
    *_with_peers("W2 both ways, time", "ms", "w2", "sync_s", scale=1000),
    _bytes("W2 both ways, bytes", ("w2.mycelnode", "sync_bytes"), _w2, 1.3),
    *_with_peers("W2 both ways, bytes", "B", "w2", "sync_bytes", floor=_w2),
    *_with_peers("W3 both ways, time", "ms", "w3", "sync_s", scale=1000),
    _bytes("W3 both ways, bytes", ("w3.mycelnode", "sync_bytes"), _w3),
    *_with_peers("W3 both ways, bytes", "B", "w3", "sync_bytes", floor=_w3),
    *_with_peers("W3 by state, time", "ms", "w3", "state_s", scale=1000),
    _bytes("W3 by state, bytes", ("w3.mycelnode", "state_bytes"), _w3_state, 1.25),
    *_with_peers("W3 by state, bytes", "B", "w3", "state_bytes", floor=_w3_state),
    *_with_peers("W3 add wins", "of 100", "w3", "add_wins", more=True, aim=100.0, aim_of="ours"),
    # the log
    *(
        Spec(
            f"W4 durable appends, {how}",
            "/s",
            ("w4.mycelnode", metric),
            "hypercore",
            ("w4.hypercore", metric),
            more=True,
            aim=aim,
            aim_of=aim_of,
        )
        for how, metric, aim, aim_of in (
            ("many writers", "together_per_s", 5000.0, "ours"),
            ("one writer", "alone_per_s", None, None),
        )
    ),
    Spec("W4 on disk", "B", ("w4.mycelnode", "disk_bytes"), "hypercore", ("w4.hypercore", "disk_bytes"), _w4),
    # between two processes
    Spec(
        "W4 over Noise, time",
        "ms",
        (NET, "w4_s"),
        "hypercore",
        ("w4.hypercore", "w4_s"),
        aim=0.2,
        aim_of="ratio",
        scale=1000,
    ),
    _bytes("W4 over Noise, bytes", (NET, "w4_bytes"), _w4, 1.1),
    Spec("W4 over Noise, bytes", "B", (NET, "w4_bytes"), "hypercore", ("w4.hypercore", "w4_bytes"), _w4),
    _bytes("W1 over Noise entry by entry, bytes", (NET, "w1_bytes"), _w1, 1.35),
    Spec("W1 over Noise entry by entry, time", "ms", (NET, "w1_s"), scale=1000),
    Spec("W1 over Noise by state: usable after", "ms", (NET, "state_s"), scale=1000),
    # which manifests there are, of ten times N
    *_catalogue(),
    # the library
    *(spec for n in LIBRARIES for spec in _search(n)),
    *_registry(),
    # among strangers
    *_patterns(),
    *_chain(),
    # keys of habits
    Spec("keys of a habit", "", ("keys", "keys")),
    Spec("a habit's turns in one key", "%", ("keys", "together"), scale=100, more=True, aim=70.0, aim_of="ours"),
    Spec("… in other words each day", "%", ("keys", "varied"), scale=100, more=True, aim=70.0, aim_of="ours"),
    Spec("pairs of habits kept apart", "%", ("keys", "apart"), scale=100, more=True, aim=90.0, aim_of="ours"),
    Spec("key of a turn", "ms", ("keys", "usual_s"), scale=1000, aim=5.0, aim_of="ours"),
    # releases
    *_release(),
    # moments
    Spec("dial to first byte", "ms", ("dial", "dial_ms"), "py-libp2p", ("dial", "stock_ms"), aim=20.0, aim_of="ours"),
    Spec("change to visible on a peer", "ms", ("together.mycelnode", "visible_ms"), aim=20.0, aim_of="ours"),
    Spec("paste to paired (library)", "ms", ("together.mycelnode", "paired_ms"), aim=150.0, aim_of="ours"),
    Spec("paste to paired (program)", "ms", ("together.mycelnode", "join_program_ms")),
    Spec(
        "mycelnode --help",
        "ms",
        ("idle", "help_ms"),
        "a bare Python",
        floor=("idle", "python_ms"),
        aim=200.0,
        aim_of="ours",
    ),
    Spec(
        "idle node, memory", "MB", ("idle", "rss_mb"), "py-libp2p", ("idle", "stock_rss_mb"), aim=120.0, aim_of="ours"
    ),
    Spec("idle node, CPU", "% of a core", ("idle", "cpu_percent")),
)


def rows(runs: Runs, skipped: Mapping[str, str], sizes: Sizes, specs: Sequence[Spec] = SPECS) -> list[Row]:
    """The whole table."""
    return [spec.row(runs, skipped, sizes) for spec in specs]


def matching(words: Sequence[str]) -> list[Spec]:
    """The rows whose name contains one of ``words``; all if there are none."""
    return [spec for spec in SPECS if not words or any(word.lower() in spec.name.lower() for word in words)]
