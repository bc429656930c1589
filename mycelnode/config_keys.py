"""Every setting there is: its name, kind, default, scope and meaning, in one place; and how text becomes a checked value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from mycelnode.errors import ConfigError

Scope = Literal["mesh", "device"]
MAX_KEY_CHARS = 64
MAX_TEXT_CHARS = 4096
MAX_LIST_ITEMS = 64
MAX_NUMBER = (1 << 53) - 1  # what every reader of JSON keeps exactly
KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
USER = "user."  # below this, scripts of users keep what they like

NETWORK: Final = "near.network"
NETWORKS: Final = ("mainnet", "testnet", "devchain")
OF_A_NETWORK: Final = ("near.account", "near.registry", "near.reputation", "near.spender")  # strangers' names elsewhere
SPENDERS: Final = (
    "near.mainnet.spender",
    "near.spender",
    "near.testnet.spender",
    "near.devchain.spender",
)  # real money first

TRUE, FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> float:
    """Seconds, from text like ``10m``, ``1h30m``, ``500ms`` or ``90`` (seconds). Raises `ConfigError`."""
    stripped = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        stripped += "s"
    if len(stripped) > MAX_KEY_CHARS or not stripped or DURATION.sub("", stripped):
        raise ConfigError(f"{text[:MAX_KEY_CHARS]!r} is not a length of time such as 10m, 1h30m or 45s")
    seconds = sum(float(number) * SECONDS[unit] for number, unit in DURATION.findall(stripped))
    if seconds > MAX_NUMBER:
        raise ConfigError(f"{text[:MAX_KEY_CHARS]!r} is too long a time")
    return seconds


# --- kinds: each takes text, or a value from TOML or the mesh, and returns the checked value; ValueError says what was expected ---


def as_bool(raw: object) -> bool:
    """True or false."""
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().lower() in TRUE | FALSE:
        return raw.strip().lower() in TRUE
    raise ValueError("true or false")


def as_int(raw: object) -> int:
    """A whole number."""
    if isinstance(raw, str) and re.fullmatch(r"\s*[+-]?\d{1,16}\s*", raw):
        raw = int(raw)
    if type(raw) is int and abs(raw) <= MAX_NUMBER:
        return raw
    raise ValueError("a whole number")


def as_float(raw: object) -> float:
    """A finite number."""
    if isinstance(raw, str) and len(raw) <= MAX_KEY_CHARS:
        try:
            raw = float(raw)
        except ValueError:
            raw = None
    if type(raw) in (int, float) and abs(raw) <= MAX_NUMBER:  # type: ignore[arg-type]
        return float(raw)  # type: ignore[arg-type]
    raise ValueError("a number")


def as_duration(raw: object) -> float:
    """A length of time, in seconds."""
    if isinstance(raw, str):
        try:
            return parse_duration(raw)
        except ConfigError:
            pass
    elif type(raw) in (int, float) and 0 <= raw <= MAX_NUMBER:  # type: ignore[operator]
        return float(raw)  # type: ignore[arg-type]
    raise ValueError("a length of time such as 10m, 1h30m or 45s")


def as_text(raw: object) -> str:
    """One line of text."""
    if isinstance(raw, str) and len(raw) <= MAX_TEXT_CHARS and raw.isprintable():
        return raw
    raise ValueError(f"one line of at most {MAX_TEXT_CHARS} characters")


def as_list(raw: object) -> list[str]:
    """A list of texts; from text: separated by commas."""
    if isinstance(raw, str):
        raw = [item.strip() for item in raw.split(",") if item.strip()]
    if isinstance(raw, list | tuple) and len(raw) <= MAX_LIST_ITEMS:
        return [as_text(item) for item in raw]
    raise ValueError(f"a list of at most {MAX_LIST_ITEMS} texts, separated by commas")


def as_free(raw: object) -> str | int | float | bool:
    """What users keep for their scripts: text, a number, or true or false."""
    if isinstance(raw, bool):
        return raw
    for kind in (as_int, as_float):
        try:
            return kind(raw)
        except ValueError:
            continue
    if raw in ("true", "false"):
        return raw == "true"
    if isinstance(raw, str):
        return as_text(raw)
    raise ValueError("text, a number, or true or false")


# --- further checks ----------------------------------------------------------------------------------------------------------


def one_of(*choices: str) -> Callable[[object], str]:
    """One of a few words."""

    def parse(raw: object) -> str:
        if isinstance(raw, str) and raw.strip().lower() in choices:
            return raw.strip().lower()
        raise ValueError(f"one of {', '.join(choices)}")

    return parse


def as_url(raw: object) -> str:
    """An http or https address, or nothing."""
    text = as_text(raw)
    if text and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise ValueError("an address such as http://127.0.0.1:11434")
    return text


def as_urls(raw: object) -> list[str]:
    """A list of http or https addresses."""
    return [as_url(item) for item in as_list(raw)]


def as_multiaddrs(raw: object) -> list[str]:
    """A list of multiaddrs (their parts are checked where libp2p may be imported)."""
    found = as_list(raw)
    for item in found:
        if not re.fullmatch(r"(/[A-Za-z0-9._:%\[\]-]+)+", item):
            raise ValueError("a list of multiaddrs such as /ip4/0.0.0.0/tcp/4101")
    return found


def as_near(raw: object) -> str:
    """An amount of NEAR, as text: a floating-point number would not be the same amount."""
    text = str(raw) if type(raw) is int else raw
    if isinstance(text, str) and (
        found := re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,24})?)(?:\s*NEAR)?\s*", text, re.ASCII)
    ):
        return found[1]
    raise ValueError('an amount of NEAR such as "0.5"')


def as_account(raw: object) -> str:
    """The name of a NEAR account, or nothing (`mycelnode.chain.amounts` looks closer)."""
    text = as_text(raw)
    if text and not re.fullmatch(r"[a-z0-9._-]{2,64}", text):
        raise ValueError("a NEAR account such as alice.testnet")
    return text


def as_accounts(raw: object) -> list[str]:
    """A list of NEAR accounts."""
    return [as_account(item) for item in as_list(raw)]


def between(kind: Callable[[object], Any], low: float, high: float) -> Callable[[object], Any]:
    """A number of ``kind`` in [low, high]."""

    def parse(raw: object) -> Any:
        value = kind(raw)
        if not low <= value <= high:
            raise ValueError(f"a number from {low} to {high}")
        return value

    return parse


# --- the settings ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. ``environ`` are names that other programs of its field use; ours (`variable`) wins over them."""

    name: str
    parse: Callable[[object], Any]
    default: Any
    scope: Scope
    about: str
    environ: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Its own environment variable."""
        return "MYCEL_" + self.name.upper().replace(".", "_")


# Money, endpoints, keys, listening addresses and privacy have the scope "device": a stolen device cannot set them for the others.
KEYS: Mapping[str, Key] = {
    key.name: key
    for key in (
        Key(
            "assistant.language",
            as_text,
            "en",
            "mesh",
            "language the assistant answers in (BCP 47, such as en or pt-BR)",
        ),
        Key("assistant.tone", as_text, "", "mesh", "how the assistant speaks, in your words"),
        Key(
            "blocks.quota",
            between(as_int, 16, 1 << 24),
            10_240,
            "device",
            "MiB of disk that the blocks of patterns may take",
        ),
        Key(
            "kubo.client",
            one_of("httpx", "ipfshttpclient"),
            "httpx",
            "device",
            "what speaks to Kubo; ipfshttpclient is an extra that must be installed",
        ),
        Key("kubo.url", as_url, "", "device", "RPC address of a Kubo node; empty: the built-in blockstore"),
        Key("log.files", between(as_int, 2, 100), 5, "device", "how many log files of 5 MiB are kept"),
        Key(
            "log.level",
            one_of("debug", "info", "warning", "error"),
            "info",
            "device",
            "what is worth a line in node.log",
        ),
        Key(
            "mesh.invite_ttl",
            between(as_duration, 10, 7 * 86400),
            600.0,
            "device",
            "how long an invite is good, such as 10m",
        ),
        Key("mesh.lan", as_bool, True, "device", "find devices, and be found by them, on the local network (mDNS)"),
        Key(
            "mesh.listen",
            as_multiaddrs,
            ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"),
            "device",
            "addresses to listen on; port 0: any free one, kept from then on",
        ),
        Key("mesh.public", as_bool, False, "device", "also listen on public addresses; else on private ones only"),
        Key(
            "models.embedder",
            as_text,
            "",
            "device",
            "name of the Ollama model that search uses; empty: a usual one that is installed",
        ),
        Key("models.local", as_text, "", "mesh", "name of the local model to use; empty: the best one installed"),
        Key("models.ollama_url", as_url, "http://127.0.0.1:11434", "device", "where Ollama answers", ("OLLAMA_URL",)),
        Key("models.temperature", between(as_float, 0, 2), 0.7, "mesh", "how freely the local model picks its words"),
        Key(
            "near.account",
            as_account,
            "",
            "device",
            "the NEAR account that publishes, and is paid; it pays, too, unless near.spender does",
        ),
        Key("near.ask_above", as_near, "0.05", "device", "NEAR that one use may cost without your being asked"),
        Key(
            "near.contracts",
            as_accounts,
            (),
            "device",
            "the only contracts that may be called and paid, whatever near.registry says; empty: the one it says",
        ),
        Key("near.network", one_of(*NETWORKS), "testnet", "device", "which NEAR network"),
        Key("near.registry", as_account, "", "device", "the contract with the registry of patterns"),
        Key("near.reputation", as_account, "", "device", "the contract with the reputation of creators"),
        Key(
            "near.rpc",
            as_urls,
            (),
            "device",
            "addresses of NEAR RPC servers, best first; empty: the network's usual ones",
        ),
        Key("near.spend_per_creator", as_near, "0.5", "device", "NEAR a day that one creator may be paid at most"),
        Key("near.spend_per_day", as_near, "1", "device", "NEAR a day that may be spent at most, gas not counted"),
        Key("near.spend_per_use", as_near, "0.1", "device", "NEAR that one use of a pattern may cost at most"),
        Key(
            "near.spender",
            as_account,
            "",
            "device",
            "the NEAR account of this device alone that pays for uses; empty: near.account",
        ),
        Key(
            "privacy.turns_key",
            one_of("auto", "keyring", "passphrase", "file"),
            "auto",
            "device",
            "where the key of your private turns is kept; auto: the keyring of this system, or else a file",
        ),
        Key(
            "privacy.schedule",
            as_bool,
            False,
            "device",
            "decide on a window by itself once it is over; what is published is confirmed by you all the same",
        ),
        Key("swarm.bootstrap", as_multiaddrs, (), "device", "first peers of the collective"),
        Key("swarm.enabled", as_bool, False, "device", "take part in the collective"),
        Key(
            "swarm.listen",
            as_multiaddrs,
            ("/ip4/0.0.0.0/tcp/0",),
            "device",
            "addresses of the second door, to the collective",
        ),
        Key(
            "swarm.max_upload",
            between(as_int, 0, MAX_NUMBER),
            16 << 20,
            "device",
            "bytes of blocks a second that strangers are sent, all together; 0: as many as they take",
        ),
    )
}


def on(network: str, key: str) -> str:
    """Under which name a setting of one network is kept, such as ``near.testnet.account`` for ``near.account``."""
    section, _, last = key.partition(".")
    return f"{section}.{network}.{last}"


KEPT: Final[Mapping[str, tuple[str, str]]] = {
    on(network, key): (network, key) for network in NETWORKS for key in OF_A_NETWORK
}


def find_key(name: str) -> Key:
    """The setting called ``name``; any ``user.…`` is one. Raises `ConfigError` with the nearest name."""
    if name in KEYS:
        return KEYS[name]
    if name in KEPT:
        network, key = KEPT[name]
        return replace(KEYS[key], name=name, about=f"{key} while near.network is {network}")
    if name.startswith(USER) and len(name) <= MAX_KEY_CHARS and KEY.fullmatch(name):
        return Key(name, as_free, None, "mesh", "yours")
    import difflib

    near = difflib.get_close_matches(name[:MAX_KEY_CHARS], KEYS, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; `mycelnode config list` shows them all"
    raise ConfigError(f"there is no setting {name[:MAX_KEY_CHARS]!r}{hint}")


def parse_value(name: str, raw: object) -> Any:
    """The checked value of a setting from text, or from a value of TOML or the mesh. Raises `ConfigError`."""
    key = find_key(name)
    try:
        return key.parse(raw)
    except ValueError as error:
        raise ConfigError(f"{name} must be {error}, not {str(raw)[:MAX_KEY_CHARS]!r}") from None
