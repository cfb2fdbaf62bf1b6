#!/usr/bin/python3
"""Tests of tests/long.sh, in a tree of stand-ins: nothing is installed, built or run for long.

Usage:  python3 tests/test_long.py
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "long.sh")

# Each notes its call, and fails where a file of its name stands in broken/.
COMMAND = """#!/bin/bash
echo "$(basename "$0") $* [${PATCHBANK_FUZZ_SECONDS-}]" >> calls
[ ! -e "broken/$(basename "$0")" ]
"""
PROGRAM = """import os, sys
name = os.path.basename(__file__)
open("calls", "a").write(name + "\\n")
sys.exit(os.path.exists("broken/" + name))
"""
PROGRAMS = {"mutate": "tests/gpu/cuda/mutate.py", "fails": "tests/gpu/check_jobs.py", "scaling": "tests/bench/scaling/tables.py",
            "disk": "tests/jobs/full_disk.py", "slurm": "tests/slurm/interrupt.py"}
PARTS = ["mutate", "fails", "fuzz", "scaling", "disk", "slurm"]


class LongTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        for name, text in [("bin/cmake", COMMAND), ("bin/ctest", COMMAND), ("jobs/install.sh", COMMAND),
                           ("docs/MUTATIONS.md", ""), ("build/calls", "")] + [(name, PROGRAM) for name in PROGRAMS.values()]:
            self.write(name, text)
        shutil.copy(SCRIPT, os.path.join(self.root, "tests", "long.sh"))

    def write(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def long(self, *words):
        """The run, its table as a list of (part, verdict), and the lines of what was called."""
        environment = dict(os.environ, PATH=os.path.join(self.root, "bin") + ":/usr/bin:/bin")
        run = subprocess.run(["bash", os.path.join(self.root, "tests", "long.sh"), *words], env=environment,
                             capture_output=True, text=True, check=False)
        table = re.findall(r"^(\w+) +(passed|failed) +\d+ s$", run.stdout, re.MULTILINE)
        calls = os.path.join(self.root, "calls")
        lines = []
        if os.path.exists(calls):
            with open(calls, encoding="utf-8") as file:
                lines = file.read().splitlines()
            os.remove(calls)
        return run, table, lines

    def test_all_parts(self):
        run, table, calls = self.long()
        self.assertEqual((run.returncode, table), (0, [(part, "passed") for part in PARTS]), run.stderr)
        self.assertEqual(calls[0], "install.sh test []")
        for program in PROGRAMS.values():
            self.assertIn(os.path.basename(program), calls)
        self.assertIn("ctest --preset fuzz [300]", calls)

    def test_a_failure_does_not_stop_the_rest(self):
        for part, program in list(PROGRAMS.items()) + [("fuzz", "ctest")]:
            self.write("broken/" + os.path.basename(program), "")
            run, table, _ = self.long()
            self.assertEqual(run.returncode, 1)
            self.assertEqual(table, [(name, "failed" if name == part else "passed") for name in PARTS])
            os.remove(os.path.join(self.root, "broken", os.path.basename(program)))
        self.write("docs/MUTATIONS.md", "another table\n")
        run, table, _ = self.long()
        self.assertEqual((run.returncode, table[:2]), (1, [("mutate", "failed"), ("fails", "passed")]))

    def test_what_is_not_built_has_failed_and_is_not_run(self):
        self.write("broken/cmake", "")
        run, table, calls = self.long()
        self.assertEqual((run.returncode, table), (1, [(part, "failed") for part in PARTS]))
        self.assertEqual(len(calls), 1 + len(PARTS), "install, and one configuration each")

    def test_what_is_not_installed_ends_it(self):
        self.write("broken/install.sh", "")
        run, table, calls = self.long()
        self.assertEqual((run.returncode, table, len(calls)), (1, [], 1))

    def test_only_the_named_parts(self):
        run, table, calls = self.long("7", "slurm", "fuzz")
        self.assertEqual((run.returncode, table), (0, [("slurm", "passed"), ("fuzz", "passed")]), run.stderr)
        self.assertIn("ctest --preset fuzz [7]", calls)
        self.assertNotIn("mutate.py", calls)
        run, table, calls = self.long("fuzz")
        self.assertEqual(table, [("fuzz", "passed")])
        self.assertIn("cmake --build --preset fuzz -j", calls[2])
        self.assertNotIn("--target", calls[2])

    def test_wrong_usage(self):
        for words in (("0",), ("fuzzy",), ("fuzz", "7"), ("",)):
            run, table, calls = self.long(*words)
            self.assertEqual((run.returncode, table, calls), (64, [], []))
            self.assertIn("parts: " + " ".join(PARTS), run.stderr)


if __name__ == "__main__":
    unittest.main()
