#!/usr/bin/python3
"""Greedy selection as the Python packages for PatchCore run it: a torch loop with one pass over all points per pick.

Usage:  peer_torch.py POINTS.f32 DIM K TIMED THREADS [PICKS.u64]

Three ways to write the pass:
  norm      torch.linalg.norm(points - pick), then minimum, then argmax: what anomalib's KCenterGreedy does today (own words)
  pairwise  torch.nn.functional.pairwise_distance instead, which older versions used
  matvec    |x|^2 - 2 x.c + |c|^2 with a matrix-vector product: the fastest that we found in torch; no package uses it, and
            its cancellation can change picks
TIMED of the K picks are made, after two untimed ones, and the seconds are scaled to K; TIMED 0: all of them, with `norm` alone.
Every row says how many of its picks equal those of PICKS.u64 before the first other one. Prints one JSON line a row. Point 0
is the first pick. Needs Debian's python3-torch.
"""

import json
import os
import sys
import time

import numpy
import torch


def norm(points, pick, _):
    return torch.linalg.norm(points - points[pick:pick + 1], ord=2, dim=1, keepdim=True)


def pairwise(points, pick, _):
    return torch.nn.functional.pairwise_distance(points, points[pick:pick + 1], p=2).reshape(-1, 1)


def matvec(points, pick, squares):
    return (squares + squares[pick] - 2 * (points @ points[pick])).reshape(-1, 1)


def select(points, distance_of, count):
    squares = (points * points).sum(1)
    least, pick, picks = None, 0, []
    for _ in range(count):
        picks.append(pick)
        distance = distance_of(points, pick, squares)
        least = distance if least is None else torch.minimum(least, distance)
        least[pick] = 0
        pick = int(torch.argmax(least))
    return picks, float(least.max())


def equal_before_other(picks, expected):
    equal = 0
    while equal < min(len(picks), len(expected)) and picks[equal] == expected[equal]:
        equal += 1
    return equal


def main():
    path, dim, k, timed, threads = sys.argv[1], *map(int, sys.argv[2:6])
    torch.set_num_threads(threads)
    points = torch.from_numpy(numpy.fromfile(path, numpy.float32).reshape(-1, dim))
    expected = numpy.fromfile(sys.argv[6], numpy.uint64).tolist() if len(sys.argv) > 6 else []
    for distance_of in (norm, pairwise, matvec) if timed else (norm,):
        count = timed or k
        select(points, distance_of, 2)
        wall, processor = time.perf_counter(), time.process_time()
        picks, radius = select(points, distance_of, count)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        equal = equal_before_other(picks, expected)
        print(json.dumps({
            "bench": "coreset", "part": "peer", "program": "torch", "how": distance_of.__name__, "version": torch.__version__,
            "load_average": round(os.getloadavg()[0], 2), "ranks": 1, "threads": threads,
            "n": len(points), "dim": dim, "k": k, "timed_picks": count, "seconds": round(wall * k / count, 3),
            "cpu_seconds": round(processor * k / count, 3), "scaled": count != k,
            "radius": radius ** 0.5 if distance_of is matvec else radius,
            "compared": min(count, len(expected)), "equal_before_first_other": equal,
            "in_common": len(set(picks) & set(expected[:count])),
            "ok": distance_of is matvec or not timed or equal == min(count, len(expected))}), flush=True)


if __name__ == "__main__":
    main()
