"""Tames libp2p's logging.

0.8.1 logs an ERROR for every ended connection, and calls the root logger's functions, which install a handler on the application's
root logger as a side effect.
"""

from __future__ import annotations

import logging

from libp2p.network.connection import swarm_connection

_libp2p = logging.getLogger("libp2p")


def quieten() -> None:
    """Lead libp2p's messages to the logger ``libp2p``, which `mycelnode.logs` and applications can set up as any other."""
    swarm_connection.logging = logging.getLogger("libp2p.network.connection")
    if not any(isinstance(handler, logging.NullHandler) for handler in _libp2p.handlers):
        _libp2p.addHandler(logging.NullHandler())
