"""The library: which patterns are known, kept by the person or only seen, and the texts and vectors by which they are found.

Plain blocking functions over a connection, for `Database.write` (those that change something), `look` and `scan`. The manifests
themselves are blocks in the blockstore; what stands here is made from them, and can be made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mycelnode.patterns.cid import Cid
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.pattern import KEY_BYTES
from mycelnode.patterns.solutions import Adapter, Code, Prompt, Solution

MAX_SEEN: Final = 100_000  # patterns that nobody here kept: their texts and vectors take about 300 MB
SHARE: Final = 100  # of these, one creator has at most one in so many: who floods pushes out itself
MAX_CHANGES: Final = 20_000  # that are remembered; a copy in memory that missed more is made anew
MAX_PAGE: Final = 1_000  # rows of one answer
MAX_DESCRIPTION_CHARS: Final = 1_500  # of each text, this much is searched
MAX_TRIGGER_CHARS: Final = 1_000
MAX_BODY_CHARS: Final = 1_500
MAX_SOURCE_CHARS: Final = 100

_COLUMNS: Final = (
    "no, cid, title, description, trigger, kind, domain, language, price, creator, created, version, supersedes, source, added,"
    " kept, hidden"
)
WORDS: Final = "title, description, trigger, body"


@dataclass(frozen=True, slots=True)
class Entry:
    """A pattern that is known. ``price`` is in yoctoNEAR, ``created`` (the creator's word) and ``added`` in Unix ms."""

    no: int
    cid: Cid
    title: str
    description: str  # at most `MAX_DESCRIPTION_CHARS` of it
    trigger: str
    kind: str
    domain: str
    language: str
    price: int
    creator: bytes
    created: int
    version: int
    supersedes: Cid | None
    source: str
    added: int
    kept: bool
    hidden: bool  # behind a later version of the same creator


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: ``new``, if the pattern was not known or not kept before; which ones had to go for it."""

    new: bool
    dropped: tuple[Cid, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """Of a pattern that is kept: whose it is, and from where it came."""

    creator: bytes
    source: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many patterns there are, and how many of them have a vector, by model."""

    kept: int
    seen: int
    vectors: dict[str, int]


# --- changing ----------------------------------------------------------------------------------------------------------------


def add(
    connection: sqlite3.Connection,
    manifest: Manifest,
    *,
    source: str,
    now: int,
    kept: bool = False,
    most: int = MAX_SEEN,
) -> Change:
    """Take a pattern up, in a write transaction. One that is known stays as it is, but may become a kept one.

    ``source`` says from where it came, ``now`` is in Unix ms. At most ``most`` are seen without being kept, and of those one
    creator has at most a `SHARE`; the oldest are dropped, which may be this one.
    """
    known = connection.execute("SELECT no, kept FROM patterns WHERE cid = ?", (manifest.cid.binary,)).fetchone()
    if known is not None:
        return Change(kept and not known[1] and keep(connection, manifest.cid))
    pattern = manifest.pattern
    formers = b"".join(former.creator for former in manifest.succeeds)
    supersedes = None if pattern.supersedes is None else pattern.supersedes.binary
    no = connection.execute(
        "INSERT INTO patterns (cid, title, description, trigger, body, kind, domain, language, price, creator, formers,"
        " created, version, supersedes, source, added, kept, near) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            manifest.cid.binary,
            pattern.title,
            pattern.description[:MAX_DESCRIPTION_CHARS],
            pattern.trigger[:MAX_TRIGGER_CHARS],
            _body(pattern.solution)[:MAX_BODY_CHARS],
            pattern.kind,
            pattern.domain,
            pattern.language,
            str(pattern.price),
            pattern.creator,
            formers,
            pattern.created,
            pattern.version,
            supersedes,
            source[:MAX_SOURCE_CHARS],
            now,
            int(kept),
            manifest.near or "",
        ),
    ).lastrowid
    _index(connection, no)
    _judge(connection, manifest.cid.binary)
    if supersedes is not None and _is_of(connection, supersedes, pattern.creator + formers):
        _judge(connection, supersedes)
    return Change(True, () if kept else _shrink(connection, pattern.creator, most))


def remove(connection: sqlite3.Connection, cid: Cid) -> bool:
    """Forget a pattern, kept or not, as if it had never come; was it known?"""
    row = connection.execute(
        "SELECT no, supersedes, hidden, creator, formers FROM patterns WHERE cid = ?", (cid.binary,)
    ).fetchone()
    if row is None:
        return False
    no, supersedes, hidden, creator, formers = row
    if not hidden:
        _unindex(connection, no)
    connection.execute("DELETE FROM patterns WHERE no = ?", (no,))
    if supersedes is not None and _is_of(connection, supersedes, creator + formers):
        _judge(connection, supersedes)
    trim(connection)
    return True


def remove_creator(connection: sqlite3.Connection, creator: bytes) -> tuple[Cid, ...]:
    """Forget what was only seen of a creator who is blocked; the person's own choice stays. Returns what went."""
    found = connection.execute("SELECT cid FROM patterns WHERE kept = 0 AND creator = ?", (creator,)).fetchall()
    return _drop(connection, [cid for (cid,) in found])


def remove_seen(connection: sqlite3.Connection, cids: Iterable[Cid]) -> tuple[Cid, ...]:
    """Forget those of them that were only seen. Returns what went."""
    seen = "SELECT 1 FROM patterns WHERE cid = ? AND kept = 0"
    return _drop(connection, [cid.binary for cid in cids if connection.execute(seen, (cid.binary,)).fetchone()])


def keep(connection: sqlite3.Connection, cid: Cid) -> bool:
    """Keep a pattern that was seen; is it known?"""
    known = connection.execute("UPDATE patterns SET kept = 1 WHERE cid = ?", (cid.binary,)).rowcount > 0
    _judge_both(connection, cid.binary)
    return known


def forget(connection: sqlite3.Connection, cid: Cid, *, most: int = MAX_SEEN) -> Change:
    """Keep a pattern no more: it is one of those seen, with their bounds."""
    row = connection.execute("SELECT creator FROM patterns WHERE cid = ? AND kept = 1", (cid.binary,)).fetchone()
    if row is None:
        return Change(False)
    connection.execute("UPDATE patterns SET kept = 0 WHERE cid = ?", (cid.binary,))
    _judge_both(connection, cid.binary)
    return Change(True, _shrink(connection, row[0], most))


def told(connection: sqlite3.Connection, cid: Cid, before: str, source: str) -> None:
    """A pattern that came from ``before`` was had from ``source`` as well."""
    connection.execute(
        "UPDATE patterns SET source = ? WHERE cid = ? AND source = ?", (source[:MAX_SOURCE_CHARS], cid.binary, before)
    )


def put_accounts(connection: sqlite3.Connection, accounts: Mapping[Cid, str]) -> None:
    """Which NEAR accounts patterns name, for those that were taken up before that was noted."""
    for cid, near in accounts.items():
        connection.execute("UPDATE patterns SET near = ? WHERE cid = ? AND near IS NULL", (near, cid.binary))


# --- looking -----------------------------------------------------------------------------------------------------------------


def get(connection: sqlite3.Connection, cid: Cid) -> Entry | None:
    """What is known of a pattern."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM patterns WHERE cid = ?", (cid.binary,)).fetchone()
    return None if row is None else _entry(row)


def later(connection: sqlite3.Connection, cid: Cid) -> Cid | None:
    """What its creator has put in the place of a pattern, the last of it."""
    row = connection.execute(
        f"SELECT (SELECT later.cid {_LATER} ORDER BY later.no DESC LIMIT 1) FROM patterns mine WHERE mine.cid = ?",
        (cid.binary,),
    ).fetchone()
    return None if row is None or row[0] is None else Cid.from_bytes(row[0])


def entries(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, Entry]:
    """By their numbers, at most `MAX_PAGE`: those that are still there."""
    wanted = list(numbers[:MAX_PAGE])
    marks = ",".join("?" * len(wanted))
    rows = connection.execute(f"SELECT {_COLUMNS} FROM patterns WHERE no IN ({marks})", wanted)
    return {row[0]: _entry(row) for row in rows}


def listing(
    connection: sqlite3.Connection,
    *,
    kept: bool | None = None,
    domain: str | None = None,
    kind: str | None = None,
    creator: bytes | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """The last ones first, at most ``limit`` (and `MAX_PAGE`); the next page is of those ``before`` the last one's number."""
    wanted: dict[str, Any] = {
        "kept = ?": None if kept is None else int(kept),
        "domain = ?": domain,
        "kind = ?": kind,
        "creator = ?": creator,
        "no < ?": before,
    }
    given = {condition: value for condition, value in wanted.items() if value is not None}
    where = f" WHERE {' AND '.join(given)}" if given else ""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM patterns{where} ORDER BY no DESC LIMIT ?", (*given.values(), min(limit, MAX_PAGE))
    )
    return [_entry(row) for row in rows]


def kept(connection: sqlite3.Connection) -> dict[Cid, Kept]:
    """All that are kept."""
    rows = connection.execute("SELECT cid, creator, source FROM patterns WHERE kept = 1")
    return {Cid.from_bytes(cid): Kept(creator, source) for cid, creator, source in rows}


def titled(connection: sqlite3.Connection, creator: bytes, title: str) -> list[Cid]:
    """All that are kept of a creator under a title, the last ones first."""
    rows = connection.execute(
        "SELECT cid FROM patterns WHERE kept = 1 AND creator = ? AND title = ? ORDER BY no DESC", (creator, title)
    )
    return [Cid.from_bytes(cid) for (cid,) in rows]


def seen(connection: sqlite3.Connection) -> list[Cid]:
    """All that were only seen, in no order."""
    return [Cid.from_bytes(cid) for (cid,) in connection.execute("SELECT cid FROM patterns WHERE kept = 0")]


def digests(connection: sqlite3.Connection) -> list[bytes]:
    """The sha2-256 of every manifest that is known, in no order: what the catalogue reconciles."""
    return [cid[-32:] for (cid,) in connection.execute("SELECT cid FROM patterns")]


def without_account(connection: sqlite3.Connection, limit: int) -> list[Cid]:
    """Those of which it is not noted which NEAR account they name, if any."""
    rows = connection.execute("SELECT cid FROM patterns WHERE near IS NULL ORDER BY no LIMIT ?", (limit,))
    return [Cid.from_bytes(cid) for (cid,) in rows]


def counts(connection: sqlite3.Connection) -> Counts:
    """How many there are."""
    vectors = dict(connection.execute("SELECT model, count(*) FROM pattern_vectors GROUP BY model"))
    return Counts(_count(connection, kept=True), _count(connection, kept=False), vectors)


# --- inside ------------------------------------------------------------------------------------------------------------------


def _entry(row: Sequence[Any]) -> Entry:
    no, cid, title, description, trigger, kind, domain, language, price, creator, created, version = row[:12]
    supersedes, source, added, kept, hidden = row[12:]
    return Entry(
        no=no,
        cid=Cid.from_bytes(cid),
        title=title,
        description=description,
        trigger=trigger,
        kind=kind,
        domain=domain,
        language=language,
        price=int(price),
        creator=creator,
        created=created,
        version=version,
        supersedes=None if supersedes is None else Cid.from_bytes(supersedes),
        source=source,
        added=added,
        kept=bool(kept),
        hidden=bool(hidden),
    )


def _body(solution: Solution) -> str:
    """What of a solution is worth finding it by."""
    if isinstance(solution, Prompt):
        return solution.template
    if isinstance(solution, Code):
        return "\n".join((solution.code_language, *solution.dependencies, solution.code))
    if isinstance(solution, Adapter):
        return solution.base_model
    return "\n".join(step.instruction for step in solution.steps)


def _index(connection: sqlite3.Connection, no: int | None) -> None:
    connection.execute(
        f"INSERT INTO pattern_words (rowid, {WORDS}) SELECT no, {WORDS} FROM patterns WHERE no = ?", (no,)
    )


def _unindex(connection: sqlite3.Connection, no: int) -> None:
    """Needs the texts as they were indexed, so the row must still be there (sqlite.org/fts5.html#the_delete_command)."""
    connection.execute(
        f"INSERT INTO pattern_words (pattern_words, rowid, {WORDS})"
        f" SELECT 'delete', no, {WORDS} FROM patterns WHERE no = ?",
        (no,),
    )


_LATER: Final = (
    "FROM patterns later WHERE later.supersedes = mine.cid AND (later.creator = mine.creator OR instr(later.formers,"
    " mine.creator))"
)


def _judge_both(connection: sqlite3.Connection, cid: bytes) -> None:
    """The pattern ``cid``, and the one that it says it supersedes."""
    _judge(connection, cid)
    for (before,) in connection.execute("SELECT supersedes FROM patterns WHERE cid = ?", (cid,)).fetchall():
        if before is not None:
            _judge(connection, before)


def _judge(connection: sqlite3.Connection, cid: bytes) -> None:
    """Hide the pattern ``cid``, or show it again: has its creator, or a key that took that one's place, put another in its place?

    What the person keeps is hidden only by what the person keeps, too: else its creator could take it away.

    `instr` looks at any byte of the keys, which is as good: to have a key stand across two others takes 2^128 tries at these.
    """
    row = connection.execute(
        f"SELECT no, hidden, EXISTS (SELECT 1 {_LATER} AND later.kept >= mine.kept) FROM patterns mine WHERE cid = ?",
        (cid,),
    ).fetchone()
    if row is None or row[1] == row[2]:
        return
    no, _, hidden = row
    (_unindex if hidden else _index)(connection, no)
    connection.execute("UPDATE patterns SET hidden = ? WHERE no = ?", (hidden, no))


def _is_of(connection: sqlite3.Connection, cid: bytes, keys: bytes) -> bool:
    """Is the pattern ``cid`` here, and of one of these keys? A look at one row, however many say that they supersede it."""
    row = connection.execute("SELECT creator FROM patterns WHERE cid = ?", (cid,)).fetchone()
    return row is not None and row[0] in (keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES))


def _shrink(connection: sqlite3.Connection, creator: bytes, most: int) -> tuple[Cid, ...]:
    """Drop the oldest that were only seen: of this creator beyond its share, and then of all."""
    share = max(1, most // SHARE)
    over = [cid for (cid,) in connection.execute(
        "SELECT cid FROM patterns WHERE kept = 0 AND creator = ? ORDER BY no DESC LIMIT -1 OFFSET ?", (creator, share)
    )]  # fmt: skip
    dropped = _drop(connection, over)
    seen = _count(connection, kept=False)
    oldest = connection.execute("SELECT cid FROM patterns WHERE kept = 0 ORDER BY no LIMIT ?", (max(0, seen - most),))
    dropped += _drop(connection, [cid for (cid,) in oldest.fetchall()])
    trim(connection)
    return dropped


def _count(connection: sqlite3.Connection, *, kept: bool) -> int:
    (count,) = connection.execute("SELECT count FROM pattern_counts WHERE kept = ?", (int(kept),)).fetchone()
    return int(count)


def _drop(connection: sqlite3.Connection, cids: Iterable[bytes]) -> tuple[Cid, ...]:
    return tuple(cid for cid in map(Cid.from_bytes, cids) if remove(connection, cid))


def trim(connection: sqlite3.Connection) -> None:
    """Forget what has changed long ago."""
    connection.execute(
        "DELETE FROM pattern_changes WHERE change <= (SELECT max(change) FROM pattern_changes) - ?", (MAX_CHANGES,)
    )
