#!/usr/bin/python3
"""Interrupts pack, train and score on a Slurm on this host, at seeded moments, and insists on the bits of an undisturbed run.

Usage:  interrupt.py PATCHBANK [--moments N] [--seed N] [--kinds usr1,cancel,rank,node] [--jobs pack,train,score]
                     [--within SECONDS]

Kinds:  usr1    the warning before the time limit, as --signal=B:USR1@... sends it: to the batch script alone
        cancel  scancel, and the same job submitted again
        rank    SIGKILL of one rank
        node    a node crashes: daemon, steps and ranks. Slurm notices after some 25 s
At N moments of each kind and of each job, drawn evenly from the time that it takes undisturbed (--within: from its first SECONDS
alone, in which ranks find each other); the jobs run at once. Every other
train and score saves its state all the time (--checkpoint 0), so that one that is killed has something to go on from.
One that ended before its moment is not counted, and another moment is drawn. Then the job has to come to its end by itself (but
for cancel), and its archive, bank, or results.h5 and scores.csv must be the undisturbed run's, byte for byte, with nothing else
beside them. Exit status: 0 when all are; 77 without Slurm.
"""

import argparse
import concurrent.futures
import os
import random
import signal
import sys
import time

import cluster
import fixture

KINDS = ("usr1", "cancel", "rank", "node")
JOBS = ("pack", "train", "score")
COPIES = 60     # of each of the generated images: enough for a second or two of work
DRAWS = 6       # of a moment, until the job is not too fast for it: from half the time, a quarter, ...


class TooLate(Exception):
    """The job had ended before it was interrupted."""


class Interruptions:
    def __init__(self, running, program, jobs, seed, within):
        self.cluster, self.jobs, self.seed, self.within = running, jobs, seed, within
        self.site = fixture.Fixture(running, program, SBATCH_OPTIONS="--exclusive", PACK_OPTIONS="--shard-images 100")
        self.site.write_list("many.csv", fixture.repeated(self.site.rows, COPIES))
        with open(self.site.path("sources"), "w", encoding="utf-8") as file:
            file.write(f"archive {self.site.path('many.csv')}\n")
        self.site.run("pack", "--list", "many.csv", "--archive", "archive")
        self.site.run("train", "--archive", "archive", "--weights", "random:7", "--bank", "bank.h5",
                      *fixture.TRAIN_OPTIONS.split())
        self.expected, self.seconds = {}, {}

    def submit(self, name, folder, options=""):
        """pack writes FOLDER/archive; train FOLDER/bank.h5; score FOLDER/results, by one bank for all runs."""
        os.makedirs(folder, exist_ok=True)
        if name == "pack":
            return self.site.submit(name, "SOURCES=" + self.site.path("sources"), f"ARCHIVES={folder}")
        bank = os.path.join(folder, "bank.h5") if name == "train" else self.site.path("bank.h5")
        return self.site.submit(name, "ARCHIVE=" + self.site.path("archive"), f"BANK={bank}",
                                "RESULTS=" + os.path.join(folder, "results"),
                                f"TRAIN_OPTIONS={fixture.TRAIN_OPTIONS} {options}",
                                f"SCORE_OPTIONS={fixture.SCORE_OPTIONS} {options}")

    def wait_for_ranks(self, job):
        """When they have begun."""
        cluster.wait_for(lambda: len(self.cluster.ranks(job)) == 2, 60, f"ranks of job {job}")
        return time.monotonic()

    def measure(self, name):
        """What is right, and how long ranks live. Each beside the other, as when they are interrupted."""
        job = self.submit(name, self.site.path(name))
        begun = self.wait_for_ranks(job)
        cluster.wait_for(lambda: not self.cluster.ranks(job), 120, f"job {job} ended")
        self.seconds[name] = time.monotonic() - begun
        self.site.finish(job)
        self.expected[name] = fixture.content(self.site.path(name))

    def strike(self, kind, job, choice):
        """Does to the job what `kind` says; choice: which rank or node."""
        if kind in ("usr1", "cancel"):
            words = ["--batch", "-s", "USR1"] if kind == "usr1" else []
            self.cluster.slurm("scancel", *words, str(job), check=False)    # which fails where the job has ended
        else:
            ranks = sorted(self.cluster.ranks(job))
            if len(ranks) != 2:
                raise TooLate
            if kind == "rank":
                cluster.kill(ranks[choice][0], signal.SIGKILL)
            else:
                self.cluster.kill_node(ranks[choice][1])

    def end(self, kind, job, again):
        """Waits for the end that is good at last, of another job after scancel."""
        if kind == "cancel":
            if self.cluster.wait(job)["JobState"] == "COMPLETED":
                raise TooLate
            self.site.finish(again())
        elif int(self.site.finish(job)["Restarts"]) == 0:
            raise TooLate

    def interrupt(self, kind, name, number, draw):
        """One interruption; its seconds from the first rank to the good end."""
        folder = self.site.path(f"{kind}-{name}-{number}-{draw}")
        drawn = random.Random(f"{self.seed} {folder.rsplit('/', 1)[1]}")
        moment, choice = drawn.random() * min(self.seconds[name], self.within) / 2**draw, drawn.randrange(2)
        options = "--checkpoint 0" if number % 2 == 0 else ""    # saves all the time, or only when it is asked to stop
        job = self.submit(name, folder, options)
        begun = self.wait_for_ranks(job)
        time.sleep(moment)
        self.strike(kind, job, choice)
        self.end(kind, job, lambda: self.submit(name, folder, options))
        seconds = time.monotonic() - begun
        found, expected = fixture.content(folder), self.expected[name]
        assert found.keys() == expected.keys(), f"{kind} {name}: left {sorted(found)}, expected {sorted(expected)}"
        for file, bytes_ in expected.items():
            assert found[file] == bytes_, f"{kind} {name} after {moment:.2f} s: {file} has other bytes\n{self.site.log_of(job)}"
        print(f"{kind:6} {name} after {moment:.2f} s of {self.seconds[name]:.2f}: same bits {seconds:.1f} s later", flush=True)
        return seconds

    def interrupt_surely(self, kind, name, number):
        for draw in range(DRAWS):
            try:
                return self.interrupt(kind, name, number, draw)
            except TooLate:
                print(f"{kind:6} {name}: too late", flush=True)
        raise AssertionError(f"{kind} {name}: too late {DRAWS} times")

    def interrupt_all(self, kind, number, pool):
        """The seconds of each job."""
        seconds = list(pool.map(lambda name: self.interrupt_surely(kind, name, number), self.jobs))
        if kind == "node":
            self.cluster.restore()
        return seconds


def run_all(running, arguments):
    jobs = arguments.jobs.split(",")
    runs = Interruptions(running, arguments.program, jobs, arguments.seed, arguments.within)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(runs.measure, jobs))
        for kind in arguments.kinds.split(","):
            rows = [runs.interrupt_all(kind, number, pool) for number in range(arguments.moments)]
            for name, times in zip(jobs, zip(*rows)):
                print(f"# {kind} of {name}: {len(times)} of {len(times)} ended with the bits of the undisturbed run, "
                      f"{min(times):.1f} to {max(times):.1f} s after they began")


def main():
    parser = argparse.ArgumentParser(description="Interrupts pack, train and score on a Slurm on this host.")
    parser.add_argument("program")
    parser.add_argument("--moments", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--within", type=float, default=float("inf"))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--jobs", default=",".join(JOBS))
    arguments = parser.parse_args()
    for given, known in ((arguments.kinds, KINDS), (arguments.jobs, JOBS)):
        if not set(given.split(",")) <= set(known):
            parser.error(f"{given}: known are {', '.join(known)}")
    # Two nodes for each job, and one in place of each that is killed.
    return fixture.run(lambda running, _: run_all(running, arguments), 3 * len(JOBS), arguments.program)


if __name__ == "__main__":
    sys.exit(main())
