#!/usr/bin/env python3
"""Farthest point sampling of point clouds by PyPI's fpsample and torch-fps.

Usage:  peer_fps.py POINTS.f32 DIM K TIMED PICKS.u64

fpsample: bucket_fps_kdline_sampling with heights 5, 7, 9, 11 and bucket_fps_kdtree_sampling make all K picks on their one thread;
the vanilla fps_sampling TIMED of them, scaled. torch-fps: its C++ kernel on two threads, TIMED picks, scaled.
PICKS.u64 takes the picks of the fastest bucket form: the bucket forms look `start_idx` up only after they have sorted the points,
so that the first pick is another one than asked for, and whoever compares has to begin there. Prints one JSON line a row, ok when
the picks are distinct. Needs numpy, fpsample, torch and torch-fps.
"""

import json
import os
import sys
import time
import warnings

import fpsample
import numpy
import torch

HEIGHTS = (5, 7, 9, 11)


def row(program, how, threads, points, k, count, seconds, processor, picks):
    print(json.dumps({
        "bench": "coreset", "part": "3d", "program": program, "how": how, "load_average": round(os.getloadavg()[0], 2),
        "ranks": 1, "threads": threads, "n": len(points), "dim": points.shape[1], "k": k, "timed_picks": count,
        "seconds": round(seconds * k / count, 3), "cpu_seconds": round(processor * k / count, 3), "scaled": count != k,
        "first": int(picks[0]), "ok": len(set(picks.tolist())) == count}), flush=True)


def measure(program, how, threads, points, k, count, call):
    best = None
    for _ in range(3 if count == k else 1):
        wall, processor = time.perf_counter(), time.process_time()
        picks = call()
        times = time.perf_counter() - wall, time.process_time() - processor
        best = times if best is None or times < best else best
    picks = numpy.asarray(picks).astype(numpy.uint64).reshape(-1)
    row(program, how, threads, points, k, count, *best, picks)
    return best[0], picks


def torch_fps(points, k, timed):
    from torch_fps import farthest_point_sampling
    torch.set_num_threads(2)
    cloud, start = torch.from_numpy(points)[None], torch.zeros(1, dtype=torch.long)
    mask = torch.ones(cloud.shape[:2], dtype=torch.bool)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        farthest_point_sampling(cloud, mask, 2, start_idx=start)
    how = "pure torch (its C++ kernel does not build here)" if caught else "C++ kernel"
    measure("torch-fps", how, 2, points, k, timed, lambda: farthest_point_sampling(cloud, mask, timed, start_idx=start).numpy())


def main():
    path, dim, k, timed = sys.argv[1], *map(int, sys.argv[2:5])
    points = numpy.fromfile(path, numpy.float32).reshape(-1, dim)
    forms = {f"bucket kdline, h={height}": lambda height=height: fpsample.bucket_fps_kdline_sampling(points, k, height, 0)
             for height in HEIGHTS}
    forms["bucket kdtree"] = lambda: fpsample.bucket_fps_kdtree_sampling(points, k, start_idx=0)
    fastest = min((measure("fpsample", how, 1, points, k, k, call) for how, call in forms.items()), key=lambda found: found[0])
    fastest[1].tofile(sys.argv[5])
    measure("fpsample", "vanilla", 1, points, k, timed, lambda: fpsample.fps_sampling(points, timed, start_idx=0))
    torch_fps(points, k, timed)


if __name__ == "__main__":
    main()
