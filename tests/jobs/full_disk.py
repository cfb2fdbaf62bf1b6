#!/usr/bin/python3
"""Lets the disk refuse at every write point of pack, train and score, one after the other: nothing is lost, and the same command
goes on to the same bytes once there is room.

Usage:  full_disk.py PROGRAM [HITS]     HITS: most hits of one fault point that are tried, spread over all of them; default: all

For each fault point of io/file.h that a write passes and each time that a job passes it: the job ends with 0 (it could do
without) or 74 and one error line, nothing stands half-written under a final name or is left beside the outputs, and a second
run without the fault gives the bytes of an undisturbed one. Then, where this process may mount one, on a tmpfs that is too
small by and by, and on one that is read-only (65). Prints a line a job and point, and at the end "N moments, all well". Exit
status: 0, or 1 at the first that is not.
"""

import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from folders import content

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
POINTS = ["io.mkdir", "io.create", "io.write", "io.close", "io.fsync", "io.rename"]
FEATURES = ["--weights", "random:7", "--batch", "2", "--checkpoint", "0"]
JOBS = {
    "pack": ["--list", "list.csv", "--shard-images", "9", "--archive", "{}"],
    "train": ["--archive", "archive", "--resize", "64", "--crop", "64", "--ratios", "20%", "--bank", "{}", *FEATURES],
    "score": ["--archive", "archive", "--bank", "bank", "--split", "all", "--results", "{}", *FEATURES],
}
MOST_HITS = 1000


def fail(what):
    sys.exit(f"full_disk.py: {what}")


def run(program, job, output, fault=""):
    options = [word.format(output) for word in JOBS[job]]
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", PATCHBANK_FAULT=fault,
                       OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_mpi_yield_when_idle="1")
    done = subprocess.run(["mpiexec", "-n", "2", program, job, *options], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300)
    return done.returncode, done.stdout


def remove(path):
    for name in (path, path + ".state"):
        shutil.rmtree(name, ignore_errors=True)
        if os.path.isfile(name):
            os.remove(name)


def check_failed(job, output, code, said, where):
    if code not in (0, 74):
        fail(f"{job}, {where}: exit code {code}:\n{said}")
    if code == 74 and said.count(": error") != 1:
        fail(f"{job}, {where}: not one error line:\n{said}")
    parent = os.path.dirname(output) or "."
    left = [name for name in os.listdir(parent) if ".part-" in name]
    if left:
        fail(f"{job}, {where}: left {left}")


def check_again(program, job, output, whole, where):
    if job == "pack" and os.path.exists(os.path.join(output, "manifest.json")):
        if content(output) != whole:   # the fault came after the last of it, or the job could do without
            fail(f"{job}, {where}: a manifest beside other bytes")
    else:
        code, said = run(program, job, output)
        if code != 0 or content(output) != whole:
            fail(f"{job}, {where}: the second run: exit code {code}, other bytes:\n{said}")
    if os.path.exists(output + ".state") or os.path.exists(os.path.join(output, "state")):
        fail(f"{job}, {where}: the state is still there")
    remove(output)


def passes(program, job, point, output):
    """How often rank 0 passes a point: the first hit that never comes lets the job end without a word of it."""
    low, high = 0, 1
    while high < MOST_HITS and is_passed(program, job, f"{point}@0:{high}", output):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if is_passed(program, job, f"{point}@0:{middle}", output):
            low = middle
        else:
            high = middle
    return low


def is_passed(program, job, fault, output):
    """Killed there, a run says so by its exit code."""
    code, _ = run(program, job, output, fault + "!kill")
    remove(output)
    return code != 0


def sweep(program, job, whole, most):
    count = 0
    for point in POINTS:
        hits = passes(program, job, point, "out")
        chosen = range(1, hits + 1) if hits <= most else sorted({1 + i * (hits - 1) // (most - 1) for i in range(most)})
        for hit in chosen:
            fault = f"{point}@0:{hit}"
            code, said = run(program, job, "out", fault)
            check_failed(job, "out", code, said, fault)
            check_again(program, job, "out", whole, fault)
            count += 1
        print(f"{job:6} {point:10} {hits:4} times passed, {len(chosen):4} refused", flush=True)
    return count


def mounted(folder, options):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], stderr=subprocess.DEVNULL).returncode == 0


def small_disks(program, job, whole):
    """A tmpfs that grows by a quarter of the output until the job ends well, each time going on from what the last left."""
    size = sum(len(content) for content in whole.values())
    os.makedirs("small")
    if not mounted("small", "size=16k"):
        print(f"{job:6} no tmpfs can be mounted here: passed over")
        return 0
    try:
        for step in range(1, 100):
            subprocess.run(["mount", "-o", f"remount,size={16384 + step * max(size // 4, 16384)}", "small"], check=True)
            code, said = run(program, job, "small/out")
            check_failed(job, "small/out", code, said, f"a tmpfs, step {step}")
            if code == 0:
                break
        if code != 0 or content("small/out") != whole:
            fail(f"{job}, a tmpfs that grew: exit code {code}, other bytes:\n{said}")
        remove("small/out")
        subprocess.run(["mount", "-o", "remount,ro", "small"], check=True)
        code, said = run(program, job, "small/out")
        if code != 65 or said.count(": error") != 1:
            fail(f"{job}, a read-only file system: exit code {code}:\n{said}")
    finally:
        subprocess.run(["umount", "small"], check=False)
    os.rmdir("small")
    print(f"{job:6} tmpfs      {step:4} sizes, the last one enough; read-only: 65", flush=True)
    return step + 1


def main():
    program, most = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else MOST_HITS
    count = 0
    with tempfile.TemporaryDirectory(prefix="patchbank-disk-") as folder:
        os.chdir(folder)
        subprocess.run([sys.executable, os.path.join(ROOT, "tests", "jobs", "make_images.py"), "."], check=True)
        for job, output in (("pack", "archive"), ("train", "bank"), ("score", "results")):
            code, said = run(program, job, output)
            if code != 0:
                fail(f"{job}: exit code {code}:\n{said}")
            whole = content(output)
            count += sweep(program, job, whole, most)
            count += small_disks(program, job, whole)
    print(f"{count} moments, all well")


main()
