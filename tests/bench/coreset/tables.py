#!/usr/bin/python3
"""The rows of run.sh as Markdown tables for docs/PERFORMANCE.md.

Usage:  tables.py FOLDER     with exact.jsonl, peers.jsonl, ranks.jsonl, growth.jsonl, cloud.jsonl, ways.jsonl, or some of them

Rows of the same kind are medians over the rounds of a run. Ratios are how many times faster `greedy` on the same two cores is.
Exit status 1 when a row is not ok.
"""

import json
import os
import statistics
import sys

GREEDY = ("patchbank", "greedy")
COLUMNS = ("seconds", "cpu_seconds")


def read(folder, name):
    path = os.path.join(folder, name + ".jsonl")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def grouped(rows, *names):
    """{values of names: {column: median}}, in the order of the rows."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return {key: {column: statistics.median(row[column] for row in group) for column in COLUMNS} | {"row": group[0]}
            for key, group in groups.items()}


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def compared(row):
    return f"{row['compared'] - row['differs']:,} of {row['compared']:,}" if row.get("compared") else ""


def cores(row):
    return f"{row['ranks']} x {row['threads']}"


def table(title, header, lines):
    print(f"\n{title}\n\n| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for line in lines:
        print("| " + " | ".join(str(cell) for cell in line) + " |")


def exact(rows):
    ours = [row for row in rows if row["program"] == "patchbank"]
    table("Exactness, 235,200 points of 128 dims",
          ("way", "ranks x threads", "picks", "equal to the first row", "every pick proved", "radius", "wall s", "CPU s"),
          [(row["how"], cores(row), f"{row['timed_picks']:,}", compared(row) or "is it",
            {None: "", True: "yes", False: "NO"}[row["certified"]], f"{row['radius']:.7g}", number(row["seconds"]),
            number(row["cpu_seconds"])) for row in ours])
    oracles(rows)


def oracles(rows):
    for row in (row for row in rows if row["program"] == "oracle"):
        print(f"\nDouble-precision oracle on {row['of']}: {row['equal']:,} of {row['picks_followed']:,} picks are the farthest "
              f"point, {row['equal_before_first_other']:,} before the first other one; the {row['others']} others are "
              f"{row['widest_gap']:.2g} apart at most (near tie: {row['near_tie_bound']:.2g}), "
              f"{row['wider_than_near_ties']} wider.")


def peers(rows):
    groups = grouped(rows, "k", "program", "how", "ranks", "threads", "scaled")
    torch = {key: group for key, group in groups.items() if key[1] == "torch" and key[-1]}
    lines = []
    for k in sorted({key[0] for key in groups}):
        ours = [group for key, group in groups.items() if key[:3] == (k, *GREEDY)]
        wall, processor = (min(group[column] for group in ours) for column in COLUMNS)
        found = {key: dict(group) for key, group in groups.items() if key[0] == k}
        steps = {key: group for key, group in groups.items() if key[2] == "greedy-step" and key[-1]}
        for key, group in (torch | steps).items():   # a pass costs the same whatever k is
            found.setdefault((k, *key[1:]), group | {column: group[column] * k / key[0] for column in COLUMNS})
        for key, group in found.items():
            own = key[1:3] == GREEDY
            lines.append((f"{k:,}", " ".join(key[1:3]), cores(group["row"]), "yes" if key[-1] else "", number(group["seconds"]),
                          number(group["cpu_seconds"]), "" if own else number(group["seconds"] / wall),
                          "" if own else number(group["cpu_seconds"] / processor)))
    table("Beside the loops, 235,200 points of 128 dims",
          ("picks", "program", "ranks x threads", "scaled", "wall s", "CPU s", "times, wall", "times, CPU"), lines)


def ranks(rows):
    table("Messages and memory, 1,000,000 points of 128 dims, 1 %",
          ("ranks", "rounds", "collectives", "MB given by a rank, at most", "MB given by all", "memory a rank / its points",
           "wall s", "CPU s, all ranks", "same picks"),
          [(row["ranks"], row["rounds"], row["collectives"], f"{row['sent_bytes_most'] / 1e6:.1f}",
            f"{row['sent_bytes_all'] / 1e6:.1f}", row["memory_ratio"], number(row["seconds"]), number(row["cpu_seconds"]),
            "proved" if row["certified"] else compared(row)) for row in rows])


def growth(rows):
    loops = {(row["part"], row["n"], row["k"]): row for row in rows if row["how"] == "greedy-step"}

    def lines(part):
        for row in rows:
            if row["part"] == part and row["how"] == "greedy":
                loop = loops.get((part, row["n"], row["k"]))
                yield (f"{row['n']:,}", f"{row['k']:,}", row["rounds"], row["collectives"], number(row["seconds_best"]),
                       number(row["cpu_seconds"]), number(loop["cpu_seconds"]) if loop else "",
                       number(loop["cpu_seconds"] / row["cpu_seconds"]) if loop else "", row["memory_ratio"],
                       "proved" if row["certified"] else compared(row))

    header = ("points", "picks", "rounds", "collectives", "wall s, best", "CPU s", "textbook loop, CPU s, scaled", "times",
              "memory / points", "same picks")
    for part, title in (("growth-n", "Growth with the points, 1 %"), ("growth-n-same-k", "Growth with the points, 2,000 picks"),
                        ("growth-k", "Growth with the picks")):
        table(title + " (1 rank, 2 threads)", header, lines(part))


def cloud(rows):
    table("A million points in three dimensions, 10,000 picks",
          ("program", "ranks x threads", "scaled", "wall s", "CPU s", "equal to fpsample's picks"),
          [(f"{row['program']} {row['how']}", cores(row), "yes" if row["scaled"] else "", number(row["seconds"]),
            number(row["cpu_seconds"]), compared(row)) for row in rows if row["program"] != "oracle"])
    oracles(rows)


def ways(rows):
    exact_radius = next((row["radius"] for row in rows if row["how"] == "greedy"), None)
    table("Covering radius of 2,352 of 235,200 patches", ("way", "radius", "of the exact one's", "bound in the bank"),
          [(row["how"], f"{row['radius']:.5g}", f"{row['radius'] / exact_radius:.2f}" if exact_radius else "",
            f"{row['radius_in_bank']:.5g}" if "radius_in_bank" in row else "") for row in rows])


def main():
    sound = True
    for show in (exact, peers, ranks, growth, cloud, ways):
        rows = read(sys.argv[1], show.__name__)
        if rows:
            show(rows)
        sound = sound and all(row["ok"] for row in rows)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
