#!/usr/bin/python3
"""Shows that a library has machine code for GPU architectures, for each of its CUDA sources, and PTX for later ones.

Usage:  architectures.py LIBRARY SOURCES ARCHITECTURE...      SOURCES: how many; ARCHITECTURE: as 90, in rising order

Reads the "fat binaries" that nvcc puts into objects (magic number, header, then an entry for each architecture with its kind:
1 PTX, 2 machine code), since a machine without a GPU need not have cuobjdump. Exit status: 0 when all is there, else 1.
"""

import struct
import sys

MAGIC = struct.pack("<I", 0xBA55ED50)
PTX, CODE = 1, 2


def fat_binaries(data):
    """[(kind, architecture) of each entry] for each fat binary."""
    at = data.find(MAGIC)
    while at >= 0:
        _, _, header, size = struct.unpack_from("<IHHQ", data, at)
        place, end, entries = at + header, at + header + size, []
        while place < end:
            kind, _, entry_header, entry_size = struct.unpack_from("<HHIQ", data, place)
            entries.append((kind, struct.unpack_from("<I", data, place + 28)[0]))
            place += entry_header + entry_size
        yield entries
        at = data.find(MAGIC, end)


def main():
    library, sources, wanted = sys.argv[1], int(sys.argv[2]), [int(word) for word in sys.argv[3:]]
    with open(library, "rb") as file:
        found = list(fat_binaries(file.read()))
    complete = [entries for entries in found if {(CODE, each) for each in wanted} | {(PTX, wanted[-1])} <= set(entries)]
    print(f"{library}: {len(found)} sources of {sources}, {len(complete)} for all of {wanted}")
    return 0 if len(complete) == len(found) == sources else 1


if __name__ == "__main__":
    sys.exit(main())
