"""What was released is published from its stored key, also after an update that would make another one."""

from __future__ import annotations

import pytest

from mycelnode.collective.confirming import drafted
from mycelnode.errors import PatternRefused
from mycelnode.patterns.files.texts import write_markdown
from mycelnode.privacy.key import Key, version
from mycelnode.privacy.released import Released


def row(key: Key) -> Released:
    return Released(
        "0" * 12, "2026-Q1", key.encode(), 30, "standard", b"\1" * 32, 0, None, None, 0, False, None, None, None
    )


def test_a_key_of_an_earlier_version_is_published_as_it_was_stored() -> None:
    old = row(Key(("plan", "test"), "coding"))  # this version never makes it
    draft, privacy = drafted(old, 0)
    assert "Plan a test" in write_markdown(draft)
    assert privacy.extra["keys"] == old.version != version()


def test_what_has_no_words_here_waits() -> None:
    strange = row(Key(("plan", "xyzzy"), "coding"))
    with pytest.raises(PatternRefused, match="another version, whose words"):
        drafted(strange, 0)


def test_an_earlier_domain_hides_nothing_sensitive() -> None:
    """A thing that is sensitive now was not so in what an earlier version, or another device, made."""
    assert Key.stored(Key(("explain", "symptom"), "general").encode()).sensitive
    assert Key.stored(Key(("write", "poem"), "health").encode()).sensitive
    assert not Key.stored(Key(("write", "poem"), "writing").encode()).sensitive
