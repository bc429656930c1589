"""Where a running node's log lines go: rotated files in the data folder, and warnings also to a person at the terminal."""

from __future__ import annotations

import logging
import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import Any

from mycelnode.paths import PRIVATE_FILE, DataDir, unusable

FILE_BYTES = 5 << 20
FILES = 5  # the newest and four before it
OURS = ("mycelnode", "mycel_simnet")
THEIRS = ("libp2p", "multiaddr", "zeroconf")  # chatty below WARNING, and full of what peers say
CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}


class OneLine(logging.Formatter):
    """``2025-01-31T12:00:00.000Z WARNING mycelnode.node message``; what a peer put in a message cannot begin another line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """RFC 3339 UTC."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Indented, for the same reason."""
        return textwrap.indent(super().formatException(ei), "  ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """One line, control characters spelled out."""
        return super().formatMessage(record).translate(CONTROL)


class PrivateRotatingFile(RotatingFileHandler):
    """Rotated files of mode 0600. A full disk costs log lines, never a crash or noise on stderr."""

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
        return open(handle, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Drop the line."""

    def close(self) -> None:
        """Drop what could not be written, also here."""
        with suppress(OSError):
            super().close()


def set_level(level: str) -> None:
    """Let our own lines from ``level`` (``debug``, ``info``, ``warning``, ``error``) on through."""
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


@contextmanager
def logging_to(
    data: DataDir, *, level: str = "info", files: int = FILES, interactive: bool | None = None
) -> Iterator[logging.Handler]:
    """Send our log lines from ``level`` on, and those of noisy libraries from WARNING on, to ``node.log``, until left.

    ``interactive`` (default: whether stderr is a terminal) sends warnings to stderr too. The root logger is left alone. Raises
    `DataDirUnusable` or `DiskFull` if the file cannot be opened.
    """
    try:
        file = PrivateRotatingFile(data.log, maxBytes=FILE_BYTES, backupCount=files - 1)
    except OSError as error:
        raise unusable(data.log, "opened", error) from error
    handlers: list[logging.Handler] = [file]
    if sys.stderr.isatty() if interactive is None else interactive:
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setLevel(logging.WARNING)
        handlers.append(terminal)
    for handler in handlers:
        handler.setFormatter(OneLine())
    before = []
    for name in (*OURS, *THEIRS):
        logger = logging.getLogger(name)
        before.append((logger, logger.level, logger.propagate))
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        for handler in handlers:
            logger.addHandler(handler)
    set_level(level)
    try:
        yield file
    finally:
        for logger, old_level, old_propagate in before:
            logger.setLevel(old_level)
            logger.propagate = old_propagate
            for handler in handlers:
                logger.removeHandler(handler)
        for handler in handlers:
            handler.close()
