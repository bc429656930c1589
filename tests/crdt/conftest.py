"""Hypothesis for the pure package: no deadline per example, since other work may share the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("crdt", deadline=None)
settings.load_profile("crdt")
