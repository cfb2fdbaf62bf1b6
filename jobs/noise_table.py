#!/usr/bin/python3
"""Table of the settings that jobs/noise_study.sh has run, with the standard library alone.

Usage:  noise_table.py FOLDER --shares "LIST" --denoise "LIST"

FOLDER has a folder share-SHARE-HOW for each setting, with eval.json (patchbank eval) and results/scores.csv (patchbank score).
Writes FOLDER/noise.csv (RFC 4180): a row a setting, AUROC as shares of 1, and the difference of image AUROC from the first way of
the list on the same images, with the standard error of jobs/ablation_plot.py (DeLong et al. 1988). Prints the same as a Markdown
table.
Exit status: 0 done; 64 wrong usage; 65 a setting is missing or a file is not as written;
73 cannot write. Failures are one line on standard error.
"""

import argparse
import csv
import io
import json
import os
import sys

import ablation_plot

COLUMNS = ("share", "denoise", "auroc", "auroc_standard_error", "near_pair_auroc", "difference_from_first",
           "difference_standard_error")


def read_setting(folder, share, how):
    """(figures of eval, placements of scores) of one setting."""
    setting = os.path.join(folder, f"share-{share}-{how}")
    return json.loads(ablation_plot.read_text(setting, "eval.json")), ablation_plot.read_placements(setting)


def rows_of_share(folder, share, ways):
    first = None
    for how in ways:
        figures, placements = read_setting(folder, share, how)
        if first is None:
            first = figures["auroc"], placements
            difference = error = ""
        else:
            difference, error = figures["auroc"] - first[0], ablation_plot.standard_error(placements, first[1])
        yield dict(zip(COLUMNS, (share, how, figures["auroc"], ablation_plot.standard_error(placements),
                                 figures["near_pair_auroc"], difference, error)))


def markdown(rows):
    yield f"| defective training cells | denoise | AUROC | near pairs | from {rows[0]['denoise']} |"
    yield "|---|---|---|---|---|"
    for row in rows:
        difference = "" if row["difference_from_first"] == "" else \
            f"{row['difference_from_first']:+.3f} ± {row['difference_standard_error']:.3f}".replace("-", "−")
        yield (f"| {100 * float(row['share']):g} % | {row['denoise']} | {row['auroc']:.3f} | {row['near_pair_auroc']:.3f} | "
               f"{difference} |")


def main():
    parser = argparse.ArgumentParser(prog="noise_table.py")
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--shares", metavar="LIST", required=True)
    parser.add_argument("--denoise", metavar="LIST", required=True)
    arguments = parser.parse_args()
    try:
        rows = [row for share in arguments.shares.split()
                for row in rows_of_share(arguments.folder, share, arguments.denoise.split())]
    except (OSError, KeyError, ValueError, ZeroDivisionError) as error:
        print(f"noise_table.py: {arguments.folder}: {error}", file=sys.stderr)
        return os.EX_DATAERR
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    try:
        ablation_plot.write_atomically(os.path.join(arguments.folder, "noise.csv"), text.getvalue())
    except OSError as error:
        print(f"noise_table.py: {arguments.folder}: {error}", file=sys.stderr)
        return os.EX_CANTCREAT
    print("\n".join(markdown(rows)))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
