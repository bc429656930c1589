"""Exact discrete Laplace noise by OpenDP, as it is added to counts and thresholded. Argument: how many counts."""

from __future__ import annotations

import json
import sys
from time import perf_counter

import opendp.prelude as dp

SINGLE = 2_000  # draws one by one, each a call


def main(count: int) -> None:
    """The program."""
    dp.enable_features("contrib")
    single = dp.m.make_laplace(dp.atom_domain(T=int), dp.absolute_distance(T=int), scale=1.0)
    space = dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T=int)), dp.l01inf_distance(dp.absolute_distance(T=int))
    releasing = dp.m.make_laplace_threshold(*space, scale=1.0, threshold=15)
    counts = {f"{number:08}": 1 + number % 25 for number in range(count)}
    started = perf_counter()
    for _ in range(SINGLE):
        single(0)
    between = perf_counter()
    releasing(counts)
    ended = perf_counter()
    print(json.dumps({"draw_us": 1e6 * (between - started) / SINGLE, "decisions_per_s": count / (ended - between)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
