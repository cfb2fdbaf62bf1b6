#!/usr/bin/python3
"""Tests of jobs/convert_weights.py.

Usage:  python3 tests/jobs/test_convert_weights.py      (or python3 -m unittest on this file)

Checkpoints are built here opcode by opcode, so no torch is needed; where torch can be imported, one more test
converts what torch.save itself wrote. The oracle for a view is its definition, one element at a time.
"""

import hashlib
import io
import itertools
import json
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import warnings
import zipfile

JOBS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "jobs")
SCRIPT = os.path.join(JOBS, "convert_weights.py")
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "golden")
sys.dont_write_bytecode = True
sys.path.insert(0, JOBS)
import convert_weights  # noqa: E402  (the path has to be set first)

ITEM_BYTES = {"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
              "LongStorage": 8, "IntStorage": 4, "ByteStorage": 1, "BoolStorage": 1}
DTYPE = {"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
         "LongStorage": "I64", "IntStorage": "I32", "ByteStorage": "U8", "BoolStorage": "BOOL"}
MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}

# ------------------------------------------------------------------------------- checkpoints, opcode by opcode


def literal(value):
    """The opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def global_(module, name):
    return f"c{module}\n{name}\n".encode()


EMPTY_ORDERED_DICT = global_("collections", "OrderedDict") + b")R"


class View:
    """What a test wants a tensor to say of itself; nothing here is checked."""

    def __init__(self, key, size, stride, offset=0, kind="FloatStorage", count=None):
        self.key, self.size, self.stride, self.offset = key, size, stride, offset
        self.kind, self.count = kind, count


def tensor_opcodes(view, count, is_legacy):
    reference = (b"(" + literal("storage") + global_("torch", view.kind) + literal(view.key) + literal("cpu")
                 + literal(count if view.count is None else view.count) + (b"N" if is_legacy else b"") + b"tQ")
    return (global_("torch._utils", "_rebuild_tensor_v2") + b"(" + reference + literal(view.offset)
            + literal(view.size) + literal(view.stride) + b"\x89" + EMPTY_ORDERED_DICT + b"tR")


def state_pickle(views, storages, is_legacy):
    """As torch writes it: an OrderedDict of tensors that also carries an attribute _metadata."""
    items = b"".join(literal(name) + tensor_opcodes(view, len(storages[view.key]) // ITEM_BYTES[view.kind], is_legacy)
                     for name, view in views.items())
    attributes = literal({"_metadata": {"": {"version": 1}}})
    return b"\x80\x02" + EMPTY_ORDERED_DICT + b"(" + items + b"u" + attributes + b"b."


def legacy_file(state, storages, item_bytes, magic=MAGIC, protocol=1001, system=None):
    head = [pickle.dumps(part, 2) for part in (magic, protocol, system or SYSTEM)]
    body = [struct.pack("<q", len(data) // item_bytes[key]) + data for key, data in storages.items()]
    return b"".join(head + [state, pickle.dumps(list(storages), 2)] + body)


def zip_file(state, storages, extra=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", state)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        for name, data in extra:
            archive.writestr(name, data)
    return buffer.getvalue()


def build(views, storages, is_legacy):
    state = state_pickle(views, storages, is_legacy)
    if not is_legacy:
        return zip_file(state, storages)
    return legacy_file(state, storages, {view.key: ITEM_BYTES[view.kind] for view in views.values()})


def wheel(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def noise(count, seed=1):
    return random.Random(seed).randbytes(count)


def expected_bytes(view, data):
    """The view's elements in row-major order, by the definition of a strided view."""
    size = ITEM_BYTES[view.kind]
    places = (view.offset + sum(i * s for i, s in zip(index, view.stride))
              for index in itertools.product(*map(range, view.size)))
    return b"".join(data[place * size:(place + 1) * size] for place in places)


def parse_safetensors(data):
    """(metadata, {name: (dtype, shape, bytes)}); asserts what the format demands of the layout."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata, body, position, tensors = header.pop("__metadata__"), data[8 + length:], 0, {}
    assert length % 8 == 0 and data[8:9] == b"{" and list(header) == sorted(header)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert begin == position, "tensors must lie end to end"
        tensors[name] = (entry["dtype"], tuple(entry["shape"]), body[begin:end])
        position = end
    assert position == len(body)
    return metadata, tensors


SIMPLE_STORAGES = {"100": noise(24 * 4), "200": noise(8, 2)}
SIMPLE_VIEWS = {"z.weight": View("100", (2, 3, 4), (12, 4, 1)), "a.bias": View("100", (3,), (1,), 5),
                "counter": View("200", (), (), 0, "LongStorage")}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.output = os.path.join(self.folder, "out.safetensors")

    def put(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)

    def convert(self, data, name="in.pth"):
        """Convert by the command line, expect success, return the parsed output."""
        done = self.run_script(self.put(name, data), self.output)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        with open(self.output, "rb") as file:
            written = file.read()
        metadata, tensors = parse_safetensors(written)
        self.assertEqual(done.stdout, f"{self.output}\t{len(tensors)}\t{hashlib.sha256(written).hexdigest()}\n")
        return metadata, tensors

    def assert_refused(self, data, *words, name="in.pth"):
        """Exit 65 with one line that has all the words, and nothing but the source left in the folder."""
        done = self.run_script(self.put(name, data), self.output)
        self.assertEqual(done.returncode, 65, done.stderr)
        self.assertEqual((done.stdout, done.stderr.count("\n")), ("", 1), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(os.listdir(self.folder), [name])


class RoundTrip(Case):
    def test_simple_state_dict_in_both_formats(self):
        for is_legacy in (True, False):
            with self.subTest(is_legacy=is_legacy):
                source = build(SIMPLE_VIEWS, SIMPLE_STORAGES, is_legacy)
                metadata, tensors = self.convert(source)
                self.assertEqual(metadata, {"source": "in.pth", "source_sha256": hashlib.sha256(source).hexdigest()})
                self.assertEqual(list(tensors), ["a.bias", "counter", "z.weight"])
                self.assertEqual(tensors["z.weight"], ("F32", (2, 3, 4), SIMPLE_STORAGES["100"]))
                self.assertEqual(tensors["a.bias"], ("F32", (3,), SIMPLE_STORAGES["100"][20:32]))
                self.assertEqual(tensors["counter"], ("I64", (), SIMPLE_STORAGES["200"]))

    def test_every_element_type(self):
        storages = {kind: noise(6 * size, size) for kind, size in ITEM_BYTES.items()}
        views = {kind: View(kind, (3, 2), (1, 3), 0, kind) for kind in ITEM_BYTES}
        for is_legacy in (True, False):
            _, tensors = self.convert(build(views, storages, is_legacy))
            for kind, view in views.items():
                self.assertEqual(tensors[kind], (DTYPE[kind], (3, 2), expected_bytes(view, storages[kind])))

    def test_output_depends_on_the_source_only(self):
        source = self.put("in.pth", build(SIMPLE_VIEWS, SIMPLE_STORAGES, True))
        outputs = []
        for name in ("one", "two"):
            self.run_script(source, os.path.join(self.folder, name))
            with open(os.path.join(self.folder, name), "rb") as file:
                outputs.append(file.read())
        self.assertEqual(outputs[0], outputs[1])

    def test_checkpoint_of_a_vision_transformer(self):
        # dinov2_vits14_pretrain.pth: a flat state dict, one storage a tensor, ranks 1 to 4, with a mask token that nobody needs.
        # Names and shapes are those of the golden list, channels a 48th of them.
        views, storages = {}, {}
        with open(os.path.join(GOLDEN, "dinov2.txt"), encoding="ascii") as file:
            rows = [line.split() for line in itertools.takewhile(lambda line: "dinov2_vitb14" not in line, file)]
        for row in rows:
            if row[0] == "tensor":
                size = tuple(int(n) // 48 if int(n) % 384 == 0 else int(n) for n in row[3:])
                stride = tuple(math.prod(size[axis + 1:]) for axis in range(len(size)))
                key = str(len(views))
                views[row[1]], storages[key] = View(key, size, stride), noise(4 * math.prod(size), len(views))
        self.assertEqual(len(views), 175)
        _, tensors = self.convert(build(views, storages, False))
        self.assertEqual(tensors, {name: ("F32", view.size, storages[view.key]) for name, view in views.items()})
        self.assertEqual(tensors["pos_embed"][1], (1, 1370, 8))

    def test_wheel(self):
        checkpoint = build(SIMPLE_VIEWS, SIMPLE_STORAGES, True)
        source = wheel({"pkg/__init__.py": b"", "pkg/models/net.pth": checkpoint})
        metadata, tensors = self.convert(source, name="net.whl")
        self.assertEqual(metadata, {"source": "net.whl", "source_member": "pkg/models/net.pth",
                                    "source_sha256": hashlib.sha256(source).hexdigest()})
        self.assertEqual(len(tensors), 3)

    def test_empty_state_dict(self):
        self.assertEqual(self.convert(build({}, {}, True))[1], {})

    def test_little_endian_mark_of_the_zip_format(self):
        state = state_pickle(SIMPLE_VIEWS, SIMPLE_STORAGES, False)
        self.convert(zip_file(state, SIMPLE_STORAGES, [("archive/byteorder", b"little")]))
        os.unlink(self.output)
        self.assert_refused(zip_file(state, SIMPLE_STORAGES, [("archive/byteorder", b"big")]), "little-endian")

    def test_torch_save_in_both_formats(self):
        try:
            import torch
        except ImportError:
            self.skipTest("torch is not installed")
        layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(5, 7).half())
        state = layers.state_dict()
        state["permuted"] = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)
        state["slice"] = torch.arange(24, dtype=torch.int32).reshape(4, 6)[1:, ::2]
        state["expanded"] = torch.tensor([1.5, 2.5], dtype=torch.float64)[:, None].expand(2, 3)
        results = []
        for is_zip in (True, False):
            buffer = io.BytesIO()
            torch.save(state, buffer, _use_new_zipfile_serialization=is_zip)
            results.append(self.convert(buffer.getvalue())[1])
        self.assertEqual(results[0], results[1])
        for name, tensor in state.items():
            self.assertEqual(results[0][name][1:], (tuple(tensor.shape), tensor.contiguous().numpy().tobytes()))


class Strides(Case):
    def assert_view(self, view, count):
        data = noise(count * ITEM_BYTES[view.kind])
        _, tensors = parse_safetensors(self.convert_in_process(build({"t": view}, {view.key: data}, True)))
        self.assertEqual(tensors["t"], (DTYPE[view.kind], view.size, expected_bytes(view, data)))

    def convert_in_process(self, data):
        return convert_weights.convert(self.put("in.pth", data))[0]

    def test_named_cases(self):
        for name, view, count in (
                ("transposed", View("1", (4, 3), (1, 4)), 12),
                ("stem of a TensorFlow port", View("1", (32, 3, 3, 3), (1, 32, 288, 96)), 864),
                ("pointwise, sizes of 1 with odd strides", View("1", (5, 4, 1, 1), (1, 5, 77, 99)), 20),
                ("column of a matrix", View("1", (4,), (6,), 2), 24),
                ("every second, inner", View("1", (2, 3), (6, 2), 1), 13),
                ("outer gap, inner even", View("1", (2, 2, 3), (10, 3, 1), 1), 17),
                ("expanded", View("1", (3, 2, 4), (0, 1, 0), 1), 3),
                ("overlapping", View("1", (4, 3), (1, 1)), 6),
                ("no elements, so no bounds either", View("1", (3, 0), (9, 1), 4), 4),
                ("one element with shape", View("1", (1, 1), (9, 9), 3), 4),
                ("last element exactly", View("1", (2, 2), (2, 1), 4), 8)):
            with self.subTest(name):
                self.assert_view(view, count)

    def test_random_views(self):
        chance = random.Random(7)
        for _ in range(200):
            rank = chance.randint(0, 4)
            size = tuple(chance.randint(1, 4) for _ in range(rank))
            stride = tuple(chance.randint(0, 9) for _ in range(rank))
            offset, kind = chance.randint(0, 5), chance.choice(sorted(ITEM_BYTES))
            reach = offset + sum((n - 1) * s for n, s in zip(size, stride))
            with self.subTest(size=size, stride=stride, offset=offset, kind=kind):
                self.assert_view(View("1", size, stride, offset, kind), reach + 1)


class Refusals(Case):
    def test_views_beyond_their_storage(self):
        for name, view in (("size", View("1", (9,), (1,))), ("offset", View("1", (8,), (1,), 1)),
                           ("stride", View("1", (2, 2), (7, 1))), ("scalar", View("1", (), (), 8)),
                           ("far", View("1", (2,), (1 << 62,)))):
            for is_legacy in (True, False):
                with self.subTest(name, is_legacy=is_legacy):
                    self.assert_refused(build({"t": view}, {"1": noise(32)}, is_legacy), "tensor t", "reaches")

    def test_malformed_views(self):
        for name, view in (("negative stride", View("1", (2,), (-1,), 3)), ("negative size", View("1", (-2,), (1,))),
                           ("negative offset", View("1", (2,), (1,), -1)), ("ranks differ", View("1", (2, 2), (1,))),
                           ("float size", View("1", (2.0,), (1,))), ("list", View("1", [2], (1,))),
                           ("bool offset", View("1", (2,), (1,), True))):
            with self.subTest(name):
                self.assert_refused(build({"t": view}, {"1": noise(32)}, True), "tensor t", "malformed")

    def test_expanded_view_of_absurd_size(self):
        view = View("1", (1 << 40, 1 << 40), (0, 0))
        self.assert_refused(build({"t": view}, {"1": noise(4)}, False), "larger than")

    def test_storage_that_lies_about_its_size(self):
        view = View("1", (8,), (1,), count=16)
        self.assert_refused(build({"t": view}, {"1": noise(32)}, True), "storage 1 holds 8 elements")
        self.assert_refused(build({"t": view}, {"1": noise(32)}, False), "truncated")
        view.count = 4
        self.assert_refused(build({"t": view}, {"1": noise(32)}, False), "has 32 bytes, at most 16")

    def test_storage_described_twice(self):
        views = {"a": View("1", (4,), (1,)), "b": View("1", (4,), (1,), kind="IntStorage")}
        self.assert_refused(build(views, {"1": noise(16)}, True), "two different ways")

    def test_storage_missing_from_the_zip(self):
        state = state_pickle({"t": View("1", (4,), (1,))}, {"1": noise(16)}, False)
        self.assert_refused(zip_file(state, {}), "no member archive/data/1")

    def test_other_files(self):
        state = state_pickle(SIMPLE_VIEWS, SIMPLE_STORAGES, True)
        items = {"100": 4, "200": 8}
        for name, data, word in (
                ("empty", b"", "damaged"), ("text", b"no checkpoint at all\n", "damaged"),
                ("other pickle", pickle.dumps({"a": 1}, 2), "wrong magic"),
                ("wrong protocol", legacy_file(state, SIMPLE_STORAGES, items, protocol=1000), "protocol 1000"),
                ("big endian", legacy_file(state, SIMPLE_STORAGES, items, system={"little_endian": False}), "endian"),
                ("trailing bytes", build(SIMPLE_VIEWS, SIMPLE_STORAGES, True) + b"x", "unexpected"),
                ("not a dict", legacy_file(pickle.dumps([1], 2), {}, {}), "not a state dict"),
                ("nested", legacy_file(pickle.dumps({"state_dict": {}}, 2), {}, {}), "state_dict is not a tensor"),
                ("name", legacy_file(pickle.dumps({1: 2}, 2), {}, {}), "called 1"),
                ("zip without pickle", wheel({"a": b""}), "exactly one */data.pkl")):
            with self.subTest(name):
                self.assert_refused(data, word)

    def test_wheels_without_exactly_one_checkpoint(self):
        for data, words in ((wheel({"a.py": b""}), "holds 0"), (wheel({"a.pth": b"", "b.pth": b""}), "holds 2"),
                            (b"PK\x03\x04 and nothing more", "damaged zip")):
            self.assert_refused(data, words, name="a.whl")


class Hostile(Case):
    """A pickle that would run code: refused by name, nothing has run, nothing is left behind."""

    def reduce_to(self, module, name, argument):
        return b"\x80\x02" + global_(module, name) + b"(" + literal(argument) + b"tR."

    def assert_harmless(self, state, refused):
        for data in (legacy_file(state, {}, {}), zip_file(state, {}), state):
            self.assert_refused(data, f"refused global {refused}")

    def test_reduce_to_a_command(self):
        command = f"touch {self.folder}/executed"
        for module, name in (("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "getattr"),
                             ("subprocess", "call"), ("torch", "load"), ("torch._utils", "_rebuild_parameter"),
                             ("torch", "FloatTensor"), ("collections", "defaultdict"), ("collections", "abc.sys")):
            with self.subTest(f"{module}.{name}"):
                self.assert_harmless(self.reduce_to(module, name, command), f"{module}.{name}")

    def test_object_with_reduce(self):
        command = f"touch {self.folder}/executed"

        class Trap:
            def __reduce__(self):
                return os.system, (command,)
        for protocol in (0, 2, 4):
            with self.subTest(protocol=protocol):
                self.assert_harmless(pickle.dumps({"weight": Trap()}, protocol), "posix.system")

    def test_name_with_control_characters_stays_one_line(self):
        state = b"\x80\x04" + literal("a\nb\x1b[31m") + literal("c") + b"\x93."
        self.assert_harmless(state, "a?b?[31m.c")

    def test_allowed_globals_cannot_be_abused(self):
        storage, rebuild = global_("torch", "FloatStorage"), global_("torch._utils", "_rebuild_tensor_v2")
        for name, state in (("storage called", storage + b")R."), ("storage built", storage + literal((1,)) + b"b."),
                            ("rebuild without arguments", rebuild + b")R."),
                            ("rebuild of a plain value", rebuild + b"(" + literal("x") * 4 + b"tR."),
                            ("persistent id of another kind", literal("x") + b"Q."),
                            ("short persistent id", b"(" + literal("storage") + b"tQ.")):
            with self.subTest(name):
                self.assert_refused(legacy_file(b"\x80\x02" + state, {}, {}))

    def test_shadowed_items_method(self):
        state = (b"\x80\x02" + EMPTY_ORDERED_DICT + literal({"items": 1, "keys": 2}) + b"b.")
        self.assertEqual(self.convert(legacy_file(state, {}, {}))[1], {})

    def test_memo_index_that_would_take_all_memory(self):
        state = b"\x80\x02" + literal({}) + b"r\xff\xff\xff\xff."
        self.assert_refused(legacy_file(state, {}, {}), "memo index")


class Damage(Case):
    """Whatever happens to the bytes, the only outcomes are a conversion and BadInput."""

    def outcome(self, data):
        path = self.put("in.pth", data)
        try:
            convert_weights.convert(path)
        except convert_weights.BadInput:
            return "refused"
        return "converted"

    def test_truncation_at_every_byte(self):
        for is_legacy in (True, False):
            data = build(SIMPLE_VIEWS, SIMPLE_STORAGES, is_legacy)
            for length in range(len(data)):
                self.assertEqual(self.outcome(data[:length]), "refused", f"{is_legacy} {length}")

    def test_truncated_file_by_the_command_line(self):
        self.assert_refused(build(SIMPLE_VIEWS, SIMPLE_STORAGES, True)[:-3], "truncated in storage 200")

    def test_random_bytes(self):
        warnings.simplefilter("ignore", DeprecationWarning)     # damaged escapes in text opcodes
        chance, outcomes = random.Random(11), set()
        for is_legacy in (True, False):
            data = build(SIMPLE_VIEWS, SIMPLE_STORAGES, is_legacy)
            for _ in range(2000):
                damaged = bytearray(data)
                for _ in range(chance.randint(1, 3)):
                    damaged[chance.randrange(len(data))] = chance.randrange(256)
                outcomes.add(self.outcome(damaged))
        self.assertEqual(outcomes, {"refused", "converted"})


class CommandLine(Case):
    def test_usage(self):
        for arguments in ((), ("one",), ("a", "b", "c"), ("--nonsense", "a", "b")):
            done = self.run_script(*arguments)
            self.assertEqual(done.returncode, 64)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(self.run_script("--help").returncode, 0)

    def test_missing_source(self):
        done = self.run_script(os.path.join(self.folder, "none.pth"), self.output)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (65, 1))
        self.assertIn("No such file", done.stderr)

    def test_output_that_cannot_be_written(self):
        source = self.put("in.pth", build(SIMPLE_VIEWS, SIMPLE_STORAGES, True))
        os.mkdir(self.output)       # the rename fails, after the temporary file was written
        for output in (os.path.join(self.folder, "no", "such", "folder"), self.output):
            done = self.run_script(source, output)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (73, 1), done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), ["in.pth", "out.safetensors"])

    def test_failure_leaves_an_older_output_alone(self):
        self.put("out.safetensors", b"older")
        done = self.run_script(self.put("in.pth", b"broken"), self.output)
        self.assertEqual(done.returncode, 65)
        with open(self.output, "rb") as file:
            self.assertEqual(file.read(), b"older")


class Independence(unittest.TestCase):
    def test_script_runs_on_the_standard_library_alone(self):
        # -S -I: no site-packages and no environment, so an import of numpy or torch would fail.
        done = subprocess.run([sys.executable, "-I", "-S", SCRIPT, "--help"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
