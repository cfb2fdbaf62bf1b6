#!/usr/bin/python3
"""Nights of slurm/nightly.sbatch on a Slurm of two nodes: the first trains and publishes, the second publishes a better
known bank, the third is poisoned (defective images passed off as normal) and its bank is refused; then the first is taken back,
and another night updates what is current.

Usage:  test_nightly.py PATCHBANK
"""

import json
import os
import sys

from fixture import Fixture, run


def versions(site):
    """[(name, figure of the gate, generation's job, SHA-256 of the bank)], oldest first."""
    listed = json.loads(site.run("bank", "list", "--store", "store/parts", "--json", "-"))
    assert listed["current"] == listed["versions"][-1]["name"]
    return listed["versions"]


def night(site, name, rows, expected):
    site.write_list("new.csv", rows)
    job = site.submit("nightly", f"NIGHT={name}")
    site.finish(job, expected)
    return job


def pack_gate(site, rows):
    """The gate set, and another archive, by an array of two tasks; a third has nothing to pack and says so."""
    site.write_list("gate.csv", rows)
    site.write_list("other.csv", rows[:3])
    with open(site.path("sources"), "w", encoding="utf-8") as file:
        file.write(f"gate {site.path('gate.csv')}\nother {site.path('other.csv')}\nnone {site.path('none.csv')}\n")
    array = site.submit("pack", "SOURCES=" + site.path("sources"), "ARCHIVES=" + site.folder)
    for task, code in ((1, 0), (2, 0), (3, 64)):
        site.finish(f"{array}_{task}", code)
    assert "3 images" in site.run("info", "--archive", "other")


def three_nights(running, program):
    site = Fixture(running, program)
    site.settings.update(STORE=site.path("store/parts"), GATE_ARCHIVE=site.path("gate"), NEW_LIST=site.path("new.csv"),
                         NIGHTS=site.path("nights"), GATE_OPTIONS="--floor 0.5 --margin 0.2")
    site.write_settings()
    normal = [row for row in site.rows if row[1] == "train"]
    tested = [row for row in site.rows if row[1] == "test" and row[2]]
    poison = [[path, "train", "0", *rest] for path, _, label, *rest in site.rows if label == "1"]
    pack_gate(site, tested)

    first = night(site, "monday", normal[:8], 0)
    found = versions(site)
    assert [(v["name"], v["generation"]) for v in found] == [("000001", f"{first}.0")], found

    second = night(site, "tuesday", normal, 0)
    found = versions(site)
    assert [(v["name"], v["generation"]) for v in found] == [("000001", f"{first}.0"), ("000002", f"{second}.0")], found
    assert found[0]["bank_sha256"] != found[1]["bank_sha256"] and found[1]["parent"] == "000001", found

    third = night(site, "wednesday", poison, 1)
    assert versions(site) == found, "the poisoned night changed the store"
    assert "refused: AUROC" in site.log_of(third) and "the answer is no" in site.log_of(third), site.log_of(third)
    assert os.path.exists(site.path("nights/wednesday/trained.h5"))

    site.run("bank", "rollback", "--store", "store/parts", "--generation", f"{third}.0")
    found = versions(site)
    assert found[2]["name"] == "000003" and found[2]["bank_sha256"] == found[0]["bank_sha256"], found

    # Monday's bank, which is current again, is brought up to date by images that it does not know.
    site.settings.update(NIGHTLY="update", UPDATE_OPTIONS="--threads 1 --decoders 1")
    site.write_settings()
    fourth = night(site, "thursday", normal[8:], 0)
    found = versions(site)
    assert found[3]["generation"] == f"{fourth}.0" and found[3]["rows"] > found[2]["rows"], found
    assert os.path.exists(site.path("nights/thursday/updated-000003.h5"))

    # A night that is done does not undo what came later. One that had not come to its publication goes on: it makes nothing again
    # but the current version's results.
    site.settings["NIGHTLY"] = "retrain"
    site.write_settings()
    night(site, "tuesday", normal, 0)
    assert versions(site) == found
    os.remove(site.path("nights/tuesday/published"))
    before = os.stat(site.path("nights/tuesday/trained.h5")).st_mtime_ns
    night(site, "tuesday", normal, 0)
    assert os.stat(site.path("nights/tuesday/trained.h5")).st_mtime_ns == before
    assert versions(site)[4]["bank_sha256"] == found[1]["bank_sha256"]

    print("checked: three nights, a refusal, a rollback, a night that goes on, an update")


if __name__ == "__main__":
    sys.exit(run(three_nights, 2, sys.argv[1]))
