"""A manifest: whoever has the block can check all of it, and nobody else than its creator can have made it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import EncodingError, PatternRefused
from mycelnode.identity import KeyPair
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import DAG_CBOR
from mycelnode.patterns.manifest import Manifest, Privacy, Succession
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.solutions import Code
from tests.patterns.strategies import EXTRA, PATTERNS

GOLDEN = Path(__file__).parent / "golden" / "signed"
CREATOR, OTHER = KeyPair(b"a creator's seed, of 32 bytes ..."[:32]), KeyPair(bytes(32))
RELEASED = Privacy("discrete-laplace", "one day of one habit", "1", "1e-6", 1)
PLAIN = Pattern("Largest files", "shell", Code("ls -S", "bash"), CREATOR.public, 0)
mine = PATTERNS.map(lambda pattern: replace(pattern, creator=CREATOR.public))
accounts = st.sampled_from(
    (None, "anna.testnet", "a1", "x-y_z.near", "98793cd91a3f870fb126f66285808c7e094afcfc4eda8a970f6648cdf0dbd6de")
)


@given(mine, st.sampled_from((Privacy(), RELEASED)), EXTRA, accounts)
def test_what_is_signed_is_read_by_anyone(
    pattern: Pattern, privacy: Privacy, extra: dict[str, Any], near: str | None
) -> None:
    made = Manifest.sign(pattern, CREATOR.sign, privacy=replace(privacy, extra=extra), near=near)
    read = Manifest.read(made.block)
    assert read == made
    assert (read.pattern, read.privacy, read.near) == (pattern, replace(privacy, extra=extra), near)
    assert read.cid.codec == DAG_CBOR
    assert read.cid.names(made.block)


@given(st.data())
def test_a_manifest_with_any_bit_changed_is_refused(data: st.DataObject) -> None:
    block = bytearray(Manifest.sign(PLAIN, CREATOR.sign, near="anna.testnet").block)
    place, bit = data.draw(st.integers(0, len(block) - 1)), data.draw(st.integers(0, 7))
    block[place] ^= 1 << bit
    with pytest.raises(PatternRefused):
        Manifest.read(bytes(block))


def test_a_creators_former_keys_speak_for_the_ones_after_them() -> None:
    middle = KeyPair(b"m" * 32)
    chain = (
        Succession.sign(middle.public, middle.sign, CREATOR.public),
        Succession.sign(OTHER.public, OTHER.sign, middle.public),
    )
    made = Manifest.sign(PLAIN, CREATOR.sign, succeeds=chain)
    assert Manifest.read(made.block).succeeds == chain
    for wrong in (chain[::-1], chain[1:], (*chain, chain[0]), chain * 9):
        with pytest.raises(PatternRefused, match="'succeeds' must be"):
            Manifest.sign(PLAIN, CREATOR.sign, succeeds=wrong)


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(PatternRefused):
        Manifest.read(noise)


def changed(**content: Any) -> bytes:
    """With other content, rightly signed."""
    said = {**dagcbor.decode(Manifest.sign(PLAIN, CREATOR.sign).block)["content"], **content}
    signature = CREATOR.sign(b"mycel-manifest" + dagcbor.encode(said))
    return dagcbor.encode({"content": said, "signature": signature})


def test_fields_of_a_later_version_are_signed_and_kept() -> None:
    assert Manifest.read(changed(later=[1])).extra == {"later": [1]}


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        (changed(near="Anna"), "'near' must be the name of a NEAR account"),
        (changed(near="a"), "'near' must be"),
        (changed(near="a..b"), "'near' must be"),
        (changed(near=None), "'near' must be"),
        (changed(privacy={}), "'dp' must be text"),
        (changed(privacy={"dp": "laplace"}), "'unit' must be"),
        (changed(privacy={**RELEASED.write(), "epsilon": 1.0}), "'epsilon' must be a decimal number as text"),
        (changed(pattern={}), "'format' must be"),
        (changed(pattern={**PLAIN.write(), "creator": OTHER.public}), "the signature of a manifest is not its creator's"),
        (dagcbor.encode({**dagcbor.decode(changed()), "note": "unsigned"}), "a field that is not signed"),
        (dagcbor.encode({"content": 5, "signature": bytes(64)}), "is no map"),
        (dagcbor.encode({"content": {}}), "'signature' must be 64 bytes"),
        (changed() + b"\x00", "this block is no manifest"),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_wrong_is_said(block: bytes, sentence: str) -> None:
    with pytest.raises(PatternRefused) as found:
        Manifest.read(block)
    assert sentence in str(found.value)


def test_the_encoding_is_what_it_was() -> None:
    """A golden vector: Ed25519 signs alike each time, so a whole manifest can be made again."""
    vector = json.loads((GOLDEN / "prompt.json").read_text())
    read = Manifest.read(bytes.fromhex(vector["block"]))
    assert str(read.cid) == vector["cid"]
    creator = KeyPair(bytes.fromhex(vector["seed"]))
    assert Manifest.sign(read.pattern, creator.sign, privacy=read.privacy, near=read.near) == read


def test_only_its_creator_can_sign_a_pattern() -> None:
    with pytest.raises(PatternRefused, match="not its creator's"):
        Manifest.sign(PLAIN, OTHER.sign)


def test_a_pattern_larger_than_a_block_cannot_be_published() -> None:
    large = replace(PLAIN, extra={"picture": bytes(dagcbor.MAX_BLOCK)})
    with pytest.raises(PatternRefused, match="cannot be published"):
        Manifest.sign(large, CREATOR.sign)
    with pytest.raises(EncodingError):
        dagcbor.encode(large.write())
    many = replace(PLAIN, extra={"numbers": [0] * dagcbor.MAX_ITEMS})
    with pytest.raises(PatternRefused, match="more than 10000 items"):
        Manifest.sign(many, CREATOR.sign)
