"""The attackers' own libp2p is a libp2p: it talks to the stock host and to ours, and shares no code with either."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.attacks.processes import HERE, OPEN_DOOR, STOCK, line_of, process
from tests.attacks.wire import WINDOW, Broken, Handshake, Identity, Peer, Refused, connect, peer_id, propose


@pytest.mark.parametrize("victim", [STOCK, OPEN_DOOR], ids=["stock", "ours"])
def test_it_talks_to_hosts(victim: tuple[str, ...], tmp_path: Path) -> None:
    """A ping, more than a window there and back, and a protocol that is not spoken."""
    errors = tmp_path / "errors"
    with process(victim, errors) as running:
        session = Peer().dial(line_of(running, errors), source="127.0.0.7")
        ping = session.open("/ipfs/ping/1.0.0")
        for _ in range(3):
            sent = os.urandom(32)
            ping.write(sent)
            assert ping.read(32) == sent
        echo = session.open("/echo/1")
        for _ in range(10):
            sent = os.urandom(WINDOW // 4)
            echo.write(sent)
            assert echo.read(len(sent)) == sent
        echo.close()
        assert echo.read_some() == b""
        with pytest.raises(Refused):
            session.open("/no/such/protocol")
        session.close()


def test_it_checks_who_answers(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with process(OPEN_DOOR, errors) as running, pytest.raises(ValueError, match="somebody else"):
        Peer().dial(line_of(running, errors), bytes(32))


def test_two_of_its_own_talk_to_each_other() -> None:
    one, other = Peer(bytes(32)), Peer(b"1" * 32)
    assert peer_id(one.key) == one.peer_id == "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as pool:
        answering = pool.submit(lambda: other.answer(listening.accept()[0]))
        session = one.dial(f"127.0.0.1:{listening.getsockname()[1]}", other.key)
        answered = answering.result()
        assert (session.their_key, answered.their_key) == (other.key, one.key)
        stream = session.raw_stream()
        stream.write(b"hello")
        assert answered.next_incoming().read(5) == b"hello"
        session.close()
        with pytest.raises(Broken):
            answered.next_incoming()
        answered.close()


def test_a_wrong_signature_does_not_pass_here_either(tmp_path: Path) -> None:
    class Liar(Identity):
        def payload(self, static: bytes) -> bytes:
            return super().payload(bytes(32))

    errors = tmp_path / "errors"
    with process(OPEN_DOOR, errors) as running:
        line = connect(line_of(running, errors))
        propose(line, "/noise")
        Handshake(line, Liar()).run()
        assert line.hung_up(5)
        line.close()


def test_an_attacker_cannot_import_what_it_attacks() -> None:
    """In the very way in which attackers are started; and nothing of it is there before they begin."""
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import wire\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & set(wire.alone.FOREIGN)))\n"
        "for name in wire.alone.FOREIGN:\n"
        "    try: __import__(name)\n"
        "    except ImportError as error: print('not to be imported' in str(error))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split("\n") == ["[]", *["True"] * 6, ""]
