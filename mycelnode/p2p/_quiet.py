"""Tames libp2p's logging.

0.8.1 logs an ERROR for every ended connection, more for whatever a peer does against the rules, and calls the root logger's
functions, which install a handler on the application's root logger as a side effect.
"""

from __future__ import annotations

import logging

from libp2p.network.connection import swarm_connection

LINES_A_MINUTE = 10  # of one logger that speaks of what peers do: else they could rotate everything else out of the log
_SPEAK_OF_PEERS = ("libp2p.", "mycelnode.p2p._yamux", "mycelnode.p2p._guard", "mycelnode.p2p.host")

_libp2p = logging.getLogger("libp2p")


def quieten() -> None:
    """Lead libp2p's messages, a few of them, to the logger ``libp2p``, which `mycelnode.logs` and applications can set up."""
    swarm_connection.logging = logging.getLogger("libp2p.network.connection")
    if not any(isinstance(handler, logging.NullHandler) for handler in _libp2p.handlers):
        _libp2p.addHandler(logging.NullHandler())
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if not (name.startswith(_SPEAK_OF_PEERS) and isinstance(logger, logging.Logger)):
            continue
        if not any(isinstance(each, _Few) for each in logger.filters):
            logger.addFilter(_Few())


class _Few(logging.Filter):
    """Lets `LINES_A_MINUTE` through."""

    def __init__(self) -> None:
        super().__init__()
        self._minute, self._lines = 0.0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created // 60 != self._minute:
            self._minute, self._lines = record.created // 60, 0
        self._lines += 1
        if self._lines == LINES_A_MINUTE:
            record.msg, record.args = f"{record.getMessage()} (no more of these in this minute)", ()
        return self._lines <= LINES_A_MINUTE
