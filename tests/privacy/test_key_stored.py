"""What was released is published from its stored key, also after an update that would make another one."""

from __future__ import annotations

import pytest

from mycelnode.collective.confirming import _draft, _known
from mycelnode.errors import PatternRefused
from mycelnode.patterns.files.texts import write_markdown
from mycelnode.privacy.key import Key, version
from mycelnode.privacy.released import Released


def row(key: Key) -> Released:
    return Released("0" * 12, "2026-Q1", key.encode(), 30, "standard", b"\1" * 32, 0, None, 0, False, None)


def test_a_key_of_an_earlier_version_is_published_as_it_was_stored() -> None:
    old = row(Key(("plan", "test"), "coding"))  # this version never makes it
    draft, privacy = _draft(old, 0)
    assert "Plan a test" in write_markdown(draft)
    assert privacy.extra["keys"] == old.version != version()
    assert _known(old)


def test_what_has_no_words_here_waits() -> None:
    strange = row(Key(("plan", "xyzzy"), "coding"))
    assert not _known(strange)
    with pytest.raises(PatternRefused, match="another version, whose words"):
        _draft(strange, 0)


def test_an_earlier_domain_hides_nothing_sensitive() -> None:
    """A thing that is sensitive now was not so in what an earlier version, or another device, made."""
    assert Key.stored(Key(("explain", "symptom"), "general").encode()).sensitive
    assert Key.stored(Key(("write", "poem"), "health").encode()).sensitive
    assert not Key.stored(Key(("write", "poem"), "writing").encode()).sensitive
