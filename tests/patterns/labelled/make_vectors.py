"""``python -m tests.patterns.labelled.make_vectors``: embed the labelled set with MiniLM, if that is installed, into minilm.npz."""

from __future__ import annotations

import numpy as np

from mycelnode.adapters.minilm import INSTALL, MiniLm, find
from tests.patterns.labelled.reading import VECTORS, texts

if __name__ == "__main__":
    folder = find()
    if folder is None:
        raise SystemExit(f"MiniLM is not installed: {INSTALL}")
    np.savez_compressed(VECTORS, vectors=MiniLm.load(folder).embed(texts()).astype(np.float16))
    print(f"{VECTORS.name}: {VECTORS.stat().st_size:,} bytes")
