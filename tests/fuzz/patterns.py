"""The decoders of patterns: of what a block, a link or a person's paste says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from mycelnode.errors import CidRefused, EncodingError, PatternRefused
from mycelnode.identity import KeyPair
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import CODECS, Cid
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.pattern import Pattern
from tests.fuzz.guard import Broken, Target, same, text

_CREATOR = KeyPair(bytes(32))
GOLDEN = Path(__file__).parent.parent / "patterns" / "golden"


@cache
def _blocks() -> Sequence[bytes]:
    return [bytes.fromhex(json.loads(file.read_text())["block"]) for file in sorted(GOLDEN.glob("*.json"))]


def _dag_cbor(data: bytes) -> None:
    same("dag-cbor", dagcbor.encode(dagcbor.decode(data)), data)


def _cid(data: bytes) -> None:
    same("cid", Cid.from_bytes(data).binary[-32:], data[-32:])


def _cid_text(data: bytes) -> None:
    cid = Cid.parse(text(data))
    same("cid text", str(Cid.parse(str(cid))).encode(), str(cid).encode())


def _pattern(data: bytes) -> None:
    """Whatever is read is within its bounds, is written again, and says the same then."""
    pattern = Pattern.read(dagcbor.decode(data))
    again = Pattern.read(dagcbor.decode(dagcbor.encode(pattern.write())))
    if again != pattern:
        raise Broken(f"pattern: {data.hex()} comes back as something else")


def _manifest(data: bytes) -> None:
    """As it came, and rightly signed, as a hostile creator can."""
    with suppress(PatternRefused):
        Manifest.read(data)
    whole = dagcbor.decode(data)
    content = whole.get("content") if type(whole) is dict else whole
    signature = _CREATOR.sign(b"mycel-manifest" + dagcbor.encode(content))
    block = dagcbor.encode({"content": content, "signature": signature})
    same("manifest", Manifest.read(block).block, block)


def _manifests() -> Sequence[bytes]:
    patterns = [Pattern.read({**dagcbor.decode(block), "creator": _CREATOR.public}) for block in _blocks()]
    return [Manifest.sign(pattern, _CREATOR.sign, near="anna.testnet").block for pattern in patterns]


def _cids() -> Sequence[Cid]:
    return [Cid.of(codec, block) for codec in CODECS for block in _blocks()[:1]]


PATTERNS = (
    Target("dag-cbor", _dag_cbor, (EncodingError,), _blocks, largest=dagcbor.MAX_BLOCK),
    Target("cid", _cid, (CidRefused,), lambda: [cid.binary for cid in _cids()], largest=64),
    Target("cid-text", _cid_text, (CidRefused,), lambda: [str(cid).encode() for cid in _cids()]),
    Target("manifest", _manifest, (EncodingError, PatternRefused), _manifests, largest=dagcbor.MAX_BLOCK),
    Target("pattern", _pattern, (EncodingError, PatternRefused), _blocks, largest=dagcbor.MAX_BLOCK),
)
