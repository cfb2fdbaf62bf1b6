"""Stores the column image/bytes of a shard in another way, its values being the same: h5_storage.py FILE KIND [CHUNK]

contiguous; plain, checked (with Fletcher-32), deflated: chunks of CHUNK bytes; backwards: chunks allocated from the last to the
first; swapped: the first and last chunk at the ends of the data, those between in falling order; compact; user-block: the whole
file behind 512 other bytes."""

import sys

import h5py
import numpy

path, kind = sys.argv[1:3]
chunk = int(sys.argv[3]) if len(sys.argv) > 3 else 0


def replace(file, **options):
    data = file["image/bytes"][()]
    del file["image/bytes"]
    return file.create_dataset("image/bytes", data=data, **options)


def place_chunks(file, order):
    """Chunks get their places in the file in the order in which they are first written."""
    data = file["image/bytes"][()]
    del file["image/bytes"]
    dataset = file.create_dataset("image/bytes", data.shape, data.dtype, chunks=(chunk,))
    count = -(-len(data) // chunk)
    padded = numpy.append(data, numpy.zeros(count * chunk - len(data), data.dtype))
    for i in order(count):
        dataset.id.write_direct_chunk((i * chunk,), padded[i * chunk:(i + 1) * chunk].tobytes())


def compact(file):
    data = file["image/bytes"][()]
    del file["image/bytes"]
    list_ = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    list_.set_layout(h5py.h5d.COMPACT)
    made = h5py.h5d.create(file.id, b"image/bytes", h5py.h5t.STD_U8LE, h5py.h5s.create_simple(data.shape), list_)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


KINDS = {
    "contiguous": lambda file: replace(file),
    "plain": lambda file: replace(file, chunks=(chunk,)),
    "checked": lambda file: replace(file, chunks=(chunk,), fletcher32=True),
    "deflated": lambda file: replace(file, chunks=(chunk,), compression="gzip"),
    "backwards": lambda file: place_chunks(file, lambda count: range(count - 1, -1, -1)),
    "swapped": lambda file: place_chunks(file, lambda count: [0, *range(count - 2, 0, -1), count - 1]),
    "compact": compact,
}
if kind == "user-block":
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(bytes(512) + content)
else:
    with h5py.File(path, "r+") as file:
        KINDS[kind](file)
