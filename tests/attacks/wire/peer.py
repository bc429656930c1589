"""A whole peer, which keeps to the rules as long as it is not told otherwise."""

from __future__ import annotations

import socket

from .line import PATIENCE, Line, connect
from .noise import Handshake, Identity, Secured
from .select import accept, propose
from .yamux import Session

NOISE, YAMUX = "/noise", "/yamux/1.0.0"


class Peer:
    """With an identity of its own, from a seed of 32 bytes or fresh."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.identity = Identity(seed)

    @property
    def peer_id(self) -> str:
        return self.identity.peer_id

    @property
    def key(self) -> bytes:
        return self.identity.key

    def secure(self, line: Line) -> Secured:
        """Noise on a line that we have dialled."""
        propose(line, NOISE)
        return Handshake(line, self.identity).run()

    def session(self, line: Line, *, polite: bool = True) -> Session:
        """Noise and yamux on a line that we have dialled."""
        secure = self.secure(line)
        propose(secure, YAMUX)
        return Session(secure, polite=polite)

    def dial(
        self, addr: str, key: bytes | None = None, *, source: str = "", timeout: float = PATIENCE, polite: bool = True
    ) -> Session:
        """A session with who listens at ``addr``, whose Ed25519 key is ``key`` if given. Raises `Broken`, `Refused`."""
        line = connect(addr, source=source, timeout=timeout)
        try:
            session = self.session(line, polite=polite)
            if key is not None and session.their_key != key:
                raise ValueError("somebody else answered")
        except BaseException:
            line.close()
            raise
        return session

    def answer(self, sock: socket.socket) -> Session:
        """A session on a connection that was accepted."""
        line = Line(sock)
        line.patience(PATIENCE)
        accept(line, NOISE)
        secure = Handshake(line, self.identity).answer()
        accept(secure, YAMUX)
        return Session(secure, dialled=False)
