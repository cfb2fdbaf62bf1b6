#!/usr/bin/python3
"""slurm/scaling.sh on a Slurm of two nodes: strong and weak scaling over one and two nodes; table and plot say what was logged.

Usage:  test_scaling.py PATCHBANK
"""

import csv
import os
import re
import statistics
import subprocess
import sys
import xml.etree.ElementTree

import fixture

SCRIPT = os.path.join(fixture.SCRIPTS, "scaling.py")
POINTS = [("strong", 1, 1, 20), ("strong", 2, 2, 20), ("weak", 1, 1, 20), ("weak", 2, 2, 40)]    # mode, nodes, ranks, images


def refused(code, said, *words):
    done = subprocess.run([fixture.PYTHON, SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == code and said in done.stderr, (done.returncode, done.stderr)


def check_figures(site):
    with open(site.path("scaling/scaling.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["mode"], int(r["nodes"]), int(r["ranks"]), int(r["images"])) for r in rows] == POINTS, rows
    written = {element.text for element in xml.etree.ElementTree.parse(site.path("scaling/scaling.svg")).iter()}
    for row, (mode, nodes, ranks, _) in zip(rows, POINTS):
        assert row["repeats"] == "3" and row["oversubscribed"] == ("no" if os.cpu_count() >= ranks else "yes"), row
        for column, name, event in (("extract_seconds", "train", "extracted"), ("select_seconds", "train", "selected"),
                                    ("score_seconds", "score", "scored")):
            found = []
            for repeat in (1, 2, 3):
                with open(site.path(f"scaling/{mode}-nodes-{nodes}-ranks-{ranks}/{name}-{repeat}.log"), encoding="utf-8") as log:
                    line = next(line for line in log if f"event={event} " in line)
                found.append(float(re.search(r" seconds=(\S+)", line).group(1)))
            assert float(row[column]) == statistics.median(found), (row, column, found)
    base, two = (float(row["extract_seconds"]) for row in rows[:2])
    assert f"{base / two:.2f}" in written, (base, two, written)


def scaling(running, program):
    site = fixture.Fixture(running, program)
    site.settings.update(SCALING_FOLDER=site.path("scaling"), SCALING_LIST=site.path("many.csv"), SCALING_NODES="1 2",
                         SCALING_IMAGES=20)
    site.write_settings()
    site.write_list("many.csv", [["./" * time + path, *rest] for time in range(4) for path, *rest in site.rows])
    jobs = [int(line.split()[0]) for line in site.script("scaling.sh").splitlines()]
    assert len(jobs) == 5, jobs
    for job in jobs:
        site.finish(job)
    check_figures(site)

    before = os.stat(site.path("scaling/strong-nodes-1-ranks-1/train-1.log")).st_mtime_ns
    site.finish(site.submit("scaling", "SCALING_MODE=strong", "NODES=1"))
    assert os.stat(site.path("scaling/strong-nodes-1-ranks-1/train-1.log")).st_mtime_ns == before, "done twice"

    refused(65, "has 40 training images, 41 are needed", "list", site.path("many.csv"), "41", site.path("cut.csv"))
    refused(65, "No such file", "list", site.path("none.csv"), "1", site.path("cut.csv"))
    refused(65, "no point is done", "plot", site.path("logs"))
    refused(64, "Usage:", "plot")
    with open(site.path("scaling/weak-nodes-1-ranks-1/score-2.log"), "w", encoding="utf-8") as log:
        log.write("event=scored images=1\n")
    refused(65, "score-2.log: has no event=scored with seconds", "plot", site.path("scaling"))
    print("checked: four points, their table and plot")


if __name__ == "__main__":
    sys.exit(fixture.run(scaling, 2, sys.argv[1]))
