#!/usr/bin/python3
"""Whole jobs on the emulated CUDA device, whose networks are the CPU's (tests/gpu/emulator/networks.c): train, then score.

Usage:  check_jobs.py SOURCES BUILD PLUGIN MPIEXEC same|fails|fails-all

  same       bank and results of 1 to 4 ranks are those of --device cpu, byte for byte, and GPUs exchange by NCCL
  fails      of each job on 1 and 3 ranks some calls of CUDA and NCCL, drawn by a seed, fail or never end, each in a run of its
             own: all ranks end in time with a documented code and one line, nothing is left half written, and what stands under a
             final name is what the CPU made
  fails-all  likewise, of CUDA the first and the last call that any way through the program comes to, of NCCL every call: some
             2,000 runs, an hour or so

A run that ends well in spite of a failure is right if its output is: with too little memory a batch becomes smaller, and what is
called after the output is there harms nobody.

Exit status: 0 when all is as said, else 1 with the reason.
"""

import filecmp
import os
import random
import shutil
import subprocess
import sys
import tempfile

SOURCES, BUILD, PLUGIN, MPIEXEC = (os.path.abspath(path) for path in sys.argv[1:5])
PROGRAM = os.path.join(BUILD, "jobs/patchbank")
SEED = 27
LIMIT_S = 60     # for any run
WATCHDOG_S = 4   # of runs in which something fails; GPUs wait for half as long, spinning
JOBS = {
    "train": ("bank.h5", "train --archive archive --bank bank.h5 --weights random:7 --resize 64 --crop 64 --ratios 5% "
                         "--projection 64"),
    "score": ("results", "score --archive archive --bank cpu.h5 --weights random:7 --results results"),
}


class Wrong(Exception):
    """What is not as it must be."""


def expect(condition, what):
    if not condition:
        raise Wrong(what)


def run(folder, ranks, arguments, **environment):
    """(exit status, what was said)"""
    try:
        done = subprocess.run([MPIEXEC, "-n", str(ranks), "--map-by", ":OVERSUBSCRIBE", PROGRAM] + arguments.split(), cwd=folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                              timeout=LIMIT_S, env={**os.environ, "PATCHBANK_CUDA_PLUGIN": PLUGIN, **environment})
    except subprocess.TimeoutExpired:
        raise Wrong(f"{ranks} ranks, {environment}: does not end: {arguments}") from None
    return done.returncode, done.stdout


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def equal(one, other):
    """Whether two files, or two folders of files, are the same."""
    if not os.path.isdir(one):
        return filecmp.cmp(one, other, shallow=False)
    names = sorted(os.listdir(one))
    return names == sorted(os.listdir(other)) and all(equal(os.path.join(one, name), os.path.join(other, name)) for name in names)


def half_written(folder):
    return [name for _, folders, files in os.walk(folder) for name in folders + files if ".part-" in name]


def stands(output):
    """Whether there is an output under its final name: a folder in which nothing but the job's state is, is none."""
    names = set(os.listdir(output)) if os.path.isdir(output) else {output} if os.path.exists(output) else set()
    return bool(names - {"state"})


def prepare(folder):
    """An archive, and cpu.h5 and cpu-results by the CPU."""
    subprocess.run([sys.executable, os.path.join(SOURCES, "tests/jobs/make_images.py"), folder], check=True)
    for arguments in ("pack --list list.csv --archive archive --shard-images 9", JOBS["train"][1], None, JOBS["score"][1]):
        if arguments is None:
            os.rename(os.path.join(folder, "bank.h5"), os.path.join(folder, "cpu.h5"))
            continue
        status, said = run(folder, 1, arguments)
        expect(status == 0, said)
    os.rename(os.path.join(folder, "results"), os.path.join(folder, "cpu-results"))


def by_cpu(folder, job):
    return os.path.join(folder, {"train": "cpu.h5", "score": "cpu-results"}[job])


def run_on_gpus(folder, job, ranks, **environment):
    """(exit status, what was said) of a run that leaves the CPU's output, or none."""
    name, arguments = JOBS[job]
    output = os.path.join(folder, name)
    watchdog = WATCHDOG_S if "EMULATED_FAIL" in environment else LIMIT_S
    status, said = run(folder, ranks, f"{arguments} --device cuda --watchdog {watchdog}", **environment)
    about = f"{job}, {ranks} ranks, {environment}: exit code {status}: {said}"
    expect(not half_written(folder), f"half written: {about}")
    expect((status == 0) == stands(output), about)
    expect(status != 0 or equal(output, by_cpu(folder, job)), f"not what the CPU makes: {about}")
    remove(output)
    return status, said, about


def check_same(folder):
    for job in JOBS:
        for ranks in range(1, 5):
            status, said, about = run_on_gpus(folder, job, ranks)
            expect(status == 0 and f"exchange={'staged' if ranks == 1 else 'device'}" in said, about)
            expect('device="cuda:0: Emulator' in said and "not_recorded" not in said, about)


def count_calls(folder, job, ranks):
    """[(calls of CUDA, calls of NCCL, ways)] by rank, of a run in which nothing fails; ways: of each call of CUDA, the way it was
    come to."""
    calls = os.path.join(folder, "calls")
    status, _, about = run_on_gpus(folder, job, ranks, EMULATED_CALLS=calls)
    expect(status == 0, about)
    counts = []
    for rank in range(ranks):
        with open(f"{calls}.{rank}", encoding="utf-8") as file:
            cuda, nccl, *ways = file.read().split()
            counts.append((int(cuda), int(nccl), ways))
            expect(len(ways) == int(cuda), f"ways of {cuda} calls: {len(ways)}")
        os.remove(f"{calls}.{rank}")
    return counts


def fail(folder, job, ranks, kind, rank, call):
    """Whether the failure ended the job."""
    status, said, about = run_on_gpus(folder, job, ranks, EMULATED_FAIL=f"{kind}:{rank}:{call}")
    expect(status in (0, 74), about)
    expect(said.count(": error") == (status != 0), f"one line: {about}")
    expect(status == 0 or "cuda:0" in said, f"which device: {about}")
    return status != 0


def drawn(job, ranks, counts):
    """A few (kind, rank, call): of each kind one call, which any number of ranks may come to."""
    dice = random.Random(f"{SEED} {job} {ranks}")
    for kind in ("cuda", "memory") + (("nccl", "hang") if ranks == 3 else ()):
        rank = dice.randrange(ranks)
        yield kind, rank, 1 + dice.randrange(counts[rank][kind in ("nccl", "hang")])


def every(_, ranks, counts):
    """(kind, rank, call) of the first and the last rank, of each way to a call of CUDA (memory: the first alone) and each call of
    NCCL."""
    for rank in sorted({0, ranks - 1}):
        _, nccl, ways = counts[rank]
        last = {way: call for call, way in enumerate(ways, 1)}
        first = {way: ways.index(way) + 1 for way in last}
        for call in sorted({*first.values(), *last.values()}):
            yield "cuda", rank, call
        for call in sorted(first.values()):
            yield "memory", rank, call
        for kind in ("nccl", "hang"):
            yield from ((kind, rank, 1 + call) for call in range(nccl))


def check_fails(folder, choose):
    runs = ended = 0
    wrong = []
    for job in JOBS:
        for ranks in (1, 3):
            for kind, rank, call in choose(job, ranks, count_calls(folder, job, ranks)):
                runs += 1
                try:
                    ended += fail(folder, job, ranks, kind, rank, call)
                except Wrong as reason:
                    print(f"{reason}", flush=True)
                    wrong.append(f"{job} {ranks} ranks {kind}:{rank}:{call}")
                    remove(os.path.join(folder, JOBS[job][0]))
    print(f"{runs} runs, of which {ended} ended with an error")
    expect(not wrong, f"{len(wrong)} are wrong: {', '.join(wrong)}")
    expect(2 * ended > runs, "most failures must be seen")


def main():
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        if sys.argv[5] == "same":
            check_same(folder)
        else:
            check_fails(folder, every if sys.argv[5] == "fails-all" else drawn)


if __name__ == "__main__":
    try:
        main()
    except Wrong as reason:
        sys.exit(f"check_jobs.py: {reason}")
