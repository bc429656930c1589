"""What is asked on a terminal, and what is not shown there."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest

from tests.cli.conftest import SECONDS, Program, environment


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master, self.seen = process, master, ""

    def wait_for(self, text: str) -> None:
        """Read until ``text`` is on the screen; fails if the program ends before."""
        while text not in self.seen:
            try:
                self.seen += os.read(self._master, 4096).decode(errors="replace")
            except OSError:  # Linux says so when the last holder of the other side is gone
                pytest.fail(f"{text!r} never came: {self.seen!r}")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, as often as a person would: Python loses one that comes just as it begins to wait in GNU readline."""
        for _ in range(10):
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
                return

    def ended(self) -> int:
        """Read what is still said; the exit status."""
        while True:
            try:
                data = os.read(self._master, 4096)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode(errors="replace")
        return self.process.wait(SECONDS)


@contextmanager
def on_terminal(program: Program, *arguments: str, columns: int = 200) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        program.command(*arguments), stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait(SECONDS)
        os.close(master)


def test_leave_asks_and_takes_no_for_an_answer(fox: Program) -> None:
    with on_terminal(fox, "leave") as terminal:
        terminal.wait_for("for ever? Its data are put aside in the same folder. [y/N]:")
        terminal.type("n\n")
        assert terminal.ended() == 1
        assert "nothing was changed" in terminal.seen
    with on_terminal(fox, "leave", "--erase") as terminal:
        terminal.wait_for("erased. [y/N]:")
        terminal.interrupt()
        assert terminal.ended() == 130
    assert (fox.folder / "device.key").exists()
    with on_terminal(fox, "leave") as terminal:
        terminal.wait_for("[y/N]:")
        terminal.type("y\n")
        assert terminal.ended() == 0, terminal.seen
    assert not (fox.folder / "device.key").exists()


def test_another_ctrl_c_while_it_ends_changes_nothing(fox: Program) -> None:
    with on_terminal(fox, "leave", "--erase") as terminal:
        terminal.wait_for("erased. [y/N]:")
        while terminal.process.poll() is None:
            terminal.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                terminal.process.wait(0.01)
        assert terminal.ended() == 130
        assert "Traceback" not in terminal.seen


def test_secrets_are_not_echoed_and_new_ones_are_asked_twice(fox: Program, phrase: str) -> None:
    with on_terminal(fox, "backup", "create") as terminal:
        terminal.wait_for("Passphrase for the backup:")
        terminal.type("correct horse\n")
        terminal.wait_for("Repeat for confirmation:")
        terminal.type("correct horse\n")
        assert terminal.ended() == 0, terminal.seen
        assert "correct" not in terminal.seen
        assert ".backup (" in terminal.seen
    with on_terminal(fox, "recover") as terminal:
        terminal.wait_for("Recovery phrase (24 words):")
        terminal.type(phrase + "\n")
        assert terminal.ended() == 0, terminal.seen
        # Two words side by side: one alone may also stand in the answer ("soon", "run" and "device" are words of BIP-39).
        assert not [pair for pair in pairwise(phrase.split()) if " ".join(pair) in terminal.seen]
        assert "is a member of the mesh" in terminal.seen
