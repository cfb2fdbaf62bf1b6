#!/usr/bin/python3
"""Tests of tests/tidy.py: on a small sound tree every rule passes, and each rule fails on a tree with one fault for it.

Usage:  python3 tests/test_tidy.py
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
import tidy  # noqa: E402  (the path has to be set first)

HEADER = """/* {name}.h: what it is for. Not collective. */
#ifndef PB_{room}_{upper}_H
#define PB_{room}_{upper}_H

/* Adds one. */
int pb_{name}(int number);
int pb_{name}_twice(int number);

/* Two numbers;

   with a blank line inside. */
typedef struct pb_{name}_pair {{
    int first;

    int second;
}} pb_{name}_pair;

/* What can be called back. */
typedef int (*pb_{name}_callback)(int number);

static inline int pb_{name}_thrice(int number) {{ return 3 * number; }}

#endif
"""

SOURCE = """#include "{room}/{name}.h"

static const char *const TEXTS[] = {{"getenv(", "a // b", "\\"{{", "'"}};

/* signal() is named here, and abort(), but not called. */
int pb_{name}(int number) {{
    if (TEXTS[0][0] == '"' || TEXTS[0][0] == '{{')
        pthread_cond_signal(0);
    return number + 1;
}}
"""


def sound_tree():
    """{path: text} of a tree that keeps all rules."""
    tree = {
        "docs/ARCHITECTURE.md": "# Rooms\n\n```rooms\njobs -> io, base      the program\nio -> base\nmpi -> base\n"
                                "base -> (nothing)\n```\n",
        ".gitignore": "/build/\n*.pyc\n",
        "jobs/main.c": '#include "base/sum.h"\n#include "io/read.h"\n#include <jansson.h>\n\n#include <stdlib.h>\n\n'
                       'int main(void) { exit(getenv("X") != NULL); }\n',
        "tests/jobs/test_main.py": "# a test\n",
        "build/trash.c": "\t" + "x" * 500 + "\n",
        "LICENSE": "taken over \n",
    }
    for room, name in (("base", "sum"), ("base", "status"), ("io", "read"), ("mpi", "comm")):
        words = {"name": name, "room": room}
        tree[f"{room}/{name}.h"] = HEADER.format(name=name, room=room.upper(), upper=name.upper())
        tree[f"{room}/{name}.c"] = SOURCE.format(**words)
        tree[f"tests/{room}/test_{name}.c"] = f'#include "{room}/{name}.h"\n'
    tree["base/status.c"] += "\nvoid pb_stop(void) { abort(); }\n"
    tree["mpi/comm.c"] = "#include <mpi.h>\n" + tree["mpi/comm.c"]
    tree["io/inside.h"] = "/* inside.h: private to io/. */\nint pb_inside(int number);\n"
    return tree


def append(path, text):
    def change(tree):
        tree[path] = tree.get(path, "") + text
    return change


def replace(path, old, new):
    def change(tree):
        assert old in tree[path], (path, old)
        tree[path] = tree[path].replace(old, new, 1)
    return change


def remove(path):
    def change(tree):
        del tree[path]
    return change


def function_of(lines):
    """A function of so many lines, with braces inside."""
    return "\nvoid pb_long(int n) {\n" + "    if (n) {\n    }\n" * ((lines - 2) // 2) + "    n++;\n" * (lines % 2) + "}\n"


# What breaks which rule, where: (rule, part of the report, change).
FAULTS = (
    ("file-length", "io/read.c:801", append("io/read.c", "\n" * 791)),
    ("file-length", "tests/tool.py", append("tests/tool.py", "x = 1\n" * 801)),
    ("function-length", "pb_long has 71 lines", append("io/read.c", function_of(71))),
    ("function-length", "Test(read, works) has 72", append("tests/io/test_read.c", function_of(72).replace(
        "void pb_long(int n)", "Test(read, works)"))),
    ("function-length", "pb_marked has 71 lines", append("io/read.c", function_of(71).replace(
        "void pb_long", '__attribute__((target("avx2")))\nvoid pb_marked').replace("    n++;\n", "", 1))),
    ("width", "io/read.c:11", append("io/read.c", "/* " + "x" * 125 + " */\n")),
    ("include-parent", "io/read.c:11", append("io/read.c", '#include "../base/sum.h"\n')),
    ("include-parent", "tests/io/test_read.c", append("tests/io/test_read.c", '# include <../base/sum.h>\n')),
    ("arrows", "base -> io is no arrow", append("base/sum.c", '#include "io/read.h"\n')),
    ("arrows", "io -> mpi is no arrow", replace("io/read.h", "/* Adds", '#include "mpi/comm.h"\n\n/* Adds')),
    ("arrows", "io -> mpi is no arrow", append("io/read.c", '#include <mpi/comm.h>\n')),
    ("arrows", "io/inside.h is private to io/", append("jobs/main.c", '#include "io/inside.h"\n')),
    ("arrows", 'write "room/file.h"', append("io/read.c", '#include "read.h"\n')),
    ("arrows", "no ```rooms block", replace("docs/ARCHITECTURE.md", "```rooms", "```text")),
    ("arrows", "no ```rooms block", replace("docs/ARCHITECTURE.md", "io -> base", "io may use base")),
    ("arrows", "no ```rooms block", replace("docs/ARCHITECTURE.md", "io -> base", "io -> bass")),
    ("outside-headers", "<mpi.h> only in mpi/", append("io/read.c", "#include <mpi.h>\n")),
    ("outside-headers", "<mpi.h> only in mpi/", append("tests/io/test_read.c", "#include <mpi.h>\n")),
    ("outside-headers", "<hdf5.h> only in io/", append("jobs/main.c", "#include <hdf5.h>\n")),
    ("outside-headers", "gpu/cpu_network", append("io/read.c", "#include <oneapi/dnnl/dnnl.h>\n")),
    ("outside-headers", "<cuda_runtime.h> only in gpu/cuda/", append("io/read.c", "#include <cuda_runtime.h>\n")),
    ("outside-headers", "io/, jobs/", append("base/sum.c", "#include <jansson.h>\n")),
    ("outside-headers", "<png.h>", append("base/sum.c", "#include <png.h>\n")),
    ("process-calls", "getenv()", append("io/read.c", 'const char *pb_x(void) { return getenv("X"); }\n')),
    ("process-calls", "signal()", append("io/read.c", "void pb_x(void) { signal (1, 0); }\n")),
    ("process-calls", "exit()", append("base/status.c", "void pb_x(void) { exit(1); }\n")),
    ("process-calls", "abort()", append("jobs/main.c", "void pb_x(void) { abort(); }\n")),
    ("process-calls", "_exit()", append("io/read.h", "#define X 1\nvoid pb_x(void) { _exit(1); }\n#endif\n")),
    ("header-opening", "io/read.h:1", replace("io/read.h", "/* read.h:", "/* Not collective:")),
    ("header-guard", "PB_IO_READ_H", replace("io/read.h", "#define PB_IO_READ_H", "#define PB_READ_H")),
    ("header-guard", "PB_IO_READ_H", append("io/read.h", "\nenum { AFTER };\n")),
    ("prototype-comment", "io/read.h:8", replace("io/read.h", "int pb_read_twice", "\nint pb_read_twice")),
    ("prototype-comment", "io/read.h:5", replace("io/read.h", "/* Adds one. */\n", "")),
    ("collectivity", "io/read.h:1", replace("io/read.h", " Not collective.", "")),
    ("mirrored-test", "io/read.c:1", remove("tests/io/test_read.c")),
    ("mirrored-test", "io/deep/cut.cu:1", append("io/deep/cut.cu", "int pb_cut;\n")),
    ("mirrored-test", "jobs/tool.py:1", append("jobs/tool.py", "True\n")),
    ("blanks", "io/read.c:11: blanks: a tab", append("io/read.c", "/*\tx */\n")),
    ("blanks", "at the end", append("docs/NOTES.md", "two blanks  \n")),
    ("blanks", "at the end", append("docs/NOTES.md", "from Windows\r\n")),
    ("reminders", "io/read.c:11", append("io/read.c", "/* TO" "DO: more */\n")),
    ("reminders", "docs/NOTES.md:1", append("docs/NOTES.md", "X" "XX\n")),
    ("merge-markers", "docs/NOTES.md:1", append("docs/NOTES.md", "<" * 7 + " HEAD\n")),
    ("merge-markers", "docs/NOTES.md:1", append("docs/NOTES.md", ">" * 7 + " topic\n")),
    ("machine-paths", "tests/run.sh:1", append("tests/run.sh", "cd /wo" "rk/main\n")),
    ("machine-paths", "docs/NOTES.md:1", append("docs/NOTES.md", "in /ho" "me/me and /tmp/bui" "ld-x\n")),
)


class TidyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name

    def write(self, tree):
        for path, text in tree.items():
            place = os.path.join(self.root, path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "w", encoding="utf-8", newline="") as file:
                file.write(text)

    def reports(self, tested_elsewhere=()):
        found = tidy.violations(tidy.Repository(self.root, tested_elsewhere))
        return {name: [f"{path}:{line}: {name}: {what}" for path, line, what in list_] for name, list_ in found.items() if list_}

    def test_sound_tree_passes(self):
        self.write(sound_tree())
        self.assertEqual(self.reports(), {})

    def test_rooms_are_read(self):
        tree = sound_tree()
        replace("docs/ARCHITECTURE.md", "-> (nothing)", "->")(tree)
        self.write(tree)
        self.assertEqual(tidy.Repository(self.root).rooms,
                         {"jobs": {"io", "base"}, "io": {"base"}, "mpi": {"base"}, "base": set()})
        self.assertEqual(self.reports(), {})

    def test_each_rule_fails_alone(self):
        for rule, part, change in FAULTS:
            with self.subTest(rule=rule, part=part), tempfile.TemporaryDirectory() as name:
                self.root = name
                tree = sound_tree()
                change(tree)
                self.write(tree)
                reports = self.reports()
                self.assertEqual(list(reports), [rule], reports)
                self.assertTrue(any(part in report for report in reports[rule]), reports)

    def test_every_rule_has_a_fault(self):
        self.assertEqual({rule for rule, _, _ in FAULTS}, {tidy.rule_name(rule) for rule in tidy.RULES})

    def test_limits_themselves_are_allowed(self):
        tree = sound_tree()
        append("io/read.c", function_of(70) + "\n" * (800 - 10 - 71))(tree)
        append("base/sum.c", "/* " + "x" * 124 + " */\n")(tree)
        self.write(tree)
        self.assertEqual(self.reports(), {})

    def test_allow_list_is_used_and_must_be_needed(self):
        tree = sound_tree()
        remove("tests/io/test_read.c")(tree)
        self.write(tree)
        test = "tests/jobs/test_main.py"
        self.assertEqual(self.reports([(test, "why", ["io/read.c"])]), {})
        for wrong in ([(test, "", ["io/read.c"])], [("tests/io/test_read.c", "why", ["io/read.c"])],
                      [(test, "why", ["io/read.c", "io/gone.c"])], [(test, "why", ["io/read.c", "mpi/comm.c"])]):
            self.assertEqual(list(self.reports(wrong)), ["mirrored-test"])

    def run_program(self):
        """(exit status, lines of output) of tidy.py on the tree."""
        output = io.StringIO()
        with mock.patch.object(tidy, "TESTED_ELSEWHERE", ()), mock.patch.object(sys, "argv", ["tidy.py", self.root]), \
                contextlib.redirect_stdout(output):
            return tidy.main(), output.getvalue().splitlines()

    def test_program_reports_counts_and_exit_status(self):
        tree = sound_tree()
        self.write(tree)
        status, lines = self.run_program()
        self.assertEqual((status, lines[-1]), (0, f"{len(tidy.RULES)} rules passed, 0 failed"))
        append("io/read.c", "/*\tx */\n")(tree)
        append("io/read.h", "\n/* " + "x" * 125 + " */\n")(tree)
        self.write(tree)
        status, lines = self.run_program()
        self.assertIn("io/read.c:11: blanks: a tab", lines)
        self.assertEqual((status, lines[-1]), (1, f"{len(tidy.RULES) - 3} rules passed, 3 failed"))

    def test_program_itself(self):
        command = [sys.executable, os.path.join(HERE, "tidy.py")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertRegex(result.stdout.splitlines()[-1], r"^\d+ rules passed, \d+ failed$")
        self.assertEqual(result.returncode == 0, result.stdout.endswith(" 0 failed\n"))

    def test_functions_are_measured(self):
        text = tidy.Text("x.c", "#define A {\n" + function_of(12) + "struct s {\n    int a[2];\n} s = {.a = {1, 2}};\n"
                         'static int two(\n    int a) {\n    return a == \'{\' ? 1 : 2; /* } */\n}\n')
        self.assertEqual([(last - first + 1, name) for first, last, name in text.functions()], [(12, "pb_long"), (4, "two")])


if __name__ == "__main__":
    unittest.main()
