"""The answer to `mycelnode status`: what this device knows of the mesh. docs/cli.md has the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mycelnode import blocks
from mycelnode.commands import ADDRESSES, all_devices, device_name, revoked_by, rfc3339
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import peer_id
from mycelnode.mesh import Mesh
from mycelnode.protocols import tending

if TYPE_CHECKING:
    from mycelnode.node import Node


def status(mesh: Mesh, node: Node | None = None) -> dict[str, Any]:
    """The object of the command table; ``node`` is None when no node is running on this folder."""
    return {
        "mesh": mesh.id,
        "device": mesh.device,
        "name": device_name(mesh, mesh.identity.device),
        "running": node is not None,
        "member": mesh.identity.device in mesh.replica.membership.members,
        "cloned": mesh.replica.cloned,
        "clock_wrong": mesh.replica.clock_wrong(mesh.now()),
        "addrs": list(node.host.addrs) if node else [],
        "devices": [_device(mesh, node, device) for device in all_devices(mesh)],
        "held": [
            {"device": peer_id(device), "seq": hold.seq, "until": rfc3339(hold.until)}
            for device, hold in sorted(mesh.replica.held.items())
        ],
        "fenced": _fenced(mesh),
        "history": _history(mesh),
        "disk": mesh.database.size(),
        "blocks": _blocks(mesh, node),
        "swarm": node.collective.status() if node else None,
        "services": _services(mesh, node),
    }


def _blocks(mesh: Mesh, node: Node | None) -> dict[str, int]:
    """What the blocks of patterns take on the disk, and may take."""
    opened = node.collective.blocks if node else None
    return {"bytes": blocks.usage(mesh) if opened is None else opened.usage, "quota": blocks.quota(mesh)}


def _device(mesh: Mesh, node: Node | None, device: DeviceId) -> dict[str, Any]:
    peer = peer_id(device)
    link = node.syncing.links.get(peer) if node else None
    this = device == mesh.identity.device
    addrs = mesh.replica.document.map(ADDRESSES).get(peer)
    seen = node.last_seen.get(peer) if node else None
    lag = 0 if this else link.session.lacking() if link else node.syncing.lags.get(peer) if node else None
    return {
        "device": peer,
        "name": device_name(mesh, device),
        "this": this,
        "connected": this or link is not None,
        "addrs": [a for a in addrs if isinstance(a, str)] if isinstance(addrs, list) else [],
        "head": mesh.replica.logs.tip(device, mesh.replica.counted(device)[0]).seq,
        "lag": lag,
        "bytes": sum(branch.size for branch in mesh.replica.logs.durable.get(device, ())),
        "statements": mesh.replica.shares.by(device),
        "revoked": device in mesh.replica.membership.revoked,
        "revoked_by": revoked_by(mesh, device),
        "last_seen": None if this or seen is None else rfc3339(mesh.clock.wall() if link else seen),
        "finding": None if this or link or not node else _finding(mesh, node, peer),
    }


def _finding(mesh: Mesh, node: Node, peer: str) -> dict[str, Any] | None:
    """Why a device is missing, with the time since when."""
    report = node.finder.report(peer)
    if report is None:
        return None
    missing_ms = round((mesh.clock.monotonic() - report["since"]) * 1000)
    return {**report, "since": rfc3339(mesh.clock.wall() - missing_ms)}


def _fenced(mesh: Mesh) -> list[dict[str, Any]]:
    """Logs of which a part is stored and does not count."""
    fenced = []
    for device, branches in sorted(mesh.replica.logs.durable.items()):
        _, limit = mesh.replica.counted(device)
        shared = mesh.replica.logs.fork_point(device)
        held = sum(branch.head.seq - branch.base.seq for branch in branches)
        beyond = held - limit
        if beyond > 0 or shared is not None:
            reason = mesh.replica.membership.reason(device)
            fenced.append({"device": peer_id(device), "at": limit, "beyond": beyond, "reason": reason})
    return fenced


def _history(mesh: Mesh) -> dict[str, Any]:
    """What could be replaced by a snapshot, and what keeps it from that.

    ``bytes`` of entries; the devices for which that waits; those whom the phrase must put out, too, before it can be; those whose
    snapshot is not true here; the logs in which entries are missing, because the phrase undid the snapshot that stood for them.
    """
    replica = mesh.replica
    waiting = [device for device in tending.waits_for(replica) if device != replica.device]
    disputed = {p.author for key, p in replica.snapshots.proposals.items() if key in replica.snapshots.disputed}
    return {
        "bytes": tending.growth(replica),
        "waits_for": [peer_id(device) for device in waiting],
        "unsettled": [peer_id(device) for device in tending.unsettled(replica)],
        "disputed": sorted(map(peer_id, disputed)),
        "missing": [
            {"device": peer_id(device), "after": replica.document.applied.get(device, 0)}
            for device in sorted(replica.unfilled)
        ],
    }


def _services(mesh: Mesh, node: Node | None) -> dict[str, dict[str, str]]:
    if node is None:
        return {"mesh": {"state": "off", "detail": "no node is running; start it with `mycelnode run`"}}
    links = len(node.syncing.links)
    others = len(mesh.replica.membership.members - {mesh.identity.device})
    states = {
        "mesh": ("ok", f"{links} of {others} other devices connected"),
        **_disk(mesh),
        **_state(node),
        **node.finder.services(),
        **node.collective.services(),
        **node.chain.services(),
        **{name: service.state for name, service in node.services.items()},
    }
    return {name: {"state": state, "detail": detail} for name, (state, detail) in states.items()}


def _disk(mesh: Mesh) -> dict[str, tuple[str, str]]:
    """What is left is kept for our own writes."""
    if mesh.has_room():
        return {}
    return {"disk": ("failed", "the disk is nearly full: what other devices write is not taken until there is room")}


def _state(node: Node) -> dict[str, tuple[str, str]]:
    """The folded state that this device began with, while that is not proved by the logs, or if it was not true."""
    if node.mesh.replica.base is not None:
        return {
            "state": ("checking", "began with the state of another device; the logs that prove it are still coming")
        }
    if node.false_state:
        return {
            "state": ("failed", "the state that this device began with was not what the logs say; the logs hold now")
        }
    return {}
