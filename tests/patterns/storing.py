"""A process that keeps files in a small store until it is killed, and says what it was promised.

Run with a folder and a seed. Its lines are "pinned CID" once a pin returned, and "unpin CID" before one is let go.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from mycelnode.errors import StoreFull
from mycelnode.patterns.blockstore import Blockstore
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.unixfs import write_file

QUOTA = 4096 * 120


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    store = Blockstore(folder, QUOTA)
    pinned: list[Cid] = sorted(store.pins())
    say("ready")
    while True:
        try:
            with store.adding() as adding:
                data = rng.randbytes(rng.randrange(20_000))
                root = write_file([data], adding.put, part_bytes=1000, node_links=4).cid
                if rng.random() < 0.7:
                    store.pin(root)
                    pinned.append(root)
                    say(f"pinned {root}")
        except StoreFull:
            for cid in rng.sample(pinned, len(pinned) // 2):
                say(f"unpin {cid}")
                store.unpin(cid)
                pinned.remove(cid)
            store.collect()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
