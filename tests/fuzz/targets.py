"""Every decoder of bytes from outside, with what it may raise and real inputs to begin with.

"Outside" is whoever is not this process now: peers, people who paste, and files that a disk may have damaged.
"""

from __future__ import annotations

import atexit
import io
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mycelnode import audit, backup, backup_file, checkpoints, schema
from mycelnode.backup_blocks import putting_back
from mycelnode.config import Settings
from mycelnode.config_keys import KEYS, parse_duration, parse_value
from mycelnode.crdt import columns, fold
from mycelnode.crdt.changelog import MAX_ENTRY, SignedHead, decode_entry
from mycelnode.crdt.contents import Contents
from mycelnode.crdt.document import Document
from mycelnode.crdt.operations import describe, dot_groups, plain_json, read_dots
from mycelnode.crdt.snapshots import MAX_RECORD, decode_record
from mycelnode.crdt.statements import MAX_STATEMENT, decode_statement
from mycelnode.crdt.values import pack, unpack
from mycelnode.encoding import as_list, base32, blake2b, decode, encode, from_base32, key_of_peer, peer_id
from mycelnode.errors import (
    BackupError,
    ConfigError,
    EncodingError,
    InviteError,
    KeyFileError,
    LogError,
    PhraseError,
    ValueRefused,
)
from mycelnode.identity import (
    MAX_KEY_FILE_BYTES,
    MAX_PHRASE_CHARS,
    Identity,
    new_phrase,
    read_key,
    root_from_phrase,
    write_key,
)
from mycelnode.paths import DataDir
from mycelnode.protocols.pairing import PREFIX, clean_name, parse_invite
from tests.fuzz import samples
from tests.fuzz.bitswap import BITSWAP, BITSWAP_MACHINES
from tests.fuzz.blocks import BLOCKS
from tests.fuzz.catalogue import CATALOGUE
from tests.fuzz.chain import CHAIN
from tests.fuzz.devchain import DEVCHAIN
from tests.fuzz.embedders import EMBEDDERS
from tests.fuzz.guard import Broken, Target, same, text, texts
from tests.fuzz.handshakes import HANDSHAKES, IDENTITIES
from tests.fuzz.machines import MACHINES
from tests.fuzz.network import NETWORK
from tests.fuzz.patterns import PATTERNS
from tests.fuzz.releases import RELEASES
from tests.fuzz.swarm import SWARM
from tests.patterns.known import signed
from tests.protocols.world import START_MS, cheap_verify


@cache
def folder() -> DataDir:
    """A data folder for decoders that read files."""
    memory = Path("/dev/shm")  # where there is one, a disk need not be worn out
    data = DataDir(Path(tempfile.mkdtemp(prefix="mycel-fuzz-", dir=memory if memory.is_dir() else None)))
    atexit.register(shutil.rmtree, data.path, ignore_errors=True)
    data.create()
    return data


# --- encoding ----------------------------------------------------------------------------------------------------------------


def _cbor(data: bytes) -> None:
    same("cbor", encode(decode(data)), data)


def _base32(data: bytes) -> None:
    same("base32", base32(from_base32(text(data))).encode(), text(data).lower().encode())


def _peer_id(data: bytes) -> None:
    same("peer id", peer_id(key_of_peer(text(data))).encode(), data)


# --- logs and documents ------------------------------------------------------------------------------------------------------


def _head(data: bytes) -> None:
    same("head", encode(SignedHead.from_wire(decode(data)).to_wire()), data)


def _entry(data: bytes) -> None:
    same("entry", encode(decode_entry(data)), data)


def _statement(data: bytes) -> None:
    statement = decode_statement(data)
    same("statement", statement.encoded, data)
    assert statement.id == blake2b(data)
    _ = statement.at
    statement.verify(samples.ROOT.verify_key, cheap_verify)


def _record(data: bytes) -> None:
    record = decode_record(data)
    same("record", record.encoded, data)
    _ = record.at
    record.verify_signature(samples.ROOT.verify_key, cheap_verify)


def _operations(data: bytes) -> None:
    """Whatever an entry says is applied, or skipped, alike on every device, and leaves a state that all can read."""
    clock, *operations = decode_entry(data)
    document = Document.decode_state(samples.states()[0])
    device = samples.world().phone.id
    seq = document.applied.get(device, 0) + 1
    document.apply(device, seq, blake2b(data), clock, operations)
    again = Document.decode_state(document.encode_state())
    if again.digest() != document.digest() or again.latest_clock() != document.latest_clock():
        raise Broken(f"operations: the state after {data.hex()} does not come back")
    for operation in operations:
        for char in describe(operation):
            assert char.isprintable()
        json.dumps(plain_json(operation))
    for name, kind in document.names():
        json.dumps(_plain(document, name, kind))
    entry_hash = bytes(31) + b"\x01"
    rescue = document.rescue_ops(device, seq + 1, entry_hash, clock, operations)
    if rescue is not None:
        document.apply(device, seq + 1, entry_hash, clock, [decode(encode(rescue))])


def _plain(document: Document, name: str, kind: str) -> Any:
    from mycelnode.crdt.document import plain

    return plain(document, name, kind)


def _rescue(data: bytes) -> None:
    """The operations of an entry, as somebody else re-issues them."""
    entry = decode_entry(data)
    tablet = samples.world().tablet
    tip = tablet.replica.logs.tip(tablet.id)
    _operations(encode([max(entry[0], 1), [9, tablet.id, tip.seq, tip.hash, 5, entry[1:]]]))


def _dots(data: bytes) -> None:
    dots = read_dots(decode(data))
    if dots is not None and set(dots) != set(read_dots(dot_groups(set(dots))) or ()) and len(dots) < 1000:
        raise Broken(f"dots: {data.hex()} does not come back")


def _state(data: bytes) -> None:
    document = Document.decode_state(data)
    same("state", document.encode_state(), data)
    assert document.digest() == blake2b(data)
    if document.copy() != document:
        raise Broken(f"state: a copy of {data.hex()} differs")
    device = samples.world().phone.id
    document.apply(device, document.applied.get(device, 0) + 1, bytes(32), 1, [["x"], [6, "cups", 1]])


def _pieces(data: bytes) -> None:
    """A state in pieces, where the first byte tells how long they are."""
    size = data[0] + 1 if data else 1
    Document.decode_state(data[1 + at : 1 + at + size] for at in range(0, len(data), size))


def _block(data: bytes) -> None:
    _, _, found = columns.read_block(data)
    for column in found:
        for read in (
            lambda column: columns.read_integers(column, 3, -5, 1 << 48, differences=True),
            lambda column: columns.read_integers(column, 20, 0, 1 << 62),
            lambda column: columns.read_texts(column, 512),
            columns.read_values,
            lambda column: columns.read_fixed(column, 32),
        ):
            try:
                read(column)
            except EncodingError:
                continue


def _value(data: bytes) -> None:
    value = decode(data)
    packed = pack(value)
    same("value", pack(unpack(packed)), packed)
    fold.packed(value)


def _sections(data: bytes) -> None:
    """A state made of given blocks, so that most inputs get past its version and lengths."""
    bodies = [body for body in as_list(decode(data)) if type(body) is bytes]
    _state(b"\x01" + b"".join(len(body).to_bytes(4, "big") + body for body in bodies))


def _merged(data: bytes) -> None:
    """A state from outside, merged with ours."""
    document = Document.decode_state(data)
    ours = Document.decode_state(samples.states()[1])
    ours.merge(document)
    Contents().merge(ours._contents)


# --- what people paste, and files --------------------------------------------------------------------------------------------


def _invite(data: bytes) -> None:
    invite = parse_invite(text(data))
    assert parse_invite(str(invite)) == invite


def _invite_inside(data: bytes) -> None:
    _invite((PREFIX + base32(data)).encode())


def _name(data: bytes) -> None:
    name = clean_name(text(data))
    if clean_name(name) != name or not 1 <= len(name) <= 64:
        raise Broken(f"name: {data!r} becomes {name!r}")


def _phrase(data: bytes) -> None:
    root_from_phrase(text(data))


def _key_file(data: bytes) -> None:
    path = folder().path / "key"
    if not path.exists():
        path.touch(0o600)
    path.write_bytes(data)
    Identity(read_key(path))


def _config(data: bytes) -> None:
    folder().config.write_bytes(data)
    json.dumps([setting.as_json() for setting in Settings(folder(), environ={}).all()])


def _config_edit(data: bytes) -> None:
    """A file that can be read can be edited, and keeps what else it says."""
    folder().config.write_bytes(data)
    settings = Settings(folder(), environ={})
    before = {setting.key: setting.value for setting in settings.all()}
    settings.set_local("assistant.tone", "kind")
    after = {setting.key: setting.value for setting in Settings(folder(), environ={}).all()}
    if after != {**before, "assistant.tone": "kind"}:
        raise Broken(f"config.toml: editing {data!r} changed more than was asked for")


def _setting(data: bytes) -> None:
    """A setting from the mesh or the environment: any plain value, or text, under any name."""
    try:
        name, value = as_list(decode(data), 2)
    except EncodingError:
        name, value = "user.x", text(data)
    folder().config.unlink(missing_ok=True)
    settings = Settings(folder(), environ={})
    settings.set_shared({name: value} if type(name) is str else {})
    json.dumps([setting.as_json() for setting in settings.all()])
    for key in KEYS:
        try:
            parse_value(key, value)
        except ConfigError:
            continue


def _duration(data: bytes) -> None:
    assert parse_duration(text(data)) >= 0


def _audit_event(data: bytes) -> None:
    json.dumps(audit._decode(data).as_json())


def _audit_chain(data: bytes) -> None:
    """Any rows in the tables of the audit chain are judged, not believed."""
    rows = [row for row in as_list(decode(data)) if type(row) is list and len(row) == 3]
    connection = _tables()
    connection.execute("DELETE FROM audit")
    try:
        connection.executemany("INSERT OR REPLACE INTO audit (seq, event, hash) VALUES (?, ?, ?)", rows)
    except sqlite3.Error:  # the table's own rules
        return
    audit.verify(connection, [(1, bytes(32))])
    for event in audit.tail(connection, 20):
        json.dumps(event.as_json())


def _backup_header(data: bytes) -> None:
    backup_file.read_header(Path("file"), io.BytesIO(data))


def _backup_inside(data: bytes) -> None:
    backup_file.read_header(Path("file"), io.BytesIO(backup_file.MAGIC + len(data).to_bytes(4, "big") + data))


def _backup_records(data: bytes) -> None:
    """What a backup holds, once its passphrase has opened it."""
    records = [as_list(record) for record in as_list(decode(data))]
    connection, blocks = _tables(), folder().blocks
    connection.execute("BEGIN")
    try:
        with putting_back(blocks, len(data)) as restoring:
            backup._load(connection, iter([list(record) for record in records]), restoring)
            restoring.finish()
    finally:
        connection.execute("ROLLBACK")
        shutil.rmtree(blocks, ignore_errors=True)


def _checkpoint(data: bytes) -> None:
    """What the database keeps of where the folded state lies."""
    checkpoints.read_header(blake2b(data) + data)


@cache
def _tables() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema._apply(connection, schema.shipped_migrations())
    connection.execute("PRAGMA foreign_keys = OFF")
    return connection


# what `mycelnode.backup` turns into "something that this version does not understand"
_STRANGE = (sqlite3.Error, LookupError, TypeError, ValueError)


# --- the registry ------------------------------------------------------------------------------------------------------------


def _keys() -> list[bytes]:
    path = folder().path / "written"
    path.unlink(missing_ok=True)
    write_key(path, bytes(32))
    return [path.read_bytes()]


def _records() -> list[bytes]:
    world, found = samples.world(), list[Any]()
    owners = list(dict.fromkeys(owner for owner, _ in world.laptop.store.rows))
    found += [["devices", number, owner] for number, owner in enumerate(owners)]
    for key, rows in world.laptop.store.rows.items():
        number = owners.index(key[0])
        found += [["entries", number, key[1], *row, 0] for row in rows.values()]
    found += [["statements", n, s.id, s.encoded] for n, s in enumerate(world.laptop.replica.statements.values())]
    found += [["piece", "document", b"x" * 100], ["piece", "root", bytes(32)]]
    made = signed()
    part = len(made.block) // 2
    blocks = [["block", made.cid.binary, 0, made.block[:part]], ["block", made.cid.binary, 1, made.block[part:]]]
    return [encode(found), encode(found[:5]), encode(blocks)]


def _audit_rows() -> list[bytes]:
    rows, head = [], audit.START
    for seq in range(1, 4):
        event = encode([seq, START_MS, "device.join", {"device": "x", "key": b"y", "list": [{"a": 1}]}])
        head = blake2b(head + event)
        rows.append([seq, event, head])
    return [encode(rows)]


def _checkpoints() -> list[bytes]:
    world = samples.world()
    from mycelnode.protocols.folding import Base

    base = Base({world.phone.id: world.phone.replica.logs.tip(world.phone.id)}, bytes(32), world.phone.id)
    return [checkpoints.header_of(place, bytes(32), which)[32:] for place in (0, 1) for which in (None, base)]


_TOML = """[mesh]
lan = false
listen = ["/ip4/0.0.0.0/tcp/0"]
invite_ttl = "10m"
# why
[models]
temperature = 0.5
[user]
a.b = 1
"""
_settings = [["assistant.tone", "kind"], ["models.temperature", 1.5], ["user.x", True], ["near.rpc", ["https://a.b/c"]]]


def _headers() -> list[bytes]:
    return [encode([form, bytes(16), 3, 1 << 28, bytes(24), "mesh", START_MS]) for form in (1, backup_file.FORMAT)]


# the settings have 1024 bytes a byte, too: tomllib keeps two sets and two dictionaries for each part of a section's name
DECODERS: Sequence[Target] = (
    Target("cbor", _cbor, (EncodingError,), lambda: [*samples.entries(), *samples.frames(), *samples.statements()]),
    Target(
        "base32",
        _base32,
        (EncodingError,),
        texts("abcdefgh", "mfrgg", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
        largest=4096,
    ),
    Target("peer-id", _peer_id, (EncodingError,), lambda: [peer_id(samples.world().laptop.id).encode()]),
    Target("head", _head, (EncodingError,), samples.heads),
    Target("entry", _entry, (EncodingError, LogError), samples.entries, largest=MAX_ENTRY),
    Target("statement", _statement, (EncodingError, LogError), samples.statements, largest=MAX_STATEMENT),
    Target("record", _record, (EncodingError, LogError), samples.records, largest=MAX_RECORD),
    # these two do more than a node does with an entry: they apply it twice, and write, read, show and re-issue what it says
    Target(
        "operations",
        _operations,
        (EncodingError, LogError),
        samples.entries,
        slow=True,
        seconds_per_byte=2e-5,
        largest=MAX_ENTRY,
    ),
    Target(
        "rescue",
        _rescue,
        (EncodingError, LogError),
        samples.entries,
        slow=True,
        seconds_per_byte=6e-5,
        largest=MAX_ENTRY - 256,
    ),
    Target("dots", _dots, (EncodingError,), lambda: [encode([[bytes(32), 1, 0, 1, 2], [b"\x01" * 32, 0, 7]])]),
    Target("state", _state, (EncodingError,), samples.states, per_byte=1024),
    Target(
        "state-sections",
        _sections,
        (EncodingError,),
        lambda: [encode(samples.blocks_of(state)) for state in samples.states()],
        per_byte=1024,
    ),
    Target(
        "state-pieces",
        _pieces,
        (EncodingError,),
        lambda: [b"\x20" + state for state in samples.states()],
        per_byte=1024,
    ),
    Target("state-merged", _merged, (EncodingError, LogError), samples.states, per_byte=1024),
    # every column is read in five ways, of which a node knows which one it wants
    Target("block", _block, (EncodingError,), samples.blocks, per_byte=1024, seconds_per_byte=1e-5),
    # packed three times, by a node once
    Target(
        "value",
        _value,
        (EncodingError, ValueRefused),
        lambda: [encode(["x", {"a": [1, 2.5, b"y"]}, {1: None}])],
        seconds_per_byte=2e-5,
        largest=MAX_ENTRY,
    ),
    Target("invite", _invite, (InviteError,), lambda: [str(samples.invite()).encode()], largest=4096),
    Target(
        "invite-inside",
        _invite_inside,
        (InviteError,),
        lambda: [from_base32(str(samples.invite())[len(PREFIX) :])],
        largest=2560,
    ),
    Target("name", _name, (), texts("Anna's phone", "👩‍👩‍👧 family", "a\nb\x1b[31m\u202e")),
    Target(
        "phrase", _phrase, (PhraseError,), lambda: [new_phrase(bytes(32)).encode()], slow=True, largest=MAX_PHRASE_CHARS
    ),
    Target("key-file", _key_file, (KeyFileError,), _keys, largest=MAX_KEY_FILE_BYTES),
    Target("config.toml", _config, (ConfigError,), texts(_TOML, "user.x = 1"), flat=2 << 20, per_byte=1024),
    Target(
        "config.toml-edit",
        _config_edit,
        (ConfigError,),
        texts(_TOML, "user.x = 1"),
        slow=True,
        flat=4 << 20,
        per_byte=1024,
        seconds_per_byte=8e-5,  # tomlkit, in which every blank is an object; it sees this device's own file only, in `config set`
    ),
    # tried under each of the names, and shown in the sentence that refuses it
    Target("setting", _setting, (), lambda: list(map(encode, _settings)), seconds_per_byte=2e-5, largest=MAX_ENTRY),
    Target("duration", _duration, (ConfigError,), texts("10m", "1h30m", "500ms", "90", "1.5d")),
    Target(
        "audit-event",
        _audit_event,
        (EncodingError,),
        lambda: [decode(rows)[0][1] for rows in _audit_rows()],
        largest=audit.MAX_EVENT_BYTES,
    ),
    Target("audit-chain", _audit_chain, (EncodingError,), _audit_rows),
    Target(
        "backup-header",
        _backup_header,
        (BackupError,),
        lambda: [backup_file.MAGIC + len(h).to_bytes(4, "big") + h for h in _headers()],
        largest=backup_file.MAX_HEADER_BYTES,
    ),
    Target("backup-inside", _backup_inside, (BackupError,), _headers, largest=backup_file.MAX_HEADER_BYTES),
    Target("backup-records", _backup_records, (EncodingError, BackupError, *_STRANGE), _records, flat=8 << 20),
    Target("checkpoint", _checkpoint, (EncodingError,), _checkpoints, per_byte=1024),
    *NETWORK,
    *IDENTITIES,
    *PATTERNS,
    *BLOCKS,
    *EMBEDDERS,
    *CATALOGUE,
    *BITSWAP,
    *SWARM,
    *CHAIN,
    *DEVCHAIN,
    *RELEASES,
)
TARGETS: dict[str, Target] = {target.name: target for target in (*DECODERS, *MACHINES, *BITSWAP_MACHINES, *HANDSHAKES)}
