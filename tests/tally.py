#!/usr/bin/python3
"""Counts test results for tests/run.sh, with the standard library alone.

Usage:  tally.py unittest FOLDER FILE    run FOLDER/test_*.py, write the results to FILE (JUnit's XML, as ctest does)
        tally.py count FILE              print "PASSED FAILED SKIPPED" of such a file

unittest: each test function is one test; exit status 1 when one failed. A test file that cannot be imported is a failure.
count: a test that could not be started (its program was not built) is a failure, not a skip; exit status 1 when FILE is none.
"""

import os
import sys
import unittest
import xml.etree.ElementTree as ElementTree


def run_unittests(folder, file):
    sys.dont_write_bytecode = True
    suite = unittest.TestLoader().discover(folder, pattern="test_*.py")
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=1).run(suite)
    # A test with failing subtests is in the lists once for each of them, but is one test.
    bad = {test.id().split(" ")[0] for test, _ in result.failures + result.errors}
    bad |= {test.id() for test in result.unexpectedSuccesses}
    skipped = {test.id() for test, _ in result.skipped} - bad
    ran = max(result.testsRun, len(bad) + len(skipped))
    top = ElementTree.Element("testsuite", name=folder, tests=str(ran))
    for name in sorted(bad):
        ElementTree.SubElement(top, "testcase", name=name, status="fail")
    for name in sorted(skipped):
        ElementTree.SubElement(ElementTree.SubElement(top, "testcase", name=name, status="notrun"), "skipped", message="SKIP")
    for number in range(ran - len(bad) - len(skipped)):
        ElementTree.SubElement(top, "testcase", name=f"passed {number + 1}", status="run")
    os.makedirs(os.path.dirname(file) or ".", exist_ok=True)
    ElementTree.ElementTree(top).write(file)
    return 1 if bad else 0


def count(file):
    passed = failed = skipped = 0
    for case in ElementTree.parse(file).getroot().iter("testcase"):
        reason = case.find("skipped")
        if case.get("status") == "run":
            passed += 1
        elif case.get("status") == "disabled" or (reason is not None and reason.get("message", "").startswith("SKIP")):
            skipped += 1
        else:
            failed += 1
    print(passed, failed, skipped)
    return 0


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "unittest":
        return run_unittests(sys.argv[2], sys.argv[3])
    if len(sys.argv) == 3 and sys.argv[1] == "count":
        try:
            return count(sys.argv[2])
        except (OSError, ElementTree.ParseError) as error:
            print(f"tally.py: {sys.argv[2]}: {error}", file=sys.stderr)
            return 1
    print(__doc__, file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main())
