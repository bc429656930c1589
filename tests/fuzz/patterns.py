"""The decoders of patterns: of what a block, a link or a person's paste says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from mycelnode.errors import CidRefused, EncodingError, PatternRefused
from mycelnode.identity import KeyPair
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import CODECS, Cid
from mycelnode.patterns.files import Draft, disk
from mycelnode.patterns.files.skill import read_skill, write_skill
from mycelnode.patterns.files.texts import read_json_file, read_markdown, write_json_file, write_markdown
from mycelnode.patterns.manifest import Manifest
from mycelnode.patterns.pattern import Pattern
from tests.fuzz.guard import Broken, Target, same, text

_CREATOR = KeyPair(bytes(32))
GOLDEN = Path(__file__).parent.parent / "patterns" / "golden"
FILES = GOLDEN.parent / "files"


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


def _file(read: Callable[[str], Draft], write: Callable[[Draft], str]) -> Callable[[bytes], None]:
    """Whatever is read of a file is written again, and says the same then."""

    def run(data: bytes) -> None:
        draft = read(disk.decode_text(data))
        again = read(write(draft))
        if dagcbor.encode(again.said) != dagcbor.encode(draft.said):
            raise Broken(f"pattern file: {data.hex()} comes back as something else")

    return run


def _files(pattern: str, write: Callable[[Draft], str]) -> Callable[[], Sequence[bytes]]:
    """Files of people, and what is written of blocks."""

    def seeds() -> Sequence[bytes]:
        found = [file for file in sorted(FILES.glob(pattern)) if file.name != "expected.json"]
        drafts = [Draft.of(Pattern.read(dagcbor.decode(block))) for block in _blocks()]
        return [*(file.read_bytes() for file in found), *(write(draft).encode() for draft in drafts)]

    return seeds


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
    Target(
        "pattern-json",
        _file(read_json_file, write_json_file),
        (PatternRefused,),
        _files("*.json", write_json_file),
        largest=disk.MAX_FILE_BYTES,
    ),
    Target(
        "pattern-markdown",
        _file(read_markdown, write_markdown),
        (PatternRefused,),
        _files("*.md", write_markdown),
        largest=disk.MAX_FILE_BYTES,
        slow=True,
    ),
    Target(
        "pattern-skill",
        _file(read_skill, write_skill),
        (PatternRefused,),
        _files("*/SKILL.md", write_skill),
        largest=disk.MAX_FILE_BYTES,
        slow=True,
    ),
)
