"""What tests of slurm/ share: a folder with generated images, lists, a patchbank.conf, jobs submitted by slurm/submit.sh."""

import csv
import os
import subprocess
import sys
import tempfile

import cluster

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
sys.path.insert(0, os.path.join(ROOT, "tests"))
from folders import content  # noqa: E402, F401: for the tests
SCRIPTS = os.path.join(ROOT, "slurm")
PYTHON = "/usr/bin/python3"
NOT_INSTALLED = 77      # ctest's "skipped"

TRAIN_OPTIONS = "--resize 96 --crop 96 --projection 64 --ratios 5% --threads 1 --decoders 1"
SCORE_OPTIONS = "--threads 1 --decoders 1"


def repeated(rows, times):
    """The same images under other names: "images/x", "./images/x", "././images/x", ..."""
    return [["./" * time + path, *rest] for time in range(times) for path, *rest in rows]


class Fixture:
    """A folder below the cluster's, so that it goes with it. Rows of lists are (path, split, label, class, group)."""

    def __init__(self, running, program, **settings):
        """program: patchbank. settings: of patchbank.conf beyond those that all tests have."""
        self.cluster = running
        self.program = os.path.abspath(program)
        self.folder = tempfile.mkdtemp(dir=running.folder, prefix="site-")
        subprocess.run([PYTHON, os.path.join(ROOT, "tests/jobs/make_images.py"), self.folder], check=True)
        with open(self.path("list.csv"), newline="", encoding="utf-8") as file:
            self.head, *self.rows = csv.reader(file)
        self.settings = dict(
            PATCHBANK=self.program, NODES=2, TIME="10", WARNING=60, LOGS=self.path("logs"), WEIGHTS="random:7",
            TRAIN_OPTIONS=TRAIN_OPTIONS, SCORE_OPTIONS=SCORE_OPTIONS)
        self.settings.update(settings)
        self.write_settings()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_settings(self):
        with open(self.path("patchbank.conf"), "w", encoding="utf-8") as file:
            for name, value in self.settings.items():
                file.write(f'{name}="{value}"\n')

    def write_list(self, name, rows):
        with open(self.path(name), "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([self.head, *rows])
        return self.path(name)

    def run(self, *words, expected=0):
        """patchbank as one process here, without Slurm; its standard output."""
        done = subprocess.run([self.program, *words, "--log-level", "warn"], env=self.cluster.environment, cwd=self.folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == expected, f"patchbank {' '.join(words)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def script(self, name, *words):
        """A script of slurm/ with this folder's settings; its standard output."""
        done = subprocess.run(["bash", os.path.join(SCRIPTS, name), *words], cwd=self.folder, stdin=subprocess.DEVNULL,
                              env=dict(self.cluster.environment, PATCHBANK_CONF=self.path("patchbank.conf")),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, f"{name} {' '.join(words)}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def submit(self, *words):
        """The number of the job that submit.sh has submitted."""
        return int(self.script("submit.sh", *words))

    def log_of(self, job):
        """What a job and its ranks said; of an array, task by task."""
        texts = []
        for name in sorted(os.listdir(self.path("logs"))):
            if name.endswith(f"-{job}.out"):
                with open(os.path.join(self.path("logs"), name), encoding="utf-8", errors="replace") as file:
                    texts.append(file.read())
        return "".join(texts)

    def finish(self, job, expected=0):
        """Waits for a job and insists on its exit code; the job, as Cluster.job has it."""
        ended = self.cluster.wait(job)
        assert ended["exit_code"] == expected, f"job {job}: {ended['JobState']} {ended['ExitCode']}\n{self.log_of(job)}"
        return ended


def run(test, nodes, program):
    """Runs test(cluster, program); the exit status."""
    if not cluster.installed():
        print("Slurm is not installed: jobs/install.sh test", file=sys.stderr)
        return NOT_INSTALLED
    with cluster.Cluster(nodes) as running:
        test(running, program)
    return 0
