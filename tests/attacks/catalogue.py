"""The attacks, and how each hurts a stock host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Saw = dict[str, Any]


@dataclass(frozen=True)
class Harm:
    """What an attack does to the stock host. ``word`` is for the table; the rest says how it shows.

    ``dead``: the process ends. ``deaf``: newcomers are not in within two seconds, also ``for_good``, when the attacker has left.
    ``memory``: MiB that it takes at some moment of it, or that are ``kept`` fifteen seconds after. ``log``: MiB that it writes
    meanwhile on its standard error. ``sockets``: they are kept as long. ``takes``: what the attacker saw. None of these: it
    survives, which is shown as well.
    """

    word: str
    dead: bool = False
    deaf: bool = False
    for_good: bool = False
    memory: float = 0.0
    kept: bool = False
    log: float = 0.0
    sockets: bool = False
    takes: Callable[[Saw], bool] | None = None


DEAD = Harm("the program ends", dead=True)
DEAF = Harm("deaf while it lasts", deaf=True)
DEAF_FOR_GOOD = Harm("deaf until it is started anew", deaf=True, for_good=True)
SURVIVES = Harm("survives, too")


def takes(word: str, shown: Callable[[Saw], bool]) -> Harm:
    return Harm(word, takes=shown)


@dataclass(frozen=True)
class Attack:
    """``name``: module and function in `attackers`. ``stock``: None where another variant shows it.

    ``ours``: what the attacker must have seen at our doors.
    """

    name: str
    stock: Harm | None
    ours: Callable[[Saw], bool] = lambda saw: True
    options: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.name.partition(".")[2].replace("_", " ") + FROM.get(self.options.get("source", ""), "")


MANY = {"source": "many"}
NEAR = {"source": "near"}
FROM = {"many": " from 600 addresses", "near": " from the newcomers' network"}

ATTACKS = [
    # by whoever reaches the port
    Attack("lines.garbage", SURVIVES),
    Attack("lines.silent", None),
    Attack("lines.silent", DEAF, options=MANY),
    Attack("lines.slow_loris", DEAF, options=MANY),
    Attack("lines.endless_length", Harm("+256 MiB for one connection", memory=200)),
    Attack(
        "lines.other_security",
        takes("takes plaintext, secio and TLS", lambda saw: len(saw["agreed"]) == 3),
        lambda saw: saw["agreed"] == [],
    ),
    # on the handshake
    Attack("handshakes.half_open", None),
    Attack("handshakes.half_open", DEAF, options=MANY),
    Attack("handshakes.broken", SURVIVES),
    Attack("handshakes.bad_signature", SURVIVES, lambda saw: saw["let_in"] == 0),
    Attack("handshakes.flood", SURVIVES, options=MANY),
    Attack("handshakes.big_rsa", Harm("deaf for ten seconds for each", deaf=True)),
    # by a stranger with a full connection
    Attack("multiplexing.three_hundred", DEAF_FOR_GOOD, lambda saw: saw["came_in"] == 300, MANY),
    Attack("multiplexing.cycles", SURVIVES, lambda saw: saw["came_in"] == 500),
    Attack("multiplexing.idle_strangers", None),
    Attack("multiplexing.idle_strangers", None, options=NEAR),
    Attack("multiplexing.idle_strangers", DEAF, options=MANY),
    Attack("multiplexing.served_strangers", DEAF, options=MANY),
    Attack("multiplexing.slow_streams", DEAF, options=MANY),
    Attack(
        "multiplexing.streams",
        takes("holds 2,000 streams of one peer", lambda saw: saw["most"] == 2000),
        lambda saw: saw["most"] <= 16,
    ),
    Attack("multiplexing.unread_streams", Harm("+59 MiB for one connection", memory=40)),
    Attack("multiplexing.window_overrun", Harm("+300 MiB for one stream", memory=250)),
    Attack(
        "multiplexing.bad_frames",
        takes("takes them", lambda saw: {"version", "type", "parity", "stream 0"} <= set(saw["taken"])),
        lambda saw: not {"version", "type", "parity", "stream 0", "length"} & set(saw["taken"]),
    ),
    Attack("multiplexing.rude_frames", SURVIVES),
    Attack("multiplexing.ping_flood", Harm("its sockets are kept", sockets=True)),
    Attack("multiplexing.reset_storm", Harm("its sockets are kept", sockets=True)),
    # on negotiation and handlers
    Attack("services.tokens", DEAD),
    Attack("services.escaping", DEAD),
    Attack(
        "services.identify_answers", Harm("13 MiB kept for each", memory=100, kept=True), lambda saw: saw["asked"] == 0
    ),
    Attack("services.identify_questions", SURVIVES),
    Attack("services.libp2p_pings", SURVIVES),
]

# On announcements and providers, of which the mesh door has none. The stock host has py-libp2p's own.
SWARM_ATTACKS = [
    Attack("gossip.undecodable", DEAD),
    Attack("gossip.bad_keys", DEAD),
    Attack("gossip.prunes", Harm("+60 MiB for one megabyte", memory=60)),
    Attack("gossip.told", DEAF),
    Attack("gossip.told_of_topics", DEAF),
    Attack(
        "gossip.wanted",
        Harm("+100 MiB for one megabyte", memory=100),
        lambda saw: 0 < saw["came"] < 2000 * saw["strikes"],
    ),
    Attack("gossip.grafts", DEAF),
    Attack("gossip.messages", DEAF),
    Attack("gossip.announcements", DEAF),
    Attack("gossip.oversized", Harm("+60 MiB for one connection", memory=60), lambda saw: "came" not in saw),
    Attack("gossip.subscriptions", DEAF),
    Attack(
        "dht.silent_streams",
        takes("answers nobody meanwhile", lambda saw: saw["answered"] == 0),
        lambda saw: saw["answered"] > 0,
    ),
    Attack("dht.values", Harm("+60 MiB of one stranger, kept", memory=60, kept=True), lambda saw: saw["taken"] == 0),
    Attack(
        "dht.providers",
        Harm(
            "+60 MiB, kept, and sends others where it likes",
            memory=60,
            kept=True,
            takes=lambda saw: saw["sent_elsewhere"] > 0,
        ),
        lambda saw: saw["named"] > 0 and saw["sent_elsewhere"] == 0,
    ),
    Attack("dht.undecodable", Harm("two megabytes of log for each", log=4)),
    Attack(
        "dht.questions",
        takes("sends others where it likes", lambda saw: saw["sent_elsewhere"] > 0),
        lambda saw: saw["answers"] > 0 and saw["sent_elsewhere"] == 0,
    ),
]
