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
                chance = rng.random()
                if chance < 0.4:
                    store.pin(root)
                    roots = [root]
                elif chance < 0.7:
                    others = [write_file([rng.randbytes(2000)], adding.put, part_bytes=1000).cid for _ in range(4)]
                    roots = [root, *others]
                    store.pin_many(roots)
                else:
                    continue
                pinned += roots
                for each in roots:
                    say(f"pinned {each}")
        except StoreFull:
            gone = rng.sample(pinned, len(pinned) // 2)
            for cid in gone:
                say(f"unpin {cid}")
                pinned.remove(cid)
            store.unpin_many(gone)
            store.collect()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
