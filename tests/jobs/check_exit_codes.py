#!/usr/bin/python3
"""check_exit_codes.py ARCHITECTURE.md < HELP: the table of "How a run goes wrong" is the exit code list of patchbank --help: the
same codes in the same order, with the same meanings and advice."""
import re
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    section = re.search(r"^## How a run goes wrong\n(.*?)(?=^## |\Z)", file.read(), flags=re.DOTALL | re.MULTILINE).group(1)
lines = [line.replace("`", "").strip("|") for line in section.splitlines() if line.startswith("|")]
rows = [[cell.strip() for cell in line.split("|")] for line in lines]
written = [f"{code}  {meaning}; {advice}" for code, meaning, advice in rows[2:]]
said = [line.strip() for line in sys.stdin.read().split("\nExit codes:\n")[1].splitlines()]
assert written == said and len(said) >= 8, f"the page has\n{written}\nthe program says\n{said}"
