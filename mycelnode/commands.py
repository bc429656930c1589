"""What the control socket and the command line can ask of a mesh: JSON in, JSON out (docs/cli.md and
docs/control-socket.md have the objects).

These work with or without a running node. `mycelnode.serving` adds those that need a network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mycelnode import audit
from mycelnode.anchors import anchors
from mycelnode.config_keys import NETWORK, OF_A_NETWORK
from mycelnode.crdt import document as ops
from mycelnode.crdt.changelog import DeviceId, Head
from mycelnode.crdt.statements import AWAY, MAX_NAME, REVOKE, Statement, decode_statement
from mycelnode.encoding import key_of_peer, peer_id
from mycelnode.errors import ConfigError, ControlError, DeviceUnknown, EncodingError, ValueRefused
from mycelnode.mesh import ADDRESSES, CONFIG, NAMES, Mesh
from mycelnode.protocols.pairing import clean_name
from mycelnode.rescue import head_before, held_beyond, rescuable, rescue
from mycelnode.shared import check_name

Request = Mapping[str, Any]
Handler = Callable[[Request], Awaitable[dict[str, Any]]]

RESTORED_NAME = "restored"  # the fact that keeps the name which a device is to have once it is enrolled (anew)
RESTORED_FROM = "backup"  # the fact that keeps which backup filled the folder, until its device is enrolled
MIN_ID_CHARS = 6  # of a peer id, to name a device by its end


def text(request: Request, key: str, default: str | None = None) -> str:
    """A text field of a request."""
    value = request.get(key, default)
    if not isinstance(value, str):
        raise ControlError(f"the request needs a text field {key!r}")
    return value


def flag(request: Request, key: str) -> bool:
    """A yes-or-no field of a request; absent means no."""
    value = request.get(key, False)
    if not isinstance(value, bool):
        raise ControlError(f"the field {key!r} is true or false")
    return value


def rfc3339(milliseconds: int) -> str:
    """Unix milliseconds as RFC 3339 UTC; years beyond what that can say are cut to it."""
    seconds = min(max(milliseconds / 1000, 0), 253402300799)
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def device_name(mesh: Mesh, device: DeviceId) -> str:
    """The shared name of a device, else the one it was, or is to be, enrolled with."""
    shared = mesh.replica.document.map(NAMES).get(peer_id(device))
    enrolment = mesh.replica.membership.enrolled.get(device)
    if enrolment is None and device == mesh.identity.device:
        return clean_name((mesh.stored.fact(RESTORED_NAME) or b"").decode(errors="replace"))
    said = (shared, enrolment.info.get("name") if enrolment else None)  # by members, who can say anything
    name = next((name for name in said if isinstance(name, str)), "")
    return clean_name(name[: MAX_NAME * 4])


def chosen_name(name: str) -> str:
    """A name that a person gives to a device. Raises `ValueRefused` if it cannot be shown whole."""
    if len(name) > MAX_NAME:
        raise ValueRefused(f"the name of a device has at most {MAX_NAME} characters, and this one has {len(name)}")
    if not any(char.isprintable() and not char.isspace() for char in name):
        raise ValueRefused("the name of a device has at least one character that can be seen")
    return clean_name(name)


def all_devices(mesh: Mesh) -> list[DeviceId]:
    """Every device that was ever enrolled, in the order of their peer ids."""
    return sorted(mesh.replica.membership.enrolled, key=peer_id)


def find_device(mesh: Mesh, reference: str) -> DeviceId:
    """The device that a person means: its name, its peer id, or the end of it."""
    devices = all_devices(mesh)
    exact = [d for d in devices if reference == peer_id(d)]
    named = [d for d in devices if reference and device_name(mesh, d) == clean_name(reference)]
    ended = [d for d in devices if len(reference) >= MIN_ID_CHARS and peer_id(d).endswith(reference)]
    found = exact or named or ended
    if not found:
        raise DeviceUnknown(f"no device of this mesh is called {reference!r}; `mycelnode devices` lists them")
    if len(found) > 1:
        raise DeviceUnknown(f"several devices are called {reference!r}; use the peer id instead")
    return found[0]


def signer(mesh: Mesh, author: bytes) -> str:
    """Who said something: a peer id, or "root" for the phrase."""
    return "root" if author == mesh.root else peer_id(author)


def revoked_by(mesh: Mesh, device: DeviceId) -> list[str]:
    """Who put a device out."""
    return sorted({signer(mesh, said.author) for said in mesh.replica.membership.revoked.get(device, ())})


class MeshCommands:
    """The commands of a mesh that need no network."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def table(self) -> dict[str, Handler]:
        """Command name → handler."""
        return {
            "devices.list": self.devices_list,
            "devices.rename": self.devices_rename,
            "devices.revoke": self.devices_revoke,
            "devices.rescue": self.devices_rescue,
            "devices.away": self.devices_away,
            "config.get": self.config_get,
            "config.set": self.config_set,
            "config.unset": self.config_unset,
            "config.list": self.config_list,
            "collection.list": self.collection_list,
            "collection.get": self.collection_get,
            "collection.apply": self.collection_apply,
            "mesh.digest": self.mesh_digest,
            "audit.verify": self.audit_verify,
            "audit.tail": self.audit_tail,
        }

    # --- devices -------------------------------------------------------------------------------------------------------

    async def devices_list(self, request: Request) -> dict[str, Any]:
        """All devices that were ever enrolled."""
        return {"devices": self.describe_devices()}

    def describe_devices(self) -> list[dict[str, Any]]:
        """One object a device, in the order of their peer ids."""
        return [self._device(device) for device in all_devices(self.mesh)]

    def _device(self, device: DeviceId) -> dict[str, Any]:
        membership = self.mesh.replica.membership
        return {
            "device": peer_id(device),
            "name": device_name(self.mesh, device),
            "enrolled_by": signer(self.mesh, membership.enrolled[device].author),
            "revoked": device in membership.revoked,
            "revoked_by": revoked_by(self.mesh, device),
            "forked": device in membership.forked,
            "away": device in membership.away,
            "this": device == self.mesh.identity.device,
        }

    async def devices_rename(self, request: Request) -> dict[str, Any]:
        """Give a device another name, everywhere."""
        device = find_device(self.mesh, text(request, "device"))
        name = chosen_name(text(request, "name"))
        await self.mesh.write([ops.map_put(NAMES, peer_id(device), name)])
        return {"device": peer_id(device), "name": name}

    async def devices_revoke(self, request: Request) -> dict[str, Any]:
        """Put a device out; with ``preview`` only say what that would do, with ``with_enrolled`` also those it let in."""
        device = find_device(self.mesh, text(request, "device"))
        if device == self.mesh.identity.device:
            raise ControlError("this is the device you are on; `mycelnode leave` takes it out of the mesh")
        since = request.get("since_ms")
        if since is not None and type(since) is not int:
            raise ControlError("the field 'since_ms' is a time in Unix milliseconds")
        enrolled = self._enrolled_by(device)
        out = [device, *enrolled] if flag(request, "with_enrolled") else [device]
        heads = {d: head_before(self.mesh.replica, d, since) for d in out}
        if not flag(request, "preview"):
            info = {"reason": clean_name(text(request, "reason", "revoked"))}
            for subject, head in heads.items():
                await self._revoke(subject, head, info)
        return {
            "device": peer_id(device),
            "name": device_name(self.mesh, device),
            "revoked": [peer_id(d) for d in out] if not flag(request, "preview") else [],
            "enrolled": [{"device": peer_id(d), "name": device_name(self.mesh, d)} for d in enrolled],
            "head": heads[device].seq,
            "beyond": held_beyond(self.mesh.replica, device, heads[device]),
        }

    async def devices_away(self, request: Request) -> dict[str, Any]:
        """Let snapshots do without a device, by the word of the phrase: ``statement``, signed by the root, as hex.

        Without it only say which device is meant.
        """
        device = find_device(self.mesh, text(request, "device"))
        if device == self.mesh.identity.device:
            raise ControlError("this is the device you are on, so it is not away")
        if device not in self.mesh.replica.membership.members:
            raise ControlError(f"{device_name(self.mesh, device)} is no member, so nothing waits for it")
        if "statement" in request:
            await self._call_away(device, text(request, "statement"))
        return {"device": peer_id(device), "name": device_name(self.mesh, device), "mesh": self.mesh.id}

    async def _call_away(self, device: DeviceId, encoded: str) -> None:
        try:
            said = decode_statement(bytes.fromhex(encoded))
        except (EncodingError, ValueError) as error:
            raise ControlError("the field 'statement' is a statement as hex") from error
        if (said.kind, said.subject, said.author) != (AWAY, device, self.mesh.root):
            raise ControlError(
                "the statement does not say, by the recovery phrase of this mesh, that the device is away"
            )
        fields = {"device": peer_id(device), "by": "root"}
        await self.mesh.commit(
            lambda replica: replica.learn([said]),
            lambda connection: audit.record(connection, "device.away", fields, self.mesh.clock.wall()),
        )

    async def _revoke(self, subject: DeviceId, head: Head, info: Mapping[str, Any]) -> None:
        fields = {"device": peer_id(subject), "head": head.seq}
        await self.mesh.commit(
            lambda replica: replica.declare(REVOKE, subject, head, info, self.mesh.now()),
            lambda connection: audit.record(connection, "device.revoke", fields, self.mesh.clock.wall()),
        )

    def _enrolled_by(self, device: DeviceId) -> list[DeviceId]:
        """Devices that still are members through ``device``, and through those."""
        found: list[DeviceId] = []
        authors, members = {device}, self.mesh.replica.membership.members
        enrolled: Mapping[DeviceId, Statement] = self.mesh.replica.membership.enrolled
        while True:
            more = [
                d for d in all_devices(self.mesh) if d not in found and d in members and enrolled[d].author in authors
            ]
            if not more:
                return [d for d in found if d != self.mesh.identity.device]
            found += more
            authors.update(more)

    async def devices_rescue(self, request: Request) -> dict[str, Any]:
        """Re-issue what lies beyond a device's fence, or is held; with ``preview`` only show it."""
        device = find_device(self.mesh, text(request, "device"))
        found = rescuable(self.mesh.replica, device)
        shown = [
            {
                "seq": item.row.seq,
                "time": rfc3339(item.clock >> 16),
                "operations": [ops.describe(op) for op in item.operations],
            }
            for item in found
        ]
        rescued = 0 if flag(request, "preview") else await rescue(self.mesh, device, found)
        return {"device": peer_id(device), "name": device_name(self.mesh, device), "entries": shown, "rescued": rescued}

    # --- config --------------------------------------------------------------------------------------------------------

    async def config_get(self, request: Request) -> dict[str, Any]:
        """One setting: its value in force, where that comes from, and its scope."""
        return self.mesh.settings.explain(text(request, "key")).as_json()

    async def config_list(self, request: Request) -> dict[str, Any]:
        """All settings."""
        return {"settings": [setting.as_json() for setting in self.mesh.settings.all()]}

    async def config_set(self, request: Request) -> dict[str, Any]:
        """Set a value: in the mesh for a shared key, in config.toml for a device's own or with ``local``."""
        key, raw = text(request, "key"), request.get("value")
        settings = self.mesh.settings
        value = settings.parse(key, raw)
        if settings.scope(key) == "mesh" and not flag(request, "local"):
            await self.mesh.write([ops.map_put(CONFIG, key, value)])
            self.mesh.push_config()
        else:
            settings.set_local(key, value)
        return self._after(key, value)

    async def config_unset(self, request: Request) -> dict[str, Any]:
        """Take a value back, so that the next layer shows."""
        key = text(request, "key")
        settings = self.mesh.settings
        settings.parse_key(key)
        if settings.scope(key) == "mesh" and not flag(request, "local"):
            if key in self.mesh.replica.document.map(CONFIG):
                await self.mesh.write([ops.map_remove(CONFIG, key)])
                self.mesh.push_config()
        else:
            settings.unset_local(key)
        return self._explained(key)

    def _after(self, key: str, value: Any) -> dict[str, Any]:
        answer = self._explained(key)
        if answer["value"] != value:
            answer["hidden_by"] = answer["source"]
        return answer

    def _explained(self, key: str) -> dict[str, Any]:
        """A setting that has been changed, with what else counts by that."""
        settings = self.mesh.settings
        answer = settings.explain(key).as_json()
        if key == NETWORK:
            answer["of_network"] = [settings.explain(name).as_json() for name in OF_A_NETWORK]
        return answer

    # --- collections ---------------------------------------------------------------------------------------------------

    async def collection_list(self, request: Request) -> dict[str, Any]:
        """Names and types of the shared collections."""
        return {"collections": [{"name": name, "type": kind} for name, kind in self.mesh.replica.document.names()]}

    async def collection_get(self, request: Request) -> dict[str, Any]:
        """The value of one collection, as plain JSON (bytes as hex)."""
        name, kind = text(request, "name"), text(request, "kind", "map")
        return {"name": name, "kind": kind, "value": ops.plain(self.mesh.replica.document, name, kind)}

    async def collection_apply(self, request: Request) -> dict[str, Any]:
        """Operations ``[[verb, name, …], …]`` as one transaction: put, delete, add, remove, count, set, append, assign."""
        operations = request.get("operations")
        if not isinstance(operations, Sequence) or isinstance(operations, str) or not operations:
            raise ControlError("the request needs a list of operations")
        for operation in operations:
            if isinstance(operation, list | tuple) and len(operation) > 1 and isinstance(operation[1], str):
                check_name(operation[1])
        built = [ops.from_verb(self.mesh.replica.document, operation) for operation in operations]
        head = await self.mesh.write([operation for operation in built if operation is not None])
        return {"seq": head.seq}

    async def mesh_digest(self, request: Request) -> dict[str, Any]:
        """How far this device is, in a form that devices in step answer alike: document digest, entries counted, members."""
        replica = self.mesh.replica
        return {
            "digest": replica.document.digest().hex(),
            "applied": {peer_id(device): seq for device, seq in sorted(replica.document.applied.items())},
            "members": sorted(peer_id(device) for device in replica.membership.members),
        }

    # --- audit ---------------------------------------------------------------------------------------------------------

    async def audit_verify(self, request: Request) -> dict[str, Any]:
        """Recompute the whole audit chain, and compare it with what the mesh remembers of it."""
        report = await self.mesh.database.scan(partial(audit.verify, anchors=await anchors(self.mesh)))
        answer = {"ok": report.ok, "events": report.events, "head": report.head.hex()}
        return answer if report.ok else {**answer, "broken_at": report.broken_at, "reason": report.reason}

    async def audit_tail(self, request: Request) -> dict[str, Any]:
        """The last events."""
        count = request.get("count", 20)
        if type(count) is not int or not 1 <= count <= 1000:
            raise ControlError("the field 'count' is a number from 1 to 1000")
        return {"events": [event.as_json() for event in self.mesh.database.look(partial(audit.tail, count=count))]}


def device_key(reference: str) -> DeviceId:
    """The key in a peer id; `DeviceUnknown` if it is not one."""
    try:
        return key_of_peer(reference)
    except EncodingError as error:
        raise DeviceUnknown(f"{reference!r} is not a peer id") from error


__all__ = ["ADDRESSES", "CONFIG", "NAMES", "ConfigError", "MeshCommands", "all_devices", "device_name", "find_device"]
