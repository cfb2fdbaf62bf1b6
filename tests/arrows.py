#!/usr/bin/python3
"""A forbidden include does not compile, and an allowed one does: the build against the ```rooms block of docs/ARCHITECTURE.md.

Usage:  arrows.py BUILD      BUILD: a configured build folder with compile_commands.json

For each room R and each public header of each room S one line, #include "S/header.h", is compiled with exactly the include
folders and definitions of R's own sources. It must succeed when S is R or R -> S is an arrow (so every header is also complete
in itself), and must otherwise fail because that very file is not found. The same for <mpi.h> and <hdf5.h>, which have one room
each.

Prints each disagreement, then "N includes as they should be, M not". Exit status: 0 when all are, else 1.
"""

import json
import os
import re
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402  (the path has to be set first)

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
OUTSIDE = {"mpi.h": "mpi", "hdf5.h": "io"}  # those whose folder the compiler does not search by itself


def compilers(build, rooms):
    """{room: command line that compiles standard input as a source of the room, without output}"""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    commands = {}
    for entry in entries:
        room = os.path.relpath(entry["file"], os.path.realpath(ROOT)).split(os.sep)[0]
        if room in rooms and room not in commands:
            words = shlex.split(entry["command"])
            kept, i = [words[0]], 1
            while i < len(words):
                if words[i] in ("-isystem", "-include"):
                    kept += words[i:i + 2]
                    i += 1
                elif re.match(r"-(I|D|std=)", words[i]):
                    kept.append(words[i])
                i += 1
            commands[room] = (kept + ["-fsyntax-only", "-x", "c", "-"], entry["directory"])
    return commands


def attempt(compiler, include):
    """None when the one line compiles, else what the compiler says."""
    command, folder = compiler
    result = subprocess.run(command, cwd=folder, input=f"#include {include}\n", capture_output=True, text=True, check=False)
    return None if result.returncode == 0 else result.stderr


def disagreement(compiler, name, include, allowed):
    """None, or in one line how the compiler and the table disagree."""
    said = attempt(compiler, include)
    if allowed:
        return None if said is None else f"must compile: {(said.splitlines() or ['no message'])[0]}"
    if said is None:
        return "compiles, but is no arrow"
    return None if f"fatal error: {name}: No such file" in said else f"fails, but for another reason: {said.splitlines()[0]}"


def main():
    repository = tidy.Repository(ROOT)
    rooms = repository.rooms
    commands = compilers(sys.argv[1], rooms)
    good = bad = 0
    for room in sorted(rooms):
        if room not in commands:
            print(f"{room}: no source of it is compiled in {sys.argv[1]}")
            bad += 1
            continue
        allowed_rooms = rooms[room] | {room}
        cases = [(text.path, f'"{text.path}"', text.room in allowed_rooms) for text in repository.public_headers()]
        cases += [(name, f"<{name}>", home == room) for name, home in OUTSIDE.items()]
        for name, include, allowed in cases:
            trouble = disagreement(commands[room], name, include, allowed)
            if trouble:
                print(f"{room}: #include {include}: {trouble}")
                bad += 1
            else:
                good += 1
    print(f"{good} includes as they should be, {bad} not")
    return 0 if good > 0 and bad == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
