#!/usr/bin/python3
"""The house rules as a test (docs/ARCHITECTURE.md says why), with the standard library alone.

Usage:  tidy.py [ROOT]      ROOT: the repository, by default the one this file stands in

Prints each violation as "file:line: rule: what", then how long functions and files are and how much is commented, and at the end
"N rules passed, M failed". Exit status: 0 when all rules pass, else 1.

The rooms and their arrows are read from the ```rooms block of docs/ARCHITECTURE.md: the one place where they stand in words.
tests/arrows.py proves that the build agrees with it. tests/test_tidy.py proves that each rule here can fail.
"""

import os
import re
import statistics
import sys

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
WIDTH_MAX = 130

CODE_SUFFIXES = (".c", ".h", ".def", ".cu", ".cuh", ".py", ".sh", ".sbatch", ".cmake", "CMakeLists.txt")
C_SUFFIXES = (".c", ".h", ".cu", ".cuh")
FOREIGN_TEXTS = {"LICENSE", ".git"}     # taken over as they are; git's own where the tree is a worktree

# Headers of outside libraries: pattern of the include, and where it may stand (a folder of the repository, or what the paths of a
# few files begin with).
# Tests of a room may include what the room includes.
OUTSIDE_HEADERS = (
    (r"mpi\.h", ("mpi/",)),
    (r"hdf5(_hl)?\.h|H5\w+\.h", ("io/",)),
    (r"(oneapi/dnnl/)?dnnl\w*\.h", ("gpu/cpu_network",)),
    (r"cudnn\w*\.h", ("gpu/cuda/network",)),
    (r"cuda\w*\.h", ("gpu/cuda/",)),
    (r"jansson\.h", ("io/", "jobs/")),
    (r"jpeglib\.h|png\.h|csv\.h|openssl/.*|isa-l.*", ("io/",)),
)

# What touches the process as a whole: pattern of the call, where it may stand, why.
PROCESS_CALLS = (
    (r"getenv|secure_getenv|signal|sigaction|exit|quick_exit", ("jobs/main.c", "base/stop.c"),
     "only jobs/main.c faces the outside, base/stop.c on its behalf"),
    (r"abort", ("base/status.c",), "only PB_ASSERT aborts"),
    (r"_exit|_Exit", ("base/", "mpi/watchdog.c"), "only the watchdog ends a process in the middle"),
)

# Sources without tests/ROOM/test_FILE of their own: the test that sees them, why there, which. An entry that is not needed (the
# source is gone or has its own test) or whose test is gone is an error.
TESTED_ELSEWHERE = (
    ("tests/io/test_archive.c", "an archive is written, read and verified through io/archive.h as a whole",
     ("io/archive_columns.c", "io/archive_read.c", "io/archive_verify.c", "io/archive_write.c", "io/json_text.c", "io/manifest.c",
      "io/manifest_write.c")),
    ("tests/io/test_archive_damage.c", "what our HDF5 layer promises is that damage is noticed, and h5py reads the rest",
     ("io/h5.c", "io/h5_column.c", "io/h5_ragged.c")),
    ("tests/io/test_stream.c", "where bytes lie is seen when they are read there", ("io/h5_layout.c",)),
    ("tests/io/test_image.c", "pb_image_decode chooses the format", ("io/image_jpeg.c", "io/image_png.c")),
    ("tests/io/test_list.c", "both ways into a list", ("io/list_mvtec.c",)),
    ("tests/io/test_rejected_file.c", "fields are seen in a file", ("io/csv_field.c",)),
    ("tests/gpu/cuda/test_peers.c", "NCCL is seen where it is used", ("gpu/cuda/nccl.c",)),
    ("tests/gpu/test_network.c", "weights and shapes are seen in a network that has been loaded",
     ("gpu/network_shape.c", "gpu/network_weights.c")),
    ("tests/jobs/test_main.c", "the table is seen by help and docs/OPTIONS.md", ("jobs/options_table.c",)),
    ("tests/jobs/test_devices.c", "what is missing on a machine is seen by the program", ("gpu/cuda/driver.c",)),
    ("tests/jobs/test_pack.c", "bad images and folders are seen in a job",
     ("jobs/rejects.c", "jobs/share.c", "jobs/new_archive.c")),
    ("tests/jobs/test_merge.c", "parts are seen when they are merged", ("jobs/list_part.c",)),
    ("tests/jobs/test_info.c", "what is counted is seen where it is shown", ("jobs/census.c",)),
    ("tests/jobs/test_train.c", "parts of a job are seen in its bank",
     ("jobs/collect.c", "jobs/provenance.c", "jobs/selection.c", "jobs/setup.c", "jobs/weights.c",
      "jobs/train_banks.c", "jobs/train_extract.c", "jobs/train_select.c", "jobs/train_two_round.c")),
    ("tests/jobs/test_run_state.c", "what is saved is seen by the next run",
     ("jobs/train_checkpoint.c", "jobs/train_patches.c", "jobs/score_state.c")),
    ("tests/jobs/test_feeder.c", "the decoders call it", ("jobs/prepare.c",)),
    ("tests/jobs/test_eval.c", "the figures of a job", ("jobs/figures.c", "jobs/json.c")),
    ("tests/jobs/test_eval_pixels.c", "masks are seen in what is counted", ("jobs/truth.c",)),
    ("tests/jobs/test_score.c", "a bank that does not fit is refused", ("jobs/bank_fit.c",)),
    ("tests/jobs/test_bank_publish.c", "a gate and a fence are seen in what is refused", ("jobs/gate.c", "jobs/store_session.c")),
    ("tests/jobs/test_bank.c", "a bank of a store is read as its current version", ("jobs/bank_choice.c",)),
    ("tests/jobs/test_plan.c", "what is measured is seen in plans that come true",
     ("jobs/bench_constants.c", "jobs/meter_machine.c", "jobs/meter_select.c")),
    ("tests/jobs/test_verify.c", "the certificate of a bank", ("jobs/verify_bank.c",)),
    ("tests/jobs/test_update.c", "parts of a job are seen in its bank",
     ("jobs/bank_archives.c", "jobs/forget.c", "jobs/update_bank.c", "jobs/update_forget.c")),
)


def strip_c(text):
    """Blanks comments and the insides of string and character literals; places and line ends stay. Returns (code, comments)."""
    pattern = re.compile(r"/\*.*?(?:\*/|\Z)|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
    comments = []

    def blank(match):
        found = match.group()
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[-1]
        comments.append(match.span())
        return re.sub(r"[^\n]", " ", found)

    code = pattern.sub(blank, text)
    kept = [" " if char != "\n" else char for char in text]
    for begin, end in comments:
        kept[begin:end] = text[begin:end]
    return code, "".join(kept)


class Text:
    """A text file of the repository: path with '/', lines, and for C the code and comments apart."""

    def __init__(self, path, text):
        self.path, self.text, self.lines = path, text, text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        self.is_code = path.endswith(CODE_SUFFIXES)
        self.is_c = path.endswith(C_SUFFIXES)
        self.code, self.comments = strip_c(text) if self.is_c else ("", "")
        # Directives (with their continuations) blanked too: what is left is declarations and statements.
        self.plain = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m.group()), self.code, flags=re.MULTILINE)

    def line_of(self, place):
        return self.text.count("\n", 0, place) + 1

    @property
    def room(self):
        return self.path.split("/")[0]

    @property
    def is_public_header(self):
        return self.path.endswith(".h") and "private to" not in self.text

    def includes(self):
        """(line number, target, whether in quotes) of each include."""
        for match in re.finditer(r"^[ \t]*#[ \t]*include[ \t]*([\"<])([^\">\n]+)[\">]", self.text, flags=re.MULTILINE):
            if self.code[match.start():match.end()].strip():
                yield self.line_of(match.start()), match.group(2), match.group(1) == '"'

    def functions(self):
        """(first line, last line, name) of each function with a body, from its first word to its closing brace."""
        depth, head, begin = 0, 0, None
        for match in re.finditer(r"[{};]", self.plain):
            char, place = match.group(), match.start()
            if char == "{":
                signature = self.plain[head:place]
                if depth == 0 and signature.rstrip().endswith(")"):
                    begin = head + len(signature) - len(signature.lstrip())
                depth += 1
            elif char == "}":
                depth = max(depth - 1, 0)
                if depth == 0 and begin is not None:
                    yield self.line_of(begin), self.line_of(place), function_name(self.text[begin:])
                    begin = None
            if depth == 0:
                head = place + 1


def function_name(signature):
    signature = re.sub(r"^(__attribute__\s*\(\(.*?\)\)\s*)+", "", signature)
    name = re.match(r"[^(]*?(\w+)\s*\(([^()]*)", signature)
    if not name:
        return "?"
    return f"Test({name.group(2)})" if name.group(1) in ("Test", "ParameterizedTest") else name.group(1)


# ---------------------------------------------------------------------------------------------------- the tree


def ignored_names(root):
    """Folder names and suffixes of the plain lines of .gitignore: "/build/", "__pycache__/", "*.pyc"."""
    try:
        with open(os.path.join(root, ".gitignore"), encoding="utf-8") as file:
            lines = file.read().split()
    except OSError:
        lines = []
    folders = {line.strip("/") for line in lines if line.endswith("/")}
    return folders | {"__pycache__"}, tuple(line[1:] for line in lines if line.startswith("*."))


def read_tree(root):
    """All text files, as {path: Text}, sorted. Binary files and hidden folders other than .ci are passed over."""
    folders, suffixes = ignored_names(root)
    tree = {}
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in folders and (not n.startswith(".") or n == ".ci"))
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            if name in FOREIGN_TEXTS or (suffixes and name.endswith(suffixes)):
                continue
            try:
                with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
                    text = file.read()
            except (OSError, UnicodeDecodeError):
                continue
            if "\0" not in text:
                tree[path] = Text(path, text)
    return tree


def read_rooms(tree):
    """{room: rooms that it may use}, from docs/ARCHITECTURE.md; empty when there is no such block or it is not understood."""
    doc = tree.get("docs/ARCHITECTURE.md")
    block = re.search(r"^```rooms\n(.*?)^```", doc.text, flags=re.DOTALL | re.MULTILINE) if doc else None
    rooms = {}
    for line in block.group(1).splitlines() if block else ():
        row = re.match(r"(\w+) *->(?: *\(nothing\)| *(\w+(?:, *\w+)*)|)(?:  .*)?$", line.rstrip())
        if not row:
            return {}
        rooms[row.group(1)] = set(re.split(r", *", row.group(2))) if row.group(2) else set()
    return rooms if set().union(*rooms.values()) <= set(rooms) else {}


class Repository:
    def __init__(self, root, tested_elsewhere=None):
        self.tree = read_tree(root)
        self.rooms = read_rooms(self.tree)
        self.tested_elsewhere = TESTED_ELSEWHERE if tested_elsewhere is None else tested_elsewhere

    def texts(self):
        return self.tree.values()

    def in_rooms(self, suffixes=C_SUFFIXES):
        return [text for text in self.texts() if text.room in self.rooms and text.path.endswith(suffixes)]

    def public_headers(self):
        return [text for text in self.in_rooms((".h",)) if text.is_public_header]


# ----------------------------------------------------------------------------------------------------- the rules
# Each yields (path, line, what).


def rule_file_length(repository):
    for text in repository.texts():
        if text.is_code and len(text.lines) > FILE_LINES_MAX:
            yield text.path, len(text.lines), f"{len(text.lines)} lines, at most {FILE_LINES_MAX}"


def rule_function_length(repository):
    for text in repository.texts():
        for first, last, name in text.functions() if text.is_c else ():
            if last - first + 1 > FUNCTION_LINES_MAX:
                yield text.path, first, f"{name} has {last - first + 1} lines, at most {FUNCTION_LINES_MAX}"


def rule_width(repository):
    for text in repository.texts():
        for number, line in enumerate(text.lines, 1):
            if text.is_code and len(line) > WIDTH_MAX:
                yield text.path, number, f"{len(line)} columns, at most {WIDTH_MAX}"


def rule_include_parent(repository):
    for text in repository.texts():
        for number, target, _ in text.includes() if text.is_c else ():
            if ".." in target.split("/"):
                yield text.path, number, f'"{target}": write "room/file.h"'


def rule_arrows(repository):
    if not repository.rooms:
        yield "docs/ARCHITECTURE.md", 1, "has no ```rooms block with lines like \"io -> base\""
    for text in repository.in_rooms():
        allowed = repository.rooms[text.room] | {text.room}
        for number, target, quoted in text.includes():
            room = target.split("/")[0]
            if room == "..":
                continue    # said by include-parent
            if quoted and room not in repository.rooms:
                yield text.path, number, f'"{target}": write "room/file.h"'
            elif room in repository.rooms and room not in allowed:
                yield text.path, number, f"{text.room} -> {room} is no arrow of docs/ARCHITECTURE.md"
            elif target in repository.tree and room != text.room and not repository.tree[target].is_public_header:
                yield text.path, number, f"{target} is private to {room}/"


def may_stand(path, places):
    return any(path.startswith(place) or path.startswith("tests/" + place.split("/")[0] + "/") for place in places)


def rule_outside_headers(repository):
    for text in repository.texts():
        for number, target, _ in text.includes() if text.is_c else ():
            for pattern, places in OUTSIDE_HEADERS:
                if re.fullmatch(pattern, target) and not may_stand(text.path, places):
                    yield text.path, number, f"<{target}> only in {', '.join(places)}"


def rule_process_calls(repository):
    for text in repository.in_rooms():
        for names, places, why in PROCESS_CALLS:
            for match in re.finditer(rf"\b({names})\s*\(", text.plain):
                if not text.path.startswith(places):
                    yield text.path, text.line_of(match.start()), f"{match.group(1)}(): {why}"


def rule_header_opening(repository):
    for text in repository.public_headers():
        if not text.text.startswith("/* " + text.path.split("/")[-1] + ":"):
            yield text.path, 1, f"a public header begins with /* {text.path.split('/')[-1]}: what it is for"


def rule_header_guard(repository):
    for text in repository.public_headers():
        guard = "PB_" + re.sub(r"\W", "_", text.path).upper()
        directives = [line for line in text.lines if line.startswith("#")]
        if directives[:2] != [f"#ifndef {guard}", f"#define {guard}"] or not text.lines[-1].startswith("#endif"):
            yield text.path, 1, f"include guard {guard} is missing or does not hold all"


def blocks(text):
    """Runs of lines (begin, end) parted by lines that are blank outside of comments and braces."""
    depth, begin, place = 0, None, 0
    for number, line in enumerate(text.lines):
        inside = text.comments[place:place + len(line)].strip() or depth > 0
        if not line.strip() and not inside and not in_comment(text, place):
            if begin is not None:
                yield begin, number
            begin = None
        elif begin is None:
            begin = number
        depth += text.plain.count("{", place, place + len(line)) - text.plain.count("}", place, place + len(line))
        place += len(line) + 1
    if begin is not None:
        yield begin, len(text.lines)


def in_comment(text, place):
    opened = text.comments.rfind("/*", 0, place)
    return opened >= 0 and text.comments.find("*/", opened, place) < 0


def prototypes(text):
    """Line numbers (from 0) at which a function is declared without a body."""
    depth, head = 0, 0
    for match in re.finditer(r"[{};]", text.plain):
        char, place = match.group(), match.start()
        depth += {"{": 1, "}": -1, ";": 0}[char]
        if depth == 0:
            declaration = text.plain[head:place]
            begin = head + len(declaration) - len(declaration.lstrip())
            if char == ";" and "(" in declaration and not re.match(r"typedef\b|_Static_assert\b", declaration.strip()):
                yield text.line_of(begin) - 1
            head = place + 1


def rule_prototype_comment(repository):
    for text in repository.public_headers():
        comments = [number for number, line in enumerate(text.lines) if line.startswith("/*")]
        declared = list(prototypes(text))
        for begin, end in blocks(text):
            first = min((number for number in comments if begin <= number < end), default=end)
            for number in declared:
                if begin <= number < end and number < first:
                    yield text.path, number + 1, "a prototype without a comment above it or above its group"


def rule_collectivity(repository):
    for text in repository.public_headers():
        if "ollective" not in text.comments:
            yield text.path, 1, "says nowhere whether its functions are collective"


def rule_mirrored_test(repository):
    def test_of(path):
        folder, name = os.path.split(os.path.splitext(path)[0])
        stem = f"tests/{folder}/test_{name}"
        return next((stem + suffix for suffix in (".c", ".py", ".sh") if stem + suffix in repository.tree), None)

    elsewhere = {source for _, _, sources in repository.tested_elsewhere for source in sources}
    for text in repository.in_rooms((".c", ".cu", ".py")):
        if not test_of(text.path) and text.path not in elsewhere:
            yield text.path, 1, "has no test of its own in tests/, and tests/tidy.py names no other"
    for source in sorted(elsewhere):
        if source not in repository.tree or test_of(source):
            yield "tests/tidy.py", 1, f"TESTED_ELSEWHERE: {source} is gone or has a test of its own"
    for test, reason, _ in repository.tested_elsewhere:
        if test not in repository.tree or not reason:
            yield "tests/tidy.py", 1, f"TESTED_ELSEWHERE: {test} is gone, or no reason is given"


def rule_blanks(repository):
    for text in repository.texts():
        for number, line in enumerate(text.lines, 1):
            if "\t" in line:
                yield text.path, number, "a tab"
            elif line != line.rstrip(" \r"):
                yield text.path, number, "a blank or carriage return at the end"


def rule_reminders(repository):
    for text in repository.texts():
        for number, line in enumerate(text.lines, 1):
            if re.search(r"\b(?:TO" r"DO|FIX" r"ME|X{3})\b", line):
                yield text.path, number, "a reminder: do it now, or write it into docs/"


def rule_machine_paths(repository):
    for text in repository.texts():
        for number, line in enumerate(text.lines, 1):
            if re.search(r"(?<![\w.])/(?:(?:work|home|root)/|tmp/build)", line):
                yield text.path, number, "a path of somebody's machine"


def rule_merge_markers(repository):
    for text in repository.texts():
        for number, line in enumerate(text.lines, 1):
            if re.match(r"(?:<{7}|>{7}) ", line):
                yield text.path, number, "what a merge left for somebody to decide"


RULES = (rule_file_length, rule_function_length, rule_width, rule_include_parent, rule_arrows, rule_outside_headers,
         rule_process_calls, rule_header_opening, rule_header_guard, rule_prototype_comment, rule_collectivity,
         rule_mirrored_test, rule_blanks, rule_reminders, rule_machine_paths,
         rule_merge_markers)


def rule_name(rule):
    return rule.__name__[len("rule_"):].replace("_", "-")


def violations(repository):
    """{name of each rule: its violations}"""
    return {rule_name(rule): list(rule(repository)) for rule in RULES}


# ------------------------------------------------------------------------------------------------------ figures


def spread(numbers, unit):
    if not numbers:
        return f"no {unit}"
    ordered = sorted(numbers)
    ninth = ordered[min(len(ordered) - 1, len(ordered) * 9 // 10)]
    return f"{len(ordered)} {unit}, lines: median {statistics.median(ordered):g}, p90 {ninth}, max {ordered[-1]}"


def commented(texts):
    """Lines with a comment per 100 lines with code."""
    comments = code = 0
    for text in texts:
        comments += sum(1 for line in text.comments.split("\n") if line.strip())
        code += sum(1 for line in text.code.split("\n") if line.strip())
    return f"{100 * comments / code:.0f}" if code else "-"


def print_figures(repository):
    tests = [text for text in repository.texts() if text.is_c and text.room == "tests"]
    for name, texts in (("rooms", repository.in_rooms()), ("tests", tests)):
        lengths = [last - first + 1 for text in texts for first, last, _ in text.functions()]
        print(f"{name}: {spread(lengths, 'functions')}; {spread([len(text.lines) for text in texts], 'files')}")
    headers, sources = repository.public_headers(), repository.in_rooms((".c", ".cu"))
    print(f"comment lines per 100 code lines: public headers {commented(headers)}, sources {commented(sources)}")


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
    repository = Repository(root)
    found = violations(repository)
    for name, list_ in found.items():
        for path, line, what in list_:
            print(f"{path}:{line}: {name}: {what}")
    print_figures(repository)
    failed = sum(1 for list_ in found.values() if list_)
    print(f"{len(found) - failed} rules passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
