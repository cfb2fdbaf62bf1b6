#!/usr/bin/python3
"""Tests of jobs/install.sh, with stand-ins for dpkg-query, apt-get, id and sudo: nothing is installed.

Usage:  python3 tests/jobs/test_install.py
"""

import os
import subprocess
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "jobs", "install.sh")

# `missing` lists the packages that dpkg lacks; `calls` gets a line for each call that changes the system.
DPKG_QUERY = """#!/bin/bash
for package; do :; done
grep -qx "$package" "$STATE/missing" && exit 1
echo -n installed
"""
APT_GET = """#!/bin/bash
echo "apt-get $* [$DEBIAN_FRONTEND]" >> "$STATE/calls"
[ "$1" = update ] || [ -e "$STATE/broken" ] || : > "$STATE/missing"
"""
ID = """#!/bin/bash
cat "$STATE/uid"
"""
SUDO = """#!/bin/bash
[ -e "$STATE/sudo-allowed" ] || exit 1
shift
[ "$1" = true ] || echo "sudo" >> "$STATE/calls"
exec "$@"
"""


class InstallTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = folder.name
        for name, text in (("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET), ("id", ID), ("sudo", SUDO)):
            self.write(name, text)
            os.chmod(os.path.join(self.state, name), 0o755)
        self.write("missing", "")
        self.write("calls", "")
        self.write("uid", "0")

    def write(self, name, text):
        with open(os.path.join(self.state, name), "w", encoding="utf-8") as file:
            file.write(text)

    def calls(self):
        with open(os.path.join(self.state, "calls"), encoding="utf-8") as file:
            return file.read().splitlines()

    def install(self, *words):
        environment = dict(os.environ, STATE=self.state, PATH=self.state + ":" + os.environ["PATH"])
        return subprocess.run(["bash", SCRIPT, *words], env=environment, capture_output=True, text=True, check=False)

    def test_nothing_missing_calls_nothing(self):
        self.write("uid", "1000")
        for words in ("build", "test"):
            result = self.install(words)
            self.assertEqual((result.returncode, self.calls()), (0, []), result.stderr)

    def test_only_what_is_missing_is_installed(self):
        self.write("missing", "libdnnl-dev\ncmake\nlibcriterion-dev\n")
        result = self.install("build")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.calls(), ["apt-get -q update [noninteractive]",
                                        "apt-get -q install -y --no-install-recommends cmake libdnnl-dev [noninteractive]"])

    def test_tests_need_more(self):
        self.write("missing", "libcriterion-dev\npython3-h5py\n")
        self.assertEqual(self.install("build").returncode, 0)
        self.assertEqual(self.calls(), [])
        self.assertEqual(self.install("test").returncode, 0)
        self.assertIn("no-install-recommends libcriterion-dev python3-h5py", self.calls()[1])

    def test_without_root_it_says_what_to_run(self):
        self.write("missing", "cmake\n")
        self.write("uid", "1000")
        result = self.install("build")
        self.assertEqual((result.returncode, self.calls()), (69, []))
        self.assertIn("needs root", result.stderr)
        self.assertIn("apt-get install --no-install-recommends cmake", result.stderr)

    def test_sudo_is_used_where_it_asks_nothing(self):
        self.write("missing", "cmake\n")
        self.write("uid", "1000")
        self.write("sudo-allowed", "")
        result = self.install("build")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([call.split()[0] for call in self.calls()], ["sudo", "apt-get", "sudo", "apt-get"])

    def test_apt_that_does_not_install_is_noticed(self):
        self.write("missing", "cmake\n")
        self.write("broken", "")
        result = self.install("build")
        self.assertEqual(result.returncode, 69)
        self.assertIn("still missing after apt-get: cmake", result.stderr)

    def test_wrong_usage(self):
        for words in ((), ("all",), ("build", "test")):
            self.assertEqual(self.install(*words).returncode, 64)
        self.assertEqual(self.calls(), [])


if __name__ == "__main__":
    unittest.main()
