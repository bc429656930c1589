"""``python -m benchmarks.catalogue``: the rows of catalogue sync alone, with the options of ``python -m benchmarks``."""

from __future__ import annotations

import sys

from benchmarks.__main__ import main

if __name__ == "__main__":
    main(["--only", "catalogue", *sys.argv[1:]])
