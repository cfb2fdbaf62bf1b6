#!/usr/bin/python3
"""A node loses its slurmd while its ranks live: Slurm runs their jobs again elsewhere, and what the old ranks still do must not
survive. On a Slurm of three nodes.

Usage:  test_split_brain.py PATCHBANK

Four jobs on node n1, whose ranks are stopped (SIGSTOP) as if the node were very slow: a train in the middle of its work, and a
pack, a train on two nodes and a score before the rename that gives an output its name, which is the last moment at which a check
could be out of date. Then n1's slurmd is killed. When the jobs have ended on other nodes, the old ranks go on. All outputs must
stay the new runs' very files, with the bits of undisturbed runs and nothing else beside them, and no job may be requeued again.
"""

import os
import signal
import sys
import time

import cluster
from fixture import TRAIN_OPTIONS, Fixture, content, repeated, run

# Only in the first run of a job, which has no count of restarts: rank 0 stops before it renames its first finished file.
STOP_AT_RENAME = '[ -n "${SLURM_RESTART_COUNT:-}" ] || export PATCHBANK_FAULT=io.rename@0!stop'
# name: which job, settings. Of two nodes rank 1 is killed, and rank 0 may wait for it after its rename has failed: not for long.
JOBS = {
    "pack-renaming": ("pack", ["TASKS_PER_NODE=2", f"PREPARE={STOP_AT_RENAME}"]),
    "train-working": ("train", ["TASKS_PER_NODE=2"]),
    "train-renaming": ("train", ["NODES=2", f"TRAIN_OPTIONS={TRAIN_OPTIONS} --watchdog 10", f"PREPARE={STOP_AT_RENAME}"]),
    "score-renaming": ("score", ["TASKS_PER_NODE=2", f"PREPARE={STOP_AT_RENAME}"]),
}


def state_of(pid):
    """Of a process: "R", "S", "T" when it is stopped; "" when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0].replace("Z", "")
    except OSError:
        return ""


class SplitBrain:
    def __init__(self, running, program):
        self.cluster = running
        self.site = Fixture(running, program, NODES=1, PACK_OPTIONS="--shard-images 100")
        self.site.write_list("many.csv", repeated(self.site.rows, 60))
        with open(self.site.path("sources"), "w", encoding="utf-8") as file:
            file.write(f"archive {self.site.path('many.csv')}\n")
        self.jobs, self.old = {}, {}

    def submit(self, folder, name, words=()):
        os.makedirs(self.site.path(folder))
        if name == "pack":
            return self.site.submit(name, "SOURCES=" + self.site.path("sources"), "ARCHIVES=" + self.site.path(folder), *words)
        bank = f"{folder}/bank.h5" if name == "train" else "undisturbed-train/bank.h5"
        return self.site.submit(name, "ARCHIVE=" + self.site.path("undisturbed-pack/archive"), "BANK=" + self.site.path(bank),
                                "RESULTS=" + self.site.path(f"{folder}/results"), *words)

    def stop_ranks(self, name, job):
        """Waits until the ranks have come to where they are wanted, and stops all of them."""
        cluster.wait_for(lambda: len(self.cluster.ranks(job)) == 2, 60, f"ranks of {name}")
        self.old[name] = self.cluster.ranks(job)
        assert "n1" in dict(self.old[name]).values(), f"{name} runs elsewhere: {self.old[name]}"
        if "renaming" in name:
            cluster.wait_for(lambda: "T" in [state_of(pid) for pid, _ in self.old[name]], 60, f"{name} stops by itself")
        else:
            cluster.wait_for(lambda: "event=ready" in self.site.log_of(job), 60, f"{name} works")
        for pid, _ in self.old[name]:
            cluster.kill(pid, signal.SIGSTOP)

    def begin(self):
        """Undisturbed runs, then the jobs of the table, each stopped on n1."""
        for name in ("pack", "train", "score"):
            self.site.finish(self.submit(f"undisturbed-{name}", name))
        for name, (job, words) in JOBS.items():
            self.jobs[name] = self.submit(name, job, words)
            self.stop_ranks(name, self.jobs[name])
            found = content(self.site.path(name))
            assert not any(file.endswith(("manifest.json", "bank.h5", "results.h5")) for file in found), (name, found.keys())

    def check_outputs(self, name):
        """The undisturbed run's bits, and nothing else; (inode, time of change) of each file."""
        folder, expected = self.site.path(name), content(self.site.path("undisturbed-" + JOBS[name][0]))
        found = content(folder)
        assert found == expected, f"{name}: {sorted(found)}: not those of the undisturbed run, {sorted(expected)}, or other bits"
        return {file: (os.stat(os.path.join(folder, file)).st_ino, os.stat(os.path.join(folder, file)).st_mtime_ns)
                for file in found}

    def check_job(self, name):
        job = self.cluster.job(self.jobs[name])
        assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1") and "n1" not in job["NodeList"], (name, job)

    def split(self):
        """Seconds until the jobs had ended elsewhere."""
        begun = time.monotonic()
        self.cluster.kill_slurmd("n1")
        for job in self.jobs.values():
            self.site.finish(job)
        return time.monotonic() - begun

    def wake(self):
        """The old ranks and scripts of n1 go on, to their end."""
        alive = [pid for ranks in self.old.values() for pid, node in ranks if node == "n1"]
        assert [state_of(pid) for pid in alive] == ["T"] * len(alive) and len(alive) == 7, "the old ranks did not live on"
        for pid in alive:
            cluster.kill(pid, signal.SIGCONT)
        cluster.wait_for(lambda: not any(self.cluster.processes_of_job(job) for job in self.jobs.values()), 120, "old ranks end")
        for name, job in self.jobs.items():
            assert "the job runs elsewhere by now" in self.site.log_of(job), f"{name}\n{self.site.log_of(job)}"


def split_brain(running, program):
    test = SplitBrain(running, program)
    test.begin()
    seconds = test.split()
    before = {name: test.check_outputs(name) for name in JOBS}
    for name in JOBS:
        test.check_job(name)
    test.wake()
    for name in JOBS:
        assert test.check_outputs(name) == before[name], f"{name}: a file of the new run was replaced"
        test.check_job(name)
    print(f"checked: {len(JOBS)} jobs ended elsewhere in {seconds:.1f} s, and the old ranks changed nothing")


if __name__ == "__main__":
    sys.exit(run(split_brain, 3, sys.argv[1]))
