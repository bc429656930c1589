"""A secret that all devices of a person share and nobody else has: what tombstones are made with.

Each member has a copy in the mesh that only it can open, and so has the recovery phrase. Two devices that have not met yet may each
make one: then both count, what is new is made under that with the least id, and what is looked for is looked for under each.
"""

from __future__ import annotations

import secrets
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Any, Final

from mycelnode.crdt import operations as ops
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import blake2b, peer_id
from mycelnode.errors import EncodingError, MeshSecretMissing
from mycelnode.identity import KeyPair, RootKey, seal
from mycelnode.mesh import Mesh
from mycelnode.privacy.interactions import SECRET_BYTES

SECRETS: Final = "mycel.secrets"  # "<id, hex>/<whose copy>" → the secret, sealed
ID_BYTES: Final = 8
MAX_SECRETS: Final = 8  # a member can write any number; every turn is looked for under each

_ROOT: Final = "root"  # whose copy the recovery phrase opens


def known(mesh: Mesh) -> list[bytes]:
    """The secrets that this device can open, that in use first; none before `obtain`."""
    return _opened(mesh, mesh.device, mesh.identity)


async def obtain(mesh: Mesh) -> list[bytes]:
    """As `known`, one being made if nobody has any. On disk when this returns.

    Raises `MeshSecretMissing` while only other devices have it: what they counted would look new to us under another one. And what
    `Mesh.write` raises.
    """
    found = known(mesh)
    if not found:
        others = {peer_id(device) for device in mesh.replica.membership.members} - {mesh.device}
        if others & {name.partition("/")[2] for name in _shared(mesh)}:
            raise MeshSecretMissing
        await mesh.write(_copies(mesh, secrets.token_bytes(SECRET_BYTES)))
        found = known(mesh)
    return found


def to_share(mesh: Mesh) -> bool:
    """Has `share` anything to do?"""
    shared = _shared(mesh)
    return any(not _recipients(mesh).keys() <= _holders(shared, _id(secret)) for secret in known(mesh))


async def share(mesh: Mesh) -> None:
    """Seal what this device has to members that have no copy yet. Raises what `Mesh.write` raises."""
    shared = _shared(mesh)
    puts = [put for secret in known(mesh) for put in _copies(mesh, secret, without=_holders(shared, _id(secret)))]
    if puts:
        await mesh.write(puts)


async def recover(mesh: Mesh, root: RootKey) -> None:
    """Take from the copies that the phrase opens what this device has not. Raises what `Mesh.write` raises."""
    had = set(known(mesh))
    puts = [
        ops.map_put(SECRETS, f"{_id(secret)}/{mesh.device}", seal(mesh.identity.device, secret))
        for secret in _opened(mesh, _ROOT, root)
        if secret not in had
    ]
    if puts:
        await mesh.write(puts)


def _id(secret: bytes) -> str:
    return blake2b(b"mycel-secret" + secret, ID_BYTES).hex()


def _shared(mesh: Mesh) -> Mapping[str, Any]:
    return mesh.replica.document.map(SECRETS)


def _opened(mesh: Mesh, whose: str, key: KeyPair) -> list[bytes]:
    """What ``key`` opens; a member can write anything there."""
    found = []
    for name, sealed in sorted(_shared(mesh).items()):
        named, _, holder = name.partition("/")
        if holder == whose and type(sealed) is bytes:
            secret = key.unseal(sealed)
            if secret is not None and len(secret) == SECRET_BYTES and _id(secret) == named:
                found.append(secret)
    return found[:MAX_SECRETS]


def _holders(shared: Mapping[str, Any], named: str) -> set[str]:
    return {key.removeprefix(f"{named}/") for key in shared if key.startswith(f"{named}/")}


def _recipients(mesh: Mesh) -> Mapping[str, DeviceId]:
    return {_ROOT: mesh.root, **{peer_id(device): device for device in mesh.replica.membership.members}}


def _copies(mesh: Mesh, secret: bytes, without: Container[str] = ()) -> list[ops.Operation]:
    copies = []
    for whose, key in _recipients(mesh).items():
        if whose not in without:
            with suppress(EncodingError):  # a key that some member let in, and that is none
                copies.append(ops.map_put(SECRETS, f"{_id(secret)}/{whose}", seal(key, secret)))
    return copies
