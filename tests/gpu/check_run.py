#!/usr/bin/python3
"""tests/gpu/run.sh without a GPU: what it answers then, and a rehearsal of its parts on other devices.

Usage:  check_run.py SOURCES BUILD EMULATED_PLUGIN WRONG_KERNEL skips|table|wrong|jobs

  skips   no GPU is visible: exit status 77 and one line that names what is missing; wrong options: 64
  table   bench_device on sets of the CPU's kernels and on the emulator: all rows are there, the same as JSON, none wrong
  wrong   compare.py, check_device and bench_device notice what is wrong: other figures, a NaN, a kernel that does nothing
  jobs    jobs and table on "cpu:plain" and on the emulator, from images to the verdict

Exit status: 0 when all is as said, else 1 with the reason.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

SOURCES, BUILD, PLUGIN, WRONG_KERNEL = (os.path.abspath(path) for path in sys.argv[1:5])
RUN = os.path.join(SOURCES, "tests/gpu/run.sh")
COMPARE = os.path.join(SOURCES, "tests/gpu/compare.py")
BENCH = os.path.join(BUILD, "tests/bench/bench_device")
CHECK = os.path.join(BUILD, "tests/gpu/cuda/check_device")
OPERATIONS = ["copy", "patch_features", "patchcore_features", "unit_rows", "project", "smooth_maps", "points_write",
              "greedy_step", "search", "selection"]


def run(*command, **environment):
    """(exit status, standard output and error)"""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env={**os.environ, "PATCHBANK_CUDA_PLUGIN": PLUGIN, **environment})
    return done.returncode, done.stdout


def expect(condition, what):
    if not condition:
        sys.exit(f"check_run.py: {what}")


def check_skips():
    status, said = run("bash", RUN, CUDA_VISIBLE_DEVICES="-1")
    expect(status == 77 and re.fullmatch(r"tests/gpu/run\.sh: skipped: no (driver|GPU) .*\n", said), f"{status}: {said}")
    for options in (["--device"], ["--unheard"], ["search"]):
        status, said = run("bash", RUN, *options)
        expect(status == 64 and "--device NAME" in said, f"{options}: {status}: {said}")


def check_table_of(device, folder):
    path = os.path.join(folder, "rows.jsonl")
    status, said = run(BENCH, "--quick", "--json", path, device)
    expect(status == 0 and said.endswith("# 0 values wrong\n"), f"{device}: {status}: {said}")
    rows = [line.replace("copy, unit_rows", "unit_rows").split() for line in said.splitlines() if not line.startswith("#")]
    expect([row[0] for row in rows] == OPERATIONS, said)
    with open(path, encoding="utf-8") as file:
        written = [json.loads(line) for line in file]
    os.remove(path)
    expect([row["operation"].split()[-1] for row in written] == OPERATIONS, written)
    for row, columns in zip(written, rows):
        expect(row["wrong"] == int(columns[-1]) == 0 and 0 < row["median_us"] <= row["p99_us"], row)
        expect(row["percent"] is None or 0 <= row["percent"], row)


def check_table():
    with tempfile.TemporaryDirectory() as folder:
        for device in ("cpu", "cpu:plain", "cuda:0"):
            check_table_of(device, folder)
    expect(run(BENCH, "cpu:none")[0] == 69 and run(BENCH)[0] == 64, "unknown devices")


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def check_wrong():
    with tempfile.TemporaryDirectory() as folder:
        lists = [write(folder, f"{i}.csv", "path,score\r\n" + rows) for i, rows in enumerate(
            ("a,1\r\nb,2\r\nc,\r\n", "a,1.0001\r\nb,2\r\nc,\r\n", "a,1.1\r\nb,2\r\n", "a,nan\r\nb,2\r\n", "a,1\r\n", ""))]
        answers = [run(COMPARE, "scores", "1e-3", lists[0], other)[0] for other in lists]
        expect(answers == [0, 0, 1, 1, 1, 1], answers)
        figures = [write(folder, f"{i}.json", json.dumps({"class": [{"auroc": figure}]})) for i, figure in
                   enumerate((0.9, 0.89, 0.8, float("nan")))]
        answers = [run(COMPARE, "auroc", "0.02", figures[0], other)[0] for other in figures]
        expect(answers == [0, 0, 1, 1], answers)
    status, said = run(CHECK, "--quick", "cuda:0", LD_PRELOAD=WRONG_KERNEL)
    expect(status == 1 and re.search(r"^project .* 15  first with uniform numbers, n 1,", said, flags=re.MULTILINE) and
           "\n# 9 as the reference has it, 1 wrong, " in said, said)
    status, said = run(BENCH, "--quick", "cuda:0", LD_PRELOAD=WRONG_KERNEL)
    expect(status == 1 and said.endswith("# 2560 values wrong\n"), said)
    expect(run(CHECK)[0] == 64 and run(CHECK, "cuda:7")[0] == 69, "unknown devices")


def check_jobs():
    with tempfile.TemporaryDirectory() as folder:
        for command in ([sys.executable, os.path.join(SOURCES, "tests/jobs/make_images.py"), folder],
                        [os.path.join(BUILD, "jobs/patchbank"), "pack", "--list", os.path.join(folder, "list.csv"),
                         "--archive", os.path.join(folder, "archive")]):
            status, said = run(*command)
            expect(status == 0, said)
        for device in ("cpu:plain", "cuda:0"):
            status, said = run("bash", RUN, "--quick", "--build", BUILD, "--device", device, "--weights", "random:1",
                               "--archive", os.path.join(folder, "archive"), "jobs", "bench", "memcheck")
            print(said)
            with open(os.path.join(BUILD, "gpu-run/rows.jsonl"), encoding="utf-8") as file:
                rows = [json.loads(line) for line in file]
            expect(sum(row["bench"] == "exchange" for row in rows) == 20, "rows of exchanges")
            expect(all(row["wrong"] == 0 for row in rows if row["bench"] != "extract"), rows)
            verdict = re.search(r"^(\d+) passed, 0 failed, (\d+) not supported\n\Z", said, flags=re.MULTILINE)
            expect(status == 0 and verdict and int(verdict.group(1)) > 0, f"{device}: {status}")


if __name__ == "__main__":
    {"skips": check_skips, "table": check_table, "wrong": check_wrong, "jobs": check_jobs}[sys.argv[5]]()
