"""`find_patterns` of the registry looks at a thousand creators, and none beyond; what it answers then, docs/contracts.md says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mycel_simnet.near.single import Contract, Setting
from tests.chain.known import cid_of
from tests.needs import missing

WASM = Path(__file__).parents[3] / "contracts/res/registry.wasm"
REGISTRY = "registry.near"
DEPOSIT = 10**24 // 8
LOOKED_AT = 1_000  # MAX_LOOKED_AT in contracts/registry/src/index.rs
BUCKET = range(500, 520)  # scores that stand together; a new creator has the first


def call(registry: Contract, who: str, method: str, args: Any, **more: Any) -> Any:
    data = args if isinstance(args, bytes) else json.dumps(args).encode()
    told = registry.call(method, data, Setting(signer=who, predecessor=who, **more))
    assert told["error"] is None, told["error"]
    return json.loads(bytes.fromhex(told["returned"])) if told["returned"] else None


def register(registry: Contract, creator: str) -> None:
    digest, cid = cid_of(creator)
    args = {"pattern_hash": digest, "metadata_cid": cid, "domain": "mail", "price_per_use": "1"}
    call(registry, creator, "register_pattern", args, deposit=DEPOSIT)


def has_score(registry: Contract, creator: str, score: int) -> None:
    """The registry is told it by the other contract."""
    answer = json.dumps({"score": score, "version": 1}).encode()
    of = len(creator).to_bytes(4, "little") + creator.encode() + b"\0"  # in no rating: it was asked for
    call(registry, REGISTRY, "on_reputation", of, promise_results=(answer,))


def found(registry: Contract, least: int, first: int = 0) -> list[str]:
    """The creators on a page."""
    asked = {"domain": "mail", "min_reputation": least, "from_index": first, "limit": 50}
    return [one["creator"] for one in call(registry, "anybody.near", "find_patterns", asked, is_view=True)]


@pytest.fixture(scope="module")
def registry() -> Contract:
    """The first creator has a score that nobody has who came later, and a thousand less one stand before it."""
    if not WASM.exists():
        missing("needs contracts/res/registry.wasm: make contracts")
    made = Contract(WASM.read_bytes(), account_id=REGISTRY)
    call(made, REGISTRY, "new", {"owner": "owner.near", "reputation": "reputation.near"})
    register(made, "good.near")
    has_score(made, "good.near", BUCKET[-1])
    for number in range(LOOKED_AT - 1):
        register(made, f"new{number}.near")
    return made


def test_a_page_looks_at_a_thousand_creators_and_at_none_beyond(registry: Contract) -> None:
    assert found(registry, BUCKET[-1]) == ["good.near"], "the thousandth is looked at"
    register(registry, "one-more.near")
    assert found(registry, BUCKET[-1]) == [], "the one behind it is not, and the page does not say so"
    assert found(registry, BUCKET.stop) == []
    page = found(registry, 0)
    assert (len(page), page[0]) == (50, "one-more.near"), "who came last in a bucket stands first"
    has_score(registry, "new7.near", BUCKET.stop)
    assert found(registry, BUCKET[-1])[0] == found(registry, 0)[0] == "new7.near", "a better bucket goes first"


def test_the_last_page_ends_with_the_five_hundredth(registry: Contract) -> None:
    assert len(found(registry, 0, 450)) == 50
    with pytest.raises(AssertionError, match="from_index \\+ limit at most 500"):
        found(registry, 0, 451)
