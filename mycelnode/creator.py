"""The person's creator key: one for all devices, made at the first publish, which signs patterns and says nothing of any device.

Its seed is in the mesh, sealed to each member, and to the recovery phrase, so that a person who has lost every device is still the
same creator. Once a device that had it is put out, the next publish makes a new one, which the former one names as its successor.
"""

from __future__ import annotations

import secrets
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Any, Final

from mycelnode.crdt import operations as ops
from mycelnode.crdt.changelog import DeviceId
from mycelnode.encoding import peer_id
from mycelnode.errors import CreatorKeyMissing, EncodingError
from mycelnode.identity import KEY_BYTES, SEED_BYTES, KeyPair, RootKey, seal
from mycelnode.mesh import Mesh
from mycelnode.patterns.manifest import MAX_SUCCESSIONS, SIGNATURE_BYTES, Succession

CREATOR: Final = "mycel.creator"  # a register: the public key in use
CREATORS: Final = "mycel.creators"  # "<public key, hex>/<whose copy>" → the seed, sealed; see also `_SUCCEEDS`

_ROOT: Final = "root"  # whose copy the recovery phrase opens
_SUCCEEDS: Final = "succeeds"  # "<public key, hex>/succeeds" → [the key before it, its signature]


class Creator(KeyPair):
    """The key pair, and the word of those that it had before."""

    def __init__(self, seed: bytes, succeeds: tuple[Succession, ...] = ()) -> None:
        super().__init__(seed)
        self.seed, self.succeeds = seed, succeeds


def current(mesh: Mesh) -> Creator | None:
    """The key in use, if it has come to this device."""
    named = _named(mesh)
    seed = None if named is None else _open(mesh, named, mesh.device, mesh.identity)
    return None if named is None or seed is None else Creator(seed, _successions(_shared(mesh), named))


def ours(mesh: Mesh) -> set[bytes]:
    """The public keys in use now and before."""
    found = set()
    for key in _shared(mesh):
        with suppress(ValueError):
            found.add(bytes.fromhex(key.partition("/")[0]))
    return found


def standing(mesh: Mesh, *, anew: bool = False) -> Creator | None:
    """The key in use, if the next pattern is signed with it; None if that makes one: the first, or in the place of the one in use.

    With ``anew`` it does; and it does once a device that had the key was put out.

    Raises `CreatorKeyMissing` while only other devices have it.
    """
    named, found = _named(mesh), current(mesh)
    holders = set() if named is None else _holders(_shared(mesh), named)
    membership = mesh.replica.membership
    if anew or (found is not None and holders & {peer_id(device) for device in membership.revoked}):
        return None
    if found is None and holders & {peer_id(device) for device in membership.members} - {mesh.device}:
        raise CreatorKeyMissing
    return found


async def obtain(mesh: Mesh, *, anew: bool = False) -> Creator:
    """The key that signs, made if it is not `standing`. On disk when this returns.

    Raises `CreatorKeyMissing` while only other devices have it, and what `Mesh.write` raises.
    """
    return standing(mesh, anew=anew) or await _make(mesh, current(mesh))


async def share(mesh: Mesh) -> bool:
    """Seal the key to members that have no copy yet; was there one? Raises what `Mesh.write` raises."""
    found = current(mesh)
    if found is None:
        return False
    given = _holders(_shared(mesh), found.public)
    puts = _copies(mesh, found, without=given)
    if puts:
        await mesh.write(puts)
    return bool(puts)


def to_share(mesh: Mesh) -> bool:
    """Has `share` anything to do?"""
    named = _named(mesh)
    return named is not None and not _recipients(mesh).keys() <= _holders(_shared(mesh), named)


async def recover(mesh: Mesh, root: RootKey) -> None:
    """Take the key in use from the copy that the phrase opens. Raises what `Mesh.write` raises."""
    named = _named(mesh)
    if named is None or current(mesh) is not None:
        return
    seed = _open(mesh, named, _ROOT, root)
    if seed is not None:
        await mesh.write([ops.map_put(CREATORS, f"{named.hex()}/{mesh.device}", seal(mesh.identity.device, seed))])


async def _make(mesh: Mesh, former: Creator | None) -> Creator:
    seed = secrets.token_bytes(SEED_BYTES)
    made = Creator(seed)
    operations = [ops.register_set(CREATOR, made.public), *_copies(mesh, made)]
    if former is not None:
        word = Succession.sign(former.public, former.sign, made.public)
        operations.append(ops.map_put(CREATORS, f"{made.public.hex()}/{_SUCCEEDS}", [former.public, word.signature]))
        made.succeeds = (word, *former.succeeds)[:MAX_SUCCESSIONS]
    await mesh.write(operations)
    return made


def _shared(mesh: Mesh) -> Mapping[str, Any]:
    return mesh.replica.document.map(CREATORS)


def _named(mesh: Mesh) -> bytes | None:
    """The public key in use. A member can write anything there."""
    value = mesh.replica.document.register(CREATOR).get(None)
    return value if type(value) is bytes and len(value) == KEY_BYTES else None


def _holders(shared: Mapping[str, Any], public: bytes) -> set[str]:
    """Who has a copy: peer ids, and "root"."""
    prefix = f"{public.hex()}/"
    return {key.removeprefix(prefix) for key in shared if key.startswith(prefix)} - {_SUCCEEDS}


def _recipients(mesh: Mesh) -> Mapping[str, DeviceId]:
    """To whom it is sealed: everybody who belongs here, and the phrase."""
    return {_ROOT: mesh.root, **{peer_id(device): device for device in mesh.replica.membership.members}}


def _copies(mesh: Mesh, creator: Creator, without: Container[str] = ()) -> list[ops.Operation]:
    """What puts the copies for all but those who have one."""
    copies = []
    for whose, key in _recipients(mesh).items():
        if whose not in without:
            with suppress(EncodingError):  # a key that some member let in, and that is none
                copies.append(ops.map_put(CREATORS, f"{creator.public.hex()}/{whose}", seal(key, creator.seed)))
    return copies


def _open(mesh: Mesh, public: bytes, whose: str, key: KeyPair) -> bytes | None:
    """The seed from a copy, if it is that of ``public``."""
    sealed = _shared(mesh).get(f"{public.hex()}/{whose}")
    seed = key.unseal(sealed) if type(sealed) is bytes else None
    return seed if seed is not None and len(seed) == SEED_BYTES and KeyPair(seed).public == public else None


def _successions(shared: Mapping[str, Any], public: bytes) -> tuple[Succession, ...]:
    """The chain of former keys, as far as it holds."""
    chain: list[Succession] = []
    while len(chain) < MAX_SUCCESSIONS:
        match shared.get(f"{public.hex()}/{_SUCCEEDS}"):
            case [bytes() as former, bytes() as signature] if (
                len(former) == KEY_BYTES and len(signature) == SIGNATURE_BYTES
            ):
                word = Succession(former, signature)
            case _:
                break
        if not word.names(public):
            break
        chain.append(word)
        public = former
    return tuple(chain)


__all__ = ["CREATOR", "CREATORS", "Creator", "current", "obtain", "ours", "recover", "share", "standing", "to_share"]
