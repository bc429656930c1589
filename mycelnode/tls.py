"""Whom a client of another program trusts to be who it says: read once a process, as reading it takes tens of milliseconds."""

from __future__ import annotations

import ssl
from functools import cache

import certifi


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that Mozilla trusts, and no others: neither the environment nor the system adds any."""
    return ssl.create_default_context(cafile=certifi.where())
