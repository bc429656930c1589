"""Releases over all devices of a person: the machine of `mycelnode.protocols.release` on a data folder."""
