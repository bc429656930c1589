"""The thread in which ``zeroconf`` speaks multicast DNS for `mycelnode.p2p.lan`, and the records it announces and reads.

A device announces the instance ``<peer id>._mycelnode._tcp.local.``; its TXT record holds the peer id (``id``) and the multiaddrs
(``a0``, ``a1``, …), as libp2p's mDNS does, because IPv4 and IPv6 may listen on different ports. SRV and address records stand
beside it for the common tools. The device's name is told to nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import ifaddr
import trio

from mycelnode.encoding import key_of_peer
from mycelnode.errors import EncodingError
from mycelnode.p2p._addresses import MAX_ADDRESSES, parse, usable

if TYPE_CHECKING:
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

SERVICE: Final = "_mycelnode._tcp.local."
TYPE_TXT = 16  # RFC 1035 §3.2.2
MAX_TEXT = 4096  # bytes of a TXT record that are looked at: sixteen addresses fit four times over
MAX_PEERS = 256  # remembered
REPEAT_SECONDS = 1.0  # what was told is not told again within this time: an announcement comes three times
SETTLE_SECONDS = 3.0  # between looks at an interface address that cannot be used yet
RETRY_SECONDS = 60.0  # after a failure; sooner when the network changes
GOODBYE_SECONDS = 2.0  # for telling the network that we leave

Found = Callable[[str, list[str]], None]


# --- the records -------------------------------------------------------------------------------------------------------------


def dialable(claimed: Sequence[object]) -> list[str]:
    """Those of the claimed multiaddrs that another machine on this network could dial: IP addresses, but no link-local IPv6."""
    good = []
    for text in usable(claimed):
        endpoint = parse(text)
        if endpoint.kind in ("ip4", "ip6"):
            address = ipaddress.ip_address(endpoint.host)
            if not (address.version == 6 and address.is_link_local):
                good.append(text)
    return good


def service_record(peer: str, addrs: Sequence[str]) -> ServiceInfo:
    """What is announced for ``peer`` at ``addrs`` (at least one, of IP addresses)."""
    from zeroconf import ServiceInfo

    endpoints = [parse(addr) for addr in addrs]
    port = endpoints[0].port
    return ServiceInfo(
        SERVICE,
        f"{peer}.{SERVICE}",
        port=port,
        parsed_addresses=[endpoint.host for endpoint in endpoints if endpoint.port == port],
        properties={"id": peer, **{f"a{number}": addr for number, addr in enumerate(addrs)}},
    )


def read_record(text: bytes) -> tuple[str, list[str]] | None:
    """The peer id and the usable multiaddrs in a TXT record from anyone; None if there are none."""
    fields: dict[bytes, bytes] = {}
    position = 0
    while position < min(len(text), MAX_TEXT):
        end = position + 1 + text[position]
        key, _, value = text[position + 1 : end].partition(b"=")
        fields.setdefault(key.lower(), value)
        position = end
    try:
        peer = fields.get(b"id", b"").decode("ascii")
        key_of_peer(peer)
        claimed = [fields[key].decode("ascii") for number in range(MAX_ADDRESSES) if (key := b"a%d" % number) in fields]
    except (UnicodeDecodeError, EncodingError):
        return None
    addrs = dialable(claimed)
    return (peer, addrs) if addrs else None


# --- the thread --------------------------------------------------------------------------------------------------------------


class Engine:
    """zeroconf in a thread. `run` is called there; `stop` and `renew` may be called from any thread."""

    def __init__(self, peer: str, own: list[str], tell: Found, settled: Callable[[], None]) -> None:
        self._peer, self._own, self._tell, self._settled = peer, own, tell, settled
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self.stopping = False
        self._seen: OrderedDict[str, tuple[list[str], float]] = OrderedDict()
        self.state: tuple[str, str] = ("off", "starting to look for devices on the local network")

    # --- from any thread

    def stop(self) -> None:
        """Make `run` say goodbye and return."""
        self.stopping = True
        self._poke()

    def renew(self, own: list[str]) -> None:
        """Open the network anew and announce ``own``."""
        self._own = own
        self._poke()

    def _poke(self) -> None:
        with self._lock:  # a loop that was closed takes no calls
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake.set)

    # --- in the thread

    def run(self) -> None:
        """Announce and browse until `stop`."""
        with asyncio.Runner() as runner:
            with self._lock:
                self._loop = runner.get_loop()
            try:
                runner.run(self._serve())
            finally:
                with self._lock:
                    self._loop = None

    async def _serve(self) -> None:
        while not self.stopping:
            self._wake.clear()
            try:
                await self._discover()
            except Exception as error:  # zeroconf raises many kinds; all mean the same here
                self._settle("failed", f"devices on the local network cannot be found: {_why(error)}")
                await self._woken(RETRY_SECONDS)

    async def _discover(self) -> None:
        """Announce and browse until woken, or until an interface can be used that could not before."""
        from zeroconf.asyncio import AsyncServiceBrowser

        interfaces, waiting = _interfaces()
        own = self._own
        network = await _open_network(interfaces, self._hear)
        try:
            browser = AsyncServiceBrowser(network.zeroconf, SERVICE, [_ignore])  # it asks, the listener hears
            try:
                if own:  # "cooperating": nobody can keep us silent by claiming our name first
                    await network.async_register_service(service_record(self._peer, own), cooperating_responders=True)
                told = ", ".join(own) or "no addresses"
                self._settle("ok", f"looking for devices on the local network; announced are {told}")
                while not await self._woken(SETTLE_SECONDS if waiting else None):
                    now, waiting = _interfaces()
                    if now != interfaces:
                        break
            finally:
                await browser.async_cancel()
        finally:
            if not self.stopping:  # we stay, so no goodbye, which would make others forget us
                network.zeroconf.generate_unregister_all_services()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(network.async_close(), GOODBYE_SECONDS)

    def _settle(self, state: str, detail: str) -> None:
        self.state = (state, detail)
        with contextlib.suppress(trio.RunFinishedError):
            self._settled()

    async def _woken(self, seconds: float | None) -> bool:
        """Wait for `stop` or `renew`, at most ``seconds``; whether one of them came."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        return self._wake.is_set()

    def _hear(self, text: bytes) -> None:
        """A TXT record of our service came in."""
        record = read_record(text)
        if record is None or record[0] == self._peer:
            return
        peer, addrs = record
        now = asyncio.get_running_loop().time()
        before = self._seen.pop(peer, None)
        if before is not None and before[0] == addrs and now - before[1] < REPEAT_SECONDS:
            self._seen[peer] = before
            return
        self._seen[peer] = (addrs, now)
        if len(self._seen) > MAX_PEERS:
            self._seen.popitem(last=False)
        with contextlib.suppress(trio.RunFinishedError):
            self._tell(peer, addrs)


def _ignore(**_: Any) -> None:
    """The browser insists on somebody to tell."""


def _listener(hear: Callable[[bytes], None]) -> Any:
    """A listener that hands on the TXT records of our service, as they are heard: new, changed, or said again."""
    from zeroconf import RecordUpdate, RecordUpdateListener, Zeroconf

    class Listener(RecordUpdateListener):
        def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
            for update in records:
                record: Any = update.new
                if record.type == TYPE_TXT and record.key.endswith(f".{SERVICE}") and not record.is_expired(now):
                    hear(record.text)

    return Listener()


async def _open_network(interfaces: Sequence[str], hear: Callable[[bytes], None]) -> AsyncZeroconf:
    """zeroconf on these interfaces, or on those with IPv4 if that is all it can do. Raises what zeroconf raises.

    ``hear`` is called from the first packet on: zeroconf asks nobody again for what it has in its cache already.
    """
    from zeroconf import Zeroconf
    from zeroconf.asyncio import AsyncZeroconf

    failure: Exception = OSError("no network interface is up")
    for chosen in (list(interfaces), [address for address in interfaces if ":" not in address]):
        if not chosen:
            continue
        try:
            network = AsyncZeroconf(zc=Zeroconf(chosen))
        except (OSError, RuntimeError) as error:
            _close_sockets_of(error)
            failure = error
            continue
        network.zeroconf.async_add_listener(_listener(hear), None)  # nothing was awaited, thus nothing read yet
        await network.zeroconf.async_wait_for_start()
        if network.zeroconf.engine.senders:
            return network
        await network.async_close()
        failure = OSError("no network interface carries multicast")
    raise failure


def _interfaces() -> tuple[list[str], bool]:
    """One address of each family for every network interface (loopback only if there is no other); is one not ready yet?"""
    outside: list[str] = []
    inside: list[str] = []
    waiting = False
    for adapter in ifaddr.get_adapters():
        names = [(ip.ip,) if isinstance(ip.ip, str) else ip.ip for ip in adapter.ips]
        for family in ([name for name in names if len(name) == 1], [name for name in names if len(name) == 3]):
            ready = next(filter(_can_bind, family), None)  # zeroconf would forget to close a socket that cannot
            if ready is not None:
                (inside if ipaddress.ip_address(ready[0]).is_loopback else outside).append(ready[0])
            waiting |= ready is None and bool(family)
    return sorted(outside or inside), waiting


def _can_bind(name: tuple[str] | tuple[str, int, int]) -> bool:
    """Whether the system lets us use this address of ours; a new IPv6 address is checked for duplicates first (RFC 4862 §5.4)."""
    if len(name) == 1:
        return True
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((name[0], 0, name[1], name[2]))
    except OSError:
        return False
    return True


def _close_sockets_of(error: BaseException) -> None:
    """Close the sockets that zeroconf had open when it failed: it forgets them, but the frames of the traceback still hold them."""
    trace = error.__traceback__
    while trace is not None:
        for value in list(trace.tb_frame.f_locals.values()):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, socket.socket):
                    item.close()
        trace = trace.tb_next


def _why(error: Exception) -> str:
    """What went wrong, in words for the user."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "another program holds UDP port 5353 for itself"
    return str(error) or type(error).__name__
