#!/usr/bin/python3
"""The recipes of packaging/ as far as they can be checked without Apptainer and Spack, which Debian does not have: Apptainer's
file by its sections, its files and its shell; Spack's recipes by running them against a stand-in for Spack's directives.

Usage:  test_packaging.py
"""

import os
import re
import subprocess
import sys
import types
import unittest

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir))
RECIPES = os.path.join(ROOT, "packaging/spack/spack_repo/patchbank")
SECTIONS = {"files", "post", "environment", "runscript", "test", "labels"}      # of Apptainer's, those that are used
# What jobs/install.sh installs to build with, and Spack's name for it. "": comes with another, or is only for the demo.
SPACK_NAMES = {
    "build-essential": "c", "cmake": "cmake", "ninja-build": "ninja", "pkg-config": "pkgconfig", "git": "",
    "libopenmpi-dev": "mpi", "openmpi-bin": "mpi", "libhdf5-dev": "hdf5", "libjpeg62-turbo-dev": "jpeg", "libpng-dev": "libpng",
    "libdnnl-dev": "onednn", "libjansson-dev": "jansson", "libcsv-dev": "libcsv", "libssl-dev": "openssl", "libisal-dev": "isa-l",
    "python3": "", "python3-pip": ""}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def sections(text):
    """{name: lines} of an Apptainer definition; its header under ""."""
    found, lines = {"": []}, []
    for line in text.splitlines():
        name = re.match(r"%(\w+)$", line)
        if name:
            found[name.group(1)] = []
        found[list(found)[-1]].append("" if name else line)
    return found


def recipe(name):
    """(class, calls) of a recipe: calls is a list of (directive, arguments, keywords)."""
    calls, module = [], types.ModuleType("spack.package")
    for directive in ("version", "variant", "depends_on", "generator", "license", "maintainers"):
        setattr(module, directive, lambda *words, _name=directive, **more: calls.append((_name, words, more)))
    bases = {"spack": types.ModuleType("spack"), "spack.package": module}
    for system, base in (("cmake", "CMakePackage"), ("autotools", "AutotoolsPackage")):
        path = f"spack_repo.builtin.build_systems.{system}"
        bases[path] = types.ModuleType(path)
        setattr(bases[path], base, type(base, (), {"define": staticmethod(lambda key, value: (key, value))}))
    for path in ("spack_repo", "spack_repo.builtin", "spack_repo.builtin.build_systems"):
        bases[path] = types.ModuleType(path)
    sys.modules.update(bases)
    names = {}
    text = read(os.path.join(RECIPES, "packages", name, "package.py"))
    exec(compile(text, name, "exec"), names)    # pylint: disable=exec-used
    return names[name.capitalize()], calls


class Apptainer(unittest.TestCase):
    def test_sections(self):
        found = sections(read("packaging/apptainer.def"))
        self.assertEqual(set(found) - {""}, SECTIONS)
        head = dict(line.split(": ") for line in found[""] if line and not line.startswith("#"))
        self.assertEqual(head, {"Bootstrap": "docker", "From": "debian:12-slim"})

    def test_files_are_there_and_are_all_that_the_build_reads(self):
        copied = [line.split() for line in sections(read("packaging/apptainer.def"))["files"] if line]
        self.assertTrue(all(len(words) == 2 and words[1] == "/src/" for words in copied), copied)
        names = {words[0] for words in copied}
        for name in names:
            self.assertTrue(os.path.exists(os.path.join(ROOT, name)), name)
        added = set(re.findall(r"^add_subdirectory\((\w+)\)", read("CMakeLists.txt"), flags=re.MULTILINE))
        used = added | set(re.findall(r"\$\{CMAKE_SOURCE_DIR\}/([\w.]+)", read("jobs/CMakeLists.txt")))
        self.assertEqual((used | {"cmake", "slurm", "CMakeLists.txt", "CMakePresets.json"}) - names, set())

    def test_shell(self):
        found = sections(read("packaging/apptainer.def"))
        for name in ("post", "environment", "runscript", "test"):
            done = subprocess.run(["bash", "-n"], input="\n".join(found[name]), capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
        presets = read("CMakePresets.json")
        for preset in re.findall(r"--preset (\w+)", "\n".join(found["post"])):
            self.assertIn(f'"name": "{preset}"', presets)


class Spack(unittest.TestCase):
    def test_repository(self):
        self.assertIn("namespace: patchbank", read(os.path.join(RECIPES, "repo.yaml")))

    def test_version_is_the_projects(self):
        version = re.search(r"project\(patchbank VERSION (\S+)", read("CMakeLists.txt")).group(1)
        self.assertEqual([words for name, words, _ in recipe("patchbank")[1] if name == "version"], [(version,)])
        self.assertIn(f"patchbank@{version}", read(os.path.join(RECIPES, "repo.yaml")))

    def test_depends_on_what_debian_installs(self):
        packages = re.search(r"BUILD_PACKAGES=\((.*?)\n\)", read("jobs/install.sh"), flags=re.DOTALL).group(1)
        wanted = {SPACK_NAMES[package] for line in packages.splitlines() for package in line.split("#")[0].split()} - {""}
        always = {re.match(r"[\w-]+", words[0]).group() for name, words, more in recipe("patchbank")[1]
                  if name == "depends_on" and "when" not in more}
        self.assertEqual(always, wanted)

    def test_options_exist(self):
        package, calls = recipe("patchbank")
        given = package()
        for cuda in (True, False):
            given.spec = types.SimpleNamespace(satisfies=lambda words, cuda=cuda: cuda and words == "+cuda")
            arguments = dict(given.cmake_args())
            self.assertEqual(arguments, {"PB_TESTS": False, "PB_CUDA": "ON" if cuda else "OFF"})
        texts = read("CMakeLists.txt") + read("gpu/cuda/CMakeLists.txt")
        for name in arguments:
            self.assertRegex(texts, rf"(option|set)\({name} ")
        self.assertIn(("variant", "cuda"), [(name, words[0]) for name, words, _ in calls])

    def test_libcsv(self):
        _, calls = recipe("libcsv")
        versions = [(words, more) for name, words, more in calls if name == "version"]
        self.assertEqual(versions[0][0], ("3.0.3",))
        self.assertRegex(versions[0][1]["commit"], "^[0-9a-f]{40}$")


if __name__ == "__main__":
    unittest.main()
