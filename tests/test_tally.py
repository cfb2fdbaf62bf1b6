#!/usr/bin/python3
"""Tests of tests/tally.py: a miscount would hide failures from tests/run.sh.

Usage:  python3 tests/test_tally.py
"""

import os
import subprocess
import sys
import tempfile
import unittest

TALLY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tally.py")

MIXED = """import unittest
class Mixed(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail()
    def test_error(self): raise OSError()
    def test_skipped(self): self.skipTest("why")
    def test_subtests(self):
        for i in range(3):
            with self.subTest(i=i): self.assertEqual(i, 1)
    @unittest.expectedFailure
    def test_unexpected(self): pass
"""

CTEST = """<?xml version="1.0"?><testsuite name="x" tests="5">
<testcase name="a" status="run"/><testcase name="b" status="run"/>
<testcase name="c" status="fail"><failure message=""/></testcase>
<testcase name="d" status="notrun"><skipped message="Unable to find executable"/></testcase>
<testcase name="e" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>
<testcase name="f" status="disabled"/></testsuite>
"""


class TallyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = os.path.join(self.folder, "new", "results.xml")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def tally(self, *words):
        return subprocess.run([sys.executable, TALLY, *words], capture_output=True, text=True, check=False)

    def count(self):
        return self.tally("count", self.file).stdout

    def test_unittests_of_each_outcome(self):
        self.write("test_mixed.py", MIXED)
        self.assertEqual(self.tally("unittest", self.folder, self.file).returncode, 1)
        self.assertEqual(self.count(), "1 4 1\n")

    def test_file_that_cannot_be_imported_is_a_failure(self):
        self.write("test_broken.py", "import nothing_of_this_name\n")
        self.write("test_good.py", MIXED.split("    def test_bad")[0])
        self.assertEqual(self.tally("unittest", self.folder, self.file).returncode, 1)
        self.assertEqual(self.count(), "1 1 0\n")

    def test_all_good(self):
        self.write("test_good.py", MIXED.split("    def test_bad")[0])
        self.assertEqual(self.tally("unittest", self.folder, self.file).returncode, 0)
        self.assertEqual(self.count(), "1 0 0\n")

    def test_failing_setup_of_a_class_is_a_failure(self):
        set_up = "    @classmethod\n    def setUpClass(cls): raise OSError()\n"
        self.write("test_set_up.py", MIXED.split("    def test_bad")[0] + set_up)
        self.assertEqual(self.tally("unittest", self.folder, self.file).returncode, 1)
        self.assertEqual(self.count(), "0 1 0\n")

    def test_results_of_ctest(self):
        self.file = os.path.join(self.folder, "junit.xml")
        self.write("junit.xml", CTEST)
        self.assertEqual(self.count(), "2 2 2\n")

    def test_no_results(self):
        self.assertEqual(self.tally("count", self.file).returncode, 1)
        self.write("half.xml", CTEST[:100])
        self.assertEqual(self.tally("count", os.path.join(self.folder, "half.xml")).returncode, 1)
        self.assertEqual(self.tally("count").returncode, 64)


if __name__ == "__main__":
    unittest.main()
