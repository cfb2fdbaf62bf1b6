#!/usr/bin/python3
"""Lists for a scaling run, and its table and plot, with the standard library alone.

Usage:  scaling.py list LIST N OUTPUT     the first N training images of a CSV list, with absolute paths
        scaling.py plot FOLDER            FOLDER has a folder MODE-nodes-N-ranks-R for each point (slurm/scaling.sbatch)

plot writes FOLDER/scaling.csv (a row a point; medians over the repeats of the seconds that rank 0 logged) and FOLDER/scaling.svg:
speed-up of strong scaling, and how much of the rate per rank weak scaling keeps, both against the point of the same mode with the
fewest ranks. Seconds are those of the stages: extraction, selection, scoring; not those of starting ranks. A point whose
ranks together have more threads than their machines have cores is oversubscribed: its figures say little, and it is drawn hollow.
The same input gives the same bytes.

Exit status: 0 done; 64 wrong usage; 65 a file is not as expected; 74 cannot write. Failures are one line on standard error.
"""

import csv
import glob
import html
import io
import os
import re
import statistics
import sys
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, TOP, PANEL, GAP = 920, 440, 60, 80, 380, 80
DEEP = 280      # height of a panel
COLOURS = {"extract": "#1965b0", "select": "#b8442a", "score": "#2e7d41"}
EVENTS = {"extract": ("train", "extracted"), "select": ("train", "selected"), "score": ("score", "scored")}


class BadInput(Exception):
    """What was given is unusable; the text is the one line that the user sees."""


class Point(NamedTuple):
    """A row of scaling.csv; seconds are medians."""
    mode: str
    nodes: int
    ranks: int
    images: int
    repeats: int
    oversubscribed: str
    extract_seconds: float
    select_seconds: float
    score_seconds: float


def write(path, text):
    with open(path + ".part", "w", newline="", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".part", path)


# ---------------------------------------------------------------------------------------- lists


def cut_list(path, count, output):
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row.get("split") == "train"]
    if len(rows) < count:
        raise BadInput(f"{path}: has {len(rows)} training images, {count} are needed; take fewer (SCALING_IMAGES, SCALING_NODES)")
    folder, buffer = os.path.dirname(os.path.abspath(path)), io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["path", "split", "label"])
    writer.writerows([os.path.join(folder, row["path"]), "train", row["label"]] for row in rows[:count])
    write(output, buffer.getvalue())


# ---------------------------------------------------------------------------------------- points


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def logged(text, event, key, path):
    """The number that the event has under this key."""
    found = re.search(rf"\bevent={event} .*?\b{key}=([0-9.]+)", text)
    if not found:
        raise BadInput(f"{path}: has no event={event} with {key}")
    return float(found.group(1))


def is_oversubscribed(path):
    """Of the lines "core MACHINE CORES THREADS", one a rank."""
    lines = re.findall(r"^core (\S+) (\d+) (\d+)$", read(path), flags=re.MULTILINE)
    if not lines:
        raise BadInput(f"{path}: names no machine")
    cores = {machine: int(count) for machine, count, _ in lines}
    return any(sum(int(threads) for name, _, threads in lines if name == machine) > count for machine, count in cores.items())


def read_point(folder):
    """The point of a folder, None when it has no repeat that is done."""
    mode, nodes, ranks = re.fullmatch(r"(strong|weak)-nodes-(\d+)-ranks-(\d+)", os.path.basename(folder)).groups()
    repeats = len(glob.glob(os.path.join(folder, "score-*.log")))
    if repeats == 0:
        return None
    seconds, images = {}, 0
    for stage, (job, event) in EVENTS.items():
        paths = [os.path.join(folder, f"{job}-{repeat}.log") for repeat in range(1, repeats + 1)]
        seconds[stage] = statistics.median(logged(read(path), event, "seconds", path) for path in paths)
        images = int(logged(read(paths[0]), event, "images", paths[0])) if stage == "extract" else images
    return Point(mode, int(nodes), int(ranks), images, repeats,
                 "yes" if is_oversubscribed(os.path.join(folder, "cores.log")) else "no",
                 seconds["extract"], seconds["select"], seconds["score"])


def read_points(folder):
    points = [read_point(path) for mode in ("strong", "weak") for path in glob.glob(os.path.join(folder, f"{mode}-nodes-*"))]
    points = sorted(point for point in points if point)
    if not points:
        raise BadInput(f"{folder}: no point is done; scaling.sh measures them")
    return points


def gain(point, base, stage):
    """Strong: how many times as fast as the base. Weak: its seconds as a share of the point's, 1 where nothing is lost."""
    seconds, base_seconds = getattr(point, stage + "_seconds"), getattr(base, stage + "_seconds")
    if min(seconds, base_seconds) <= 0:
        raise BadInput(f"{stage} took no time with {point.ranks} ranks: take more images (SCALING_IMAGES)")
    return base_seconds / seconds * (point.images / base.images if point.mode == "strong" else 1)


# ---------------------------------------------------------------------------------------- plot


def text(x, y, words, **attributes):
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{html.escape(words)}</text>'


def draw_panel(left, title, points, ideal):
    """One mode: a line a stage over the numbers of ranks; ideal(ranks / fewest ranks) in grey."""
    base = points[0]
    gains = {stage: [gain(point, base, stage) for point in points] for stage in COLOURS}
    best = [ideal(point.ranks / base.ranks) for point in points]
    top = max([1.2] + best + [value for values in gains.values() for value in values]) * 1.05

    def place(number, value):
        return left + (number + 0.5) * PANEL / len(points), TOP + DEEP * (1 - value / top)

    def line(values, colour, more=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*pair) for pair in enumerate(values)))
        return f'<polyline points="{path}" fill="none" stroke="{colour}"{more}/>'

    yield text(left, TOP - 20, title, font_weight="bold")
    yield f'<rect x="{left}" y="{TOP}" width="{PANEL}" height="{DEEP}" fill="none" stroke="#ddd"/>'
    yield line(best, "#999", ' stroke-dasharray="4 4"')
    for number, point in enumerate(points):
        yield text(place(number, 0)[0], TOP + DEEP + 18, str(point.ranks), text_anchor="middle")
    yield text(left + PANEL / 2, TOP + DEEP + 40, "ranks", text_anchor="middle")
    for stage, colour in COLOURS.items():
        yield line(gains[stage], colour)
        for number, point in enumerate(points):
            x, y = place(number, gains[stage][number])
            fill = "#fff" if point.oversubscribed == "yes" else colour
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}"/>'
            yield text(x, y - 8, f"{gains[stage][number]:.2f}", text_anchor="middle", fill=colour, font_size=11)


def draw(points):
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13">'
           '<rect width="100%" height="100%" fill="#fff"/>')
    x = LEFT
    for stage, colour in COLOURS.items():
        yield f'<circle cx="{x}" cy="26" r="4" fill="{colour}"/>' + text(x + 10, 30, stage)
        x += 90
    yield text(x, 30, "dashed: ideal; hollow: more threads than cores, says little")
    titles = {"strong": ("Strong scaling: times as fast", float), "weak": ("Weak scaling: share of the rate kept", lambda _: 1.0)}
    for number, (mode, (title, ideal)) in enumerate(titles.items()):
        of_mode = [point for point in points if point.mode == mode]
        if of_mode:
            yield from draw_panel(LEFT + number * (PANEL + GAP), title, of_mode, ideal)
    yield "</svg>"


def plot(folder):
    points = read_points(folder)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(Point._fields)
    writer.writerows(points)
    svg = "\n".join(draw(points)) + "\n"
    write(os.path.join(folder, "scaling.csv"), buffer.getvalue())
    write(os.path.join(folder, "scaling.svg"), svg)
    print(buffer.getvalue(), end="")


def main():
    try:
        if len(sys.argv) == 5 and sys.argv[1] == "list" and sys.argv[3].isdigit():
            cut_list(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        elif len(sys.argv) == 3 and sys.argv[1] == "plot":
            plot(sys.argv[2])
        else:
            print(__doc__, file=sys.stderr)
            return 64
    except (BadInput, FileNotFoundError) as error:
        print(f"scaling.py: {error}", file=sys.stderr)
        return 65
    except OSError as error:
        print(f"scaling.py: {error}", file=sys.stderr)
        return 74
    return 0


if __name__ == "__main__":
    sys.exit(main())
