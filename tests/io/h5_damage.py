"""Changes one thing in a file of ours by h5py, so that all HDF5 checksums are right again: h5_damage.py FILE KIND"""

import os
import sys

import h5py
import numpy

path, kind = sys.argv[1:]
file = h5py.File(path, "r+")


def replace(name, data, **options):
    del file[name]
    file.create_dataset(name, data=data, **options)


def reshape(name, change, **options):
    replace(name, change(file[name][()]), **options)


def attribute(name, value):
    del file.attrs[name]
    if value is not None:
        file.attrs[name] = value


def put(name, index, value):
    data = file[name][()]
    data[index] = value
    replace(name, data)


def grow_images():
    """One byte more of the last image, and its offset says so."""
    reshape("image/bytes", longer)
    put("image/offset", -1, file["image/offset"][-1] + 1)


def external(name):
    other = path + ".raw"
    numpy.zeros(1000, "u1").tofile(other)
    data = file[name]
    shape, dtype = data.shape, data.dtype
    del file[name]
    file.create_dataset(name, shape, dtype, external=[(other, 0, h5py.h5f.UNLIMITED)])


def linked(name):
    with h5py.File(path + ".other", "w") as other:
        other.create_dataset("x", data=file[name][()])
    del file[name]
    file[name] = h5py.ExternalLink(path + ".other", "x")


def virtual(name):
    with h5py.File(path + ".other", "w") as other:
        other.create_dataset("x", data=file[name][()])
    layout = h5py.VirtualLayout(file[name].shape, file[name].dtype)
    layout[:] = h5py.VirtualSource(path + ".other", "x", file[name].shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def sparse(name):
    """Claims 2^60 values in a file of a few thousand bytes."""
    dtype = file[name].dtype
    del file[name]
    file.create_dataset(name, (1 << 60,), dtype, chunks=(1024,))


shorter, longer, wider = (lambda a: a[:-1]), (lambda a: numpy.append(a, a[-1:])), (lambda a: a.astype("<f8"))
KINDS = {
    "format": lambda: attribute("format", numpy.bytes_("patchbank-other")),
    "format missing": lambda: attribute("format", None),
    "format number": lambda: attribute("format", 5),
    "version newer": lambda: attribute("format_version", numpy.bytes_("2")),
    "version word": lambda: attribute("format_version", numpy.bytes_("one")),
    "long name": lambda: file.attrs.__setitem__("n" * 64, numpy.bytes_("x")),
    "shorter": lambda name: reshape(name, shorter),
    "longer": lambda name: reshape(name, longer),
    "wider": lambda name: reshape(name, wider),
    "two-dimensional": lambda name: reshape(name, lambda a: a.reshape(1, -1)),
    "missing": lambda name: file.__delitem__(name),
    "first": lambda name, value: put(name, 0, value),
    "second": lambda name, value: put(name, 1, value),
    "last": lambda name, value: put(name, -1, value),
    "grown": grow_images,
    "external": external,
    "linked": linked,
    "virtual": virtual,
    "sparse": sparse,
}
words = kind.split(":")
KINDS[words[0]](*words[1:2], *map(float if "nan" in words[2:] else int, words[2:]))
file.close()
