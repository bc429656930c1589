"""Standard streams and arguments as they may come: closed, full, or in letters that one side lacks."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

import click

LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})  # writing failed, and will again


class OutputLost(click.ClickException):
    """Standard output could not be written."""


def mend_streams() -> None:
    """No file of ours gets the number of a closed stream and what is printed there; no letter that a terminal lacks ends us."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 -- it takes the free number, for as long as we run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")


def output_missing() -> bool:
    """Were we started without a standard output?"""
    return getattr(sys.stdout, "name", None) == os.devnull


def check_arguments() -> None:
    """Arguments are UTF-8, whatever the locale says: Python keeps bytes that the locale does not know as surrogates."""
    for place, argument in enumerate(sys.argv):
        if any("\ud800" <= char <= "\udfff" for char in argument):
            try:
                sys.argv[place] = os.fsencode(argument).decode()
            except UnicodeDecodeError:
                raise click.UsageError(f"the argument {argument!r} is not UTF-8 text") from None


@contextmanager
def to_stderr() -> Iterator[None]:
    """Where nobody can read why, the exit status still tells."""
    try:
        yield
        sys.stderr.flush()
    except OSError:
        drop(sys.stderr)


def drop(stream: TextIO) -> None:
    """What could not be written is not tried again at exit."""
    with suppress(OSError):  # a stream without a file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def lost_output(error: BaseException) -> OutputLost | None:
    """Is this an error of standard output? Files of ours are named in theirs."""
    if isinstance(error, OSError) and error.filename is None and error.errno in LOST:
        return OutputLost(f"the output could not be written ({error.strerror}); what the command did is done")
    return None
