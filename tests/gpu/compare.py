#!/usr/bin/python3
"""What two devices made of the same, for tests/gpu/run.sh.

Usage:  compare.py scores BOUND A/scores.csv B/scores.csv      the scores of every image differ by at most BOUND of A's
        compare.py auroc BOUND A/eval.json B/eval.json         B's AUROC is less than A's by at most BOUND

Prints one line with the largest difference. Exit status: 0 when it is within the bound (a NaN is not), 1 when not.
"""

import csv
import json
import sys


def read_scores(path):
    """{path of an image: its score}, of images that have one."""
    with open(path, encoding="utf-8", newline="") as file:
        return {row["path"]: float(row["score"]) for row in csv.DictReader(file) if row["score"]}


def compare_scores(a, b):
    a, b = read_scores(a), read_scores(b)
    if not a or a.keys() != b.keys():
        return float("nan"), f"other images, or none: {len(a)} and {len(b)}"
    # With `max` a NaN could be passed over.
    apart = sorted((abs(a[path] - b[path]) / abs(a[path]) for path in a), key=lambda x: (x != x, x))[-1]
    return apart, f"{len(a)} scores, at most {apart:.2e} of the first apart"


def find_auroc(path):
    with open(path, encoding="utf-8") as file:
        answer = json.load(file)
    rows = [answer] + [row for value in answer.values() for row in (value if isinstance(value, list) else [value])
                       if isinstance(row, dict)]
    return next(row["auroc"] for row in rows if row.get("auroc") is not None)


def compare_auroc(a, b):
    a, b = find_auroc(a), find_auroc(b)
    return a - b, f"AUROC {a:.4f} and {b:.4f}"


def main():
    ways = {"scores": compare_scores, "auroc": compare_auroc}
    if len(sys.argv) != 5 or sys.argv[1] not in ways:
        sys.exit(__doc__)
    apart, what = ways[sys.argv[1]](sys.argv[3], sys.argv[4])
    within = apart <= float(sys.argv[2])
    print(f"{what}, bound {sys.argv[2]}: {'within' if within else 'NOT WITHIN'}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
