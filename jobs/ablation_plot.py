#!/usr/bin/python3
"""Table and plot of the settings that jobs/ablation.sh has run, with the standard library alone.

Usage:  ablation_plot.py FOLDER --title TEXT --layers "SETS" --patch-sizes "LIST" --base-layers SET --base-patch N

FOLDER has a folder layers-SET-patch-N for each setting, with eval.json (patchbank eval), results/scores.csv (patchbank score),
bank.txt (patchbank info), train.seconds and score.seconds. A setting without eval.json is not done and is left out.
Writes FOLDER/ablation.csv (RFC 4180, lines end in CR LF; a row a setting; AUROC as a share of 1, seconds of wall time with the
program's start; near-pair columns are empty where eval was not asked for them, differences of image AUROC where the base setting
is not done) and FOLDER/ablation.svg: AUROC by patch size with the base layers, and by layers with the base patch size. The same
input gives the same bytes.

Noise: standard errors are those of E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas under two or more
correlated receiver operating characteristic curves: a nonparametric approach", Biometrics 44 (1988) 837-845. They assume nothing
about the scores, and that of a difference knows that both settings saw the same images. They say how the figures would vary with
other test images, not with other training images. The plot's bound of noise is rough: two errors of the best AUROC, which is as
much as two of a difference whose settings' AUROCs correlate by a half. The table has each difference's own error.

Exit status: 0 done; 64 wrong usage; 65 no setting is done or a file in FOLDER is not as written; 73 cannot write. Failures are
one line on standard error.
"""

import argparse
import bisect
import csv
import html
import io
import json
import math
import os
import re
import statistics
import sys
from typing import NamedTuple, Optional

WIDTH, HEIGHT, LEFT, TOP, GAP = 920, 500, 60, 96, 60
PANEL_WIDTH, PANEL_HEIGHT = (WIDTH - LEFT - 20 - GAP) // 2, 260
IMAGES, NEAR_PAIRS = "#1965b0", "#2e7d41"    # colours of the two figures, also told apart by disc and square
HALF = 4                                     # pixels from the middle of a disc or square to its side


class BadInput(Exception):
    """FOLDER is unusable; the text is the one line that the user sees."""


class Row(NamedTuple):
    """A setting that is done; the columns of ablation.csv in their order. Empty where None."""
    setting: str
    layers: str
    patch_size: int
    auroc: float
    auroc_standard_error: Optional[float]
    auroc_brightness: float
    near_pair_auroc: Optional[float]
    near_pair_auroc_brightness: Optional[float]
    defective: int
    normal: int
    bank_rows: int
    train_seconds: float
    score_seconds: float
    difference_from_base: Optional[float] = None
    difference_standard_error: Optional[float] = None


class Placements(NamedTuple):
    """How one setting ranks the test images: for each defective one the share of normal ones with a lower score, for each normal
    one the share of defective ones with a higher score, a tie counting one half. The mean of either is the AUROC."""
    images: list        # (path, label) in the order of scores.csv
    defective: list
    normal: list


def shares_below(values, others):
    """For each value the share of `others` below it, a tie counting one half."""
    others = sorted(others)
    return [(bisect.bisect_left(others, value) + bisect.bisect_right(others, value)) / (2 * len(others)) for value in values]


def place_scores(images, defective, normal):
    return Placements(images, shares_below(defective, normal), shares_below([-score for score in normal],
                                                                            [-score for score in defective]))


def standard_error(placements, base=None):
    """DeLong's, of the AUROC, or of its difference from the base setting's; None with fewer than two images of a kind."""
    variance = 0
    for one, other in ((placements.defective, base and base.defective), (placements.normal, base and base.normal)):
        if len(one) < 2:
            return None
        values = [a - b for a, b in zip(one, other)] if base else one
        variance += statistics.variance(values) / len(values)
    return math.sqrt(variance)


# ---------------------------------------------------------------------------------------- settings


def read_text(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def read_placements(folder):
    """Of the labelled images with a score, which are those that eval counts."""
    rows = [row for row in csv.DictReader(io.StringIO(read_text(folder, "results/scores.csv"))) if row["label"] and row["score"]]
    scores = {label: [float(row["score"]) for row in rows if row["label"] == label] for label in "01"}
    return place_scores([(row["path"], row["label"]) for row in rows], scores["1"], scores["0"])


def read_setting(folder, layers, patch_size):
    """(row, placements) of one setting, or None: not done."""
    setting = f"layers-{layers}-patch-{patch_size}"
    folder = os.path.join(folder, setting)
    if not os.path.exists(os.path.join(folder, "eval.json")):
        return None
    try:
        figures, placements = json.loads(read_text(folder, "eval.json")), read_placements(folder)
        if abs(statistics.fmean(placements.defective) - figures["auroc"]) > 1e-9:
            raise ValueError("eval.json has another AUROC than scores.csv")
        rows = re.search(r"^ +(\d+) rows of \d+ values$", read_text(folder, "bank.txt"), flags=re.MULTILINE)
        return Row(setting, layers, patch_size, figures["auroc"], standard_error(placements), figures["auroc_brightness"],
                   figures.get("near_pair_auroc"), figures.get("near_pair_auroc_brightness"), figures["defective"],
                   figures["normal"], int(rows.group(1)), float(read_text(folder, "train.seconds")),
                   float(read_text(folder, "score.seconds"))), placements
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise BadInput(f"{setting} is not as ablation.sh wrote it ({error!r}): delete that folder and run again") from error


def compare(row, placements, base):
    """The row with its difference from the base setting's (row, placements), which may be None."""
    if base is None:
        return row
    if placements.images != base[1].images:
        raise BadInput(f"{row.setting} has scores of other images than {base[0].setting}: delete one of them and run again")
    return row._replace(difference_from_base=row.auroc - base[0].auroc,
                        difference_standard_error=standard_error(placements, base[1]))


def read_rows(arguments):
    """{(layers, patch size): row} of the settings that are done, panel by panel."""
    base_layers, base_patch = arguments.base_layers, arguments.base_patch
    keys = [(base_layers, size) for size in arguments.patch_sizes] + [(layers, base_patch) for layers in arguments.layers]
    base, rows = read_setting(arguments.folder, base_layers, base_patch), {}
    for key in dict.fromkeys(keys):
        done = read_setting(arguments.folder, *key)
        if done:
            rows[key] = compare(*done, base)
    return rows


def encode_csv(rows):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return buffer.getvalue()


# ---------------------------------------------------------------------------------------- plot


def text(x, y, words, **attributes):
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{html.escape(words)}</text>'


class Scale:
    """The vertical axis, the same in both panels: round values around all that is drawn, with at most ten steps."""

    def __init__(self, rows):
        drawn = [row.near_pair_auroc for row in rows if row.near_pair_auroc is not None]
        drawn += [row.auroc + way * (row.auroc_standard_error or 0) for row in rows for way in (-1, 1)]
        low, high = min(drawn), min(max(drawn), 1)
        self.step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if high - low <= 8 * step)
        self.first = max(math.floor(low / self.step - 0.5), 0)    # room for the value below the lowest point
        self.last = max(math.ceil(high / self.step - 1e-9), self.first + 1)

    def ticks(self):
        return [number * self.step for number in range(self.first, self.last + 1)]

    def y(self, value):
        up = (value / self.step - self.first) / (self.last - self.first)
        return TOP + (1 - min(up, 1)) * PANEL_HEIGHT


def draw_axes(scale, left, title, across, names):
    yield text(left, TOP - 22, title, font_weight="bold")
    for value in scale.ticks():
        y = scale.y(value)
        yield f'<line x1="{left}" y1="{y:.1f}" x2="{left + PANEL_WIDTH}" y2="{y:.1f}" stroke="#ddd"/>'
        yield text(left - 6, y + 4, f"{value:.2f}", text_anchor="end")
    for number, name in enumerate(names):
        yield text(place(left, number, len(names)), TOP + PANEL_HEIGHT + 18, str(name), text_anchor="middle")
    yield text(left + PANEL_WIDTH / 2, TOP + PANEL_HEIGHT + 40, across, text_anchor="middle")


def value_text(x, y, value, colour):
    """A figure on a rim of the background's colour, which keeps lines away from its digits."""
    return text(x, y, f"{value:.3f}", text_anchor="middle", fill=colour, font_size=11, stroke="#fff", stroke_width=3,
                paint_order="stroke")


def place(left, number, count):
    """The middle of one of `count` equal columns of a panel."""
    return left + (number + 0.5) * PANEL_WIDTH / count


def draw_row(scale, x, row):
    """Both figures of a setting with their values, the upper one's above and the lower one's below, so that they never meet."""
    y, error = scale.y(row.auroc), row.auroc_standard_error or 0
    top, bottom = scale.y(row.auroc + error), scale.y(row.auroc - error)
    yield f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="{IMAGES}"/>'
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{HALF}" fill="{IMAGES}"/>'
    near = row.near_pair_auroc
    is_above = near is None or row.auroc >= near
    yield value_text(x, top - 5 if is_above else bottom + 14, row.auroc, IMAGES)
    if near is not None:
        y = scale.y(near)
        yield f'<rect x="{x - HALF:.1f}" y="{y - HALF:.1f}" width="{2 * HALF}" height="{2 * HALF}" fill="{NEAR_PAIRS}"/>'
        yield value_text(x, y + 17 if is_above else y - 8, near, NEAR_PAIRS)


def draw_line(scale, left, rows, value, colour):
    """Joins neighbouring settings; one that is not done leaves a gap."""
    for number, (one, next_one) in enumerate(zip(rows, rows[1:])):
        if one and next_one and value(one) is not None and value(next_one) is not None:
            x1, x2 = place(left, number, len(rows)), place(left, number + 1, len(rows))
            yield (f'<line x1="{x1:.1f}" y1="{scale.y(value(one)):.1f}" x2="{x2:.1f}" y2="{scale.y(value(next_one)):.1f}" '
                   f'stroke="{colour}" stroke-width="2"/>')


def draw_panel(scale, left, rows):
    for number, row in enumerate(rows):
        if row:
            yield from draw_row(scale, place(left, number, len(rows)), row)


def draw_legend(has_near_pairs):
    yield f'<circle cx="{LEFT + HALF}" cy="46" r="{HALF}" fill="{IMAGES}"/>'
    yield text(LEFT + 16, 50, "image AUROC; bar: one standard error up and down", fill=IMAGES)
    if has_near_pairs:
        yield f'<rect x="{LEFT + 376}" y="42" width="{2 * HALF}" height="{2 * HALF}" fill="{NEAR_PAIRS}"/>'
        yield text(LEFT + 392, 50, "near-pair AUROC", fill=NEAR_PAIRS)


def notes(rows):
    """What a reader must know before comparing two points. The error is of the best AUROC, which others are held against."""
    best = max(rows, key=lambda row: row.auroc)
    floor, fewer = f"{best.auroc_brightness:.3f}", ""
    if best.near_pair_auroc_brightness is not None:
        floor, fewer = f"{floor}, near pairs {best.near_pair_auroc_brightness:.3f}", " Near pairs are fewer and vary more."
    if best.auroc_standard_error is not None:
        yield (f"Differences under {2 * best.auroc_standard_error:.3f} are noise on {best.defective} defective and {best.normal} "
               "normal test images:")
        yield "two standard errors of the best image AUROC (DeLong et al., Biometrics 44, 1988)." + fewer
    yield "To choose the best of these settings by their test images is tuning to them."
    yield f"Brightness alone (the best of four grey statistics): {floor}."


def draw(done, arguments):
    """done: {(layers, patch size): row}, not empty. A setting that is not done leaves its column empty."""
    rows_by_patch = [done.get((arguments.base_layers, size)) for size in arguments.patch_sizes]
    rows_by_layers = [done.get((layers, arguments.base_patch)) for layers in arguments.layers]
    rows = list(done.values())
    scale, right = Scale(rows), LEFT + PANEL_WIDTH + GAP
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">')
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'    # legible on a dark page too
    yield text(LEFT, 24, arguments.title, font_size=15)
    yield from draw_legend(any(row.near_pair_auroc is not None for row in rows))
    yield from draw_axes(scale, LEFT, f"by patch size, layers {arguments.base_layers}", "patch size (places of a layer)",
                         arguments.patch_sizes)
    yield from draw_line(scale, LEFT, rows_by_patch, lambda row: row.auroc, IMAGES)
    yield from draw_line(scale, LEFT, rows_by_patch, lambda row: row.near_pair_auroc, NEAR_PAIRS)
    yield from draw_panel(scale, LEFT, rows_by_patch)
    yield from draw_axes(scale, right, f"by layers, patch size {arguments.base_patch}", "layers", arguments.layers)
    yield from draw_panel(scale, right, rows_by_layers)
    middle = TOP + PANEL_HEIGHT / 2
    yield text(14, middle, "AUROC", text_anchor="middle", transform=f"rotate(-90 14 {middle:.0f})")
    for number, note in enumerate(notes(rows)):
        yield text(LEFT, TOP + PANEL_HEIGHT + 70 + 18 * number, note)
    yield "</svg>"


# ---------------------------------------------------------------------------------------- command line


def write_atomically(path, data):
    """`path` holds `data`, or is left as it was."""
    temporary = f"{path}.tmp.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def parse_arguments(argv=None):
    parser = Parser(prog="ablation_plot.py", description="Table and plot of the settings that jobs/ablation.sh has run.")
    parser.add_argument("folder", metavar="FOLDER", help="has a folder for each setting; gets ablation.csv and ablation.svg")
    parser.add_argument("--title", metavar="TEXT", required=True, help="of the plot")
    parser.add_argument("--layers", metavar="SETS", type=str.split, required=True, help='as "2 3 2,3"')
    parser.add_argument("--patch-sizes", metavar="LIST", type=lambda words: [int(word) for word in words.split()], required=True,
                        help='as "1 3 5"')
    parser.add_argument("--base-layers", metavar="SET", required=True, help="layers of the panel of patch sizes")
    parser.add_argument("--base-patch", metavar="N", type=int, required=True, help="patch size of the panel of layers")
    return parser.parse_args(argv)


def tabulate_and_draw(arguments):
    """The settings that are done."""
    rows = read_rows(arguments)
    if not rows:
        raise BadInput("no setting is done, so there is nothing to draw")
    write_atomically(os.path.join(arguments.folder, "ablation.csv"), encode_csv(rows.values()))
    write_atomically(os.path.join(arguments.folder, "ablation.svg"), "\n".join(draw(rows, arguments)) + "\n")
    return rows


def fail(path, reason, status):
    print(f"ablation_plot.py: {path}: {reason}", file=sys.stderr)
    return status


def main(argv=None):
    arguments = parse_arguments(argv)
    try:
        rows = tabulate_and_draw(arguments)
    except BadInput as error:
        return fail(arguments.folder, error, os.EX_DATAERR)
    except OSError as error:
        return fail(error.filename or arguments.folder, error.strerror or error, os.EX_CANTCREAT)
    print(f"{len(rows)} settings: {os.path.join(arguments.folder, 'ablation.csv')}, ablation.svg beside it")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
