#!/usr/bin/python3
"""Tests of jobs/install.sh, with stand-ins for dpkg-query, apt-get, id, sudo, pip and cc: nothing is installed.

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
# Python: its pip. Keeps the requirements, and unpacks what stands for NVIDIA's wheels.
PIP = """#!/bin/bash
echo "$*" >> "$STATE/calls"
while [ $# -gt 0 ]; do
    case $1 in
        --target) target=$2 ;;
        --requirement) cat "$2" > "$STATE/requirements" ;;
    esac
    shift
done
if grep -q cudnn "$STATE/requirements"; then
    mkdir -p "$target/nvidia/cu13/lib" "$target/nvidia/cudnn/include" "$target/nvidia/cudnn/lib"
    [ ! -e "$STATE/no-cudnn" ] || exit 1
    touch "$target/nvidia/cu13/lib/libnvrtc.so.13" "$target/nvidia/cudnn/lib/libcudnn.so.9"
    touch "$target/nvidia/cudnn/include/cudnn.h" "$target/nvidia/cudnn/include/cudnn_version.h"
    exit
fi
mkdir -p "$target/nvidia/cu13/bin" "$target/nvidia/cu13/lib"
[ ! -e "$STATE/broken" ] || exit 1
echo '#!/bin/bash' > "$target/nvidia/cu13/bin/nvcc"
chmod +x "$target/nvidia/cu13/bin/nvcc"
touch "$target/nvidia/cu13/lib/libcudart.so.13"
"""
# The preprocessor's list of what is included: where it is found, else its name.
CC = """#!/bin/bash
for word; do
    case $word in
        -I*) [ ! -e "${word#-I}/cudnn.h" ] || { echo "-: ${word#-I}/cudnn.h"; exit; } ;;
    esac
done
echo "-: cudnn.h"
"""


class InstallTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = folder.name
        for name, text in (("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET), ("id", ID), ("sudo", SUDO),
                           ("python3", PIP), ("cc", CC)):
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
        environment = dict(os.environ, STATE=self.state, PATH=self.state + ":/usr/bin:/bin", CUDA_PATH=self.state)
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

    def test_nvcc_comes_whole_and_pinned(self):
        folder = os.path.join(self.state, "below", "cuda")
        result = self.install("cuda", folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(os.access(os.path.join(folder, "bin", "nvcc"), os.X_OK))
        self.assertTrue(os.path.exists(os.path.join(folder, "lib64", "libcudart.so")), "links that lead somewhere")
        self.assertEqual(os.listdir(os.path.dirname(folder)), ["cuda"], "nothing else is left")
        (call,) = self.calls()
        for word in ("-m pip install", "--require-hashes", "--no-deps", "--only-binary :all:"):
            self.assertIn(word, call)
        with open(os.path.join(self.state, "requirements"), encoding="utf-8") as file:
            lines = file.read().split("\n")
        lines = [line for line in lines if line]
        self.assertEqual(len(lines), 5)
        for line in lines:
            self.assertRegex(line, r"^nvidia-[a-z-]+==13\.0\.\d+ --hash=sha256:[0-9a-f]{64}$")
        self.assertEqual(self.install("cuda", folder).returncode, 0)
        self.assertEqual(len(self.calls()), 1, "what is there is used again")

    def test_nvcc_that_is_there_is_enough(self):
        folder = os.path.join(self.state, "cuda")
        os.mkdir(os.path.join(self.state, "bin"))
        for place in ("nvcc", "bin/nvcc"):  # in PATH, in CUDA_PATH
            self.write(place, "")
            os.chmod(os.path.join(self.state, place), 0o755)
            result = self.install("cuda", folder)
            self.assertEqual((result.returncode, self.calls()), (0, []), result.stderr)
            os.remove(os.path.join(self.state, place))
        self.assertFalse(os.path.exists(folder))

    def test_nvcc_that_cannot_be_had_leaves_nothing(self):
        self.write("broken", "")
        before = sorted(os.listdir(self.state))
        result = self.install("cuda", os.path.join(self.state, "cuda"))
        self.assertEqual(result.returncode, 69)
        self.assertIn("cannot be installed from PyPI", result.stderr)
        self.assertEqual(sorted(set(os.listdir(self.state)) - {"requirements"}), before)

    def test_cudnn_comes_too_where_it_is_asked_for(self):
        folder = os.path.join(self.state, "cuda")
        self.assertEqual(self.install("cuda", folder).returncode, 0)
        self.assertFalse(os.path.exists(os.path.join(folder, "include", "cudnn.h")))
        before = sorted(os.listdir(self.state))
        for turn in range(2):  # into a folder that is there, and then it is there
            result = self.install("cuda", folder, "--cudnn")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(len(self.calls()), 2)
        for name in ("bin/nvcc", "include/cudnn.h", "include/cudnn_version.h", "lib64/libcudnn.so.9", "lib/libnvrtc.so.13"):
            self.assertTrue(os.path.exists(os.path.join(folder, name)), name)
        self.assertEqual(sorted(os.listdir(self.state)), before, "nothing else is left")
        with open(os.path.join(self.state, "requirements"), encoding="utf-8") as file:
            lines = [line for line in file.read().split("\n") if line]
        self.assertEqual([line.split("==")[0] for line in lines], ["nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-nvrtc"])
        for line in lines:
            self.assertRegex(line, r"^[a-z0-9-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}$")

    def test_both_at_once_leave_a_whole_folder_and_nothing_else(self):
        folder = os.path.join(self.state, "below", "cuda")
        self.assertEqual(self.install("cuda", folder, "--cudnn").returncode, 0)
        self.assertTrue(os.path.exists(os.path.join(folder, "include", "cudnn.h")))
        self.assertEqual(os.listdir(os.path.dirname(folder)), ["cuda"])

    def test_cudnn_that_cannot_be_had_leaves_the_compiler(self):
        self.write("no-cudnn", "")
        folder = os.path.join(self.state, "below", "cuda")
        result = self.install("cuda", folder, "--cudnn")
        self.assertEqual(result.returncode, 69)
        self.assertIn("cuDNN cannot be installed from PyPI", result.stderr)
        self.assertEqual(os.listdir(os.path.dirname(folder)), ["cuda"])
        self.assertFalse(os.path.exists(os.path.join(folder, "include", "cudnn.h")))
        os.remove(os.path.join(self.state, "no-cudnn"))
        self.assertEqual(self.install("cuda", folder, "--cudnn").returncode, 0)

    def test_wrong_usage(self):
        for words in ((), ("all",), ("build", "test"), ("cuda",), ("cuda", ""), ("cuda", "a", "b"), ("cuda", "a", "--cudnn", "b"),
                      ("cuda", "", "--cudnn"), ("cuda", "--cudnn")):
            self.assertEqual(self.install(*words).returncode, 64)
        self.assertEqual(self.calls(), [])


if __name__ == "__main__":
    unittest.main()
