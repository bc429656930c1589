"""A libp2p peer of its own, from the socket up: no line of it is shared with mycelnode or with libp2p.

Blocking sockets, and each layer by itself, so that an attacker can stop, lie or overdo it at any of them:

    line = connect(addr, source="127.0.0.2")    # TCP
    propose(line, "/noise")                     # multistream-select
    secure = Handshake(line, identity).run()    # Noise XX; its three steps also one by one
    propose(secure, "/yamux/1.0.0")
    session = Session(secure)                   # yamux; `session.frame(…)` sends any frame at all
    stream = session.open("/ipfs/ping/1.0.0")

or, for the whole of that, ``Peer(seed).dial(addr)``. A process that imports this package can import neither mycelnode nor libp2p
any more: see `alone`.
"""

from __future__ import annotations

from .alone import stay_alone
from .bits import VERSION, message, peer_id, token
from .line import Broken, Line, Silent, connect
from .noise import Handshake, Identity, Secured
from .peer import Peer
from .select import Refused, accept, propose
from .yamux import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW, WINDOW_UPDATE, Session, Stream, header

stay_alone()

__all__ = [
    "ACK",
    "DATA",
    "FIN",
    "GO_AWAY",
    "PING",
    "RST",
    "SYN",
    "VERSION",
    "WINDOW",
    "WINDOW_UPDATE",
    "Broken",
    "Handshake",
    "Identity",
    "Line",
    "Peer",
    "Refused",
    "Secured",
    "Session",
    "Silent",
    "Stream",
    "accept",
    "connect",
    "header",
    "message",
    "peer_id",
    "propose",
    "token",
]
