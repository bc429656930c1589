"""The network room: libp2p and trio, behind guards. Nothing is decided here; see `mycelnode.protocols`."""
