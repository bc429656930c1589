"""Which manifests this node tells others of, by their digests: what it knows and may pass on. A `ports.DigestSet`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mycelnode.patterns.cid import DAG_CBOR, Cid


class Catalogued:
    """Changes in the event loop's thread alone."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self.listeners: list[Callable[[bytes, bool], None]] = []

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def digests(self) -> Iterable[bytes]:
        """All of them, in any order."""
        return self._digests

    def put(self, cids: Iterable[Cid]) -> None:
        """These are known, and public."""
        for cid in cids:
            if cid.codec == DAG_CBOR and cid.digest not in self._digests:
                self._digests.add(cid.digest)
                self._tell(cid.digest, True)

    def drop(self, cids: Iterable[Cid]) -> None:
        """These are known no more."""
        for cid in cids:
            if cid.digest in self._digests:
                self._digests.discard(cid.digest)
                self._tell(cid.digest, False)

    def _tell(self, digest: bytes, held: bool) -> None:
        for listener in list(self.listeners):
            listener(digest, held)
