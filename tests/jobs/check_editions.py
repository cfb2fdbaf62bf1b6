#!/usr/bin/python3
"""check_editions.py ARCHIVE [LIST.CSV...]: the archive's manifest and its editions, made again with the standard library.

Every earlier edition's manifest, written from the present one by another JSON library, has the SHA-256 that is recorded for it;
manifest.json is the last edition's; and, where lists are given, the images are those of the lists, one after the other, with the
positions that they have in them. Prints the SHA-256 of each edition, oldest first."""
import csv
import hashlib
import json
import os
import sys

import h5py

archive, lists = sys.argv[1], sys.argv[2:]


def text_of(manifest):
    return json.dumps(manifest, indent=1, ensure_ascii=False).encode()


with open(os.path.join(archive, "manifest.json"), "rb") as file:
    text = file.read()
manifest = json.loads(text)
assert text == text_of(manifest)
earlier = manifest.get("earlier", [])
assert manifest["version"] == (2 if earlier else 1)
for i, edition in enumerate(earlier):
    was = {"format": "patchbank-archive", "version": 2 if i else 1, "source": edition["source"],
           "shard_images": edition["shard_images"], "images": edition["images"],
           "shards": manifest["shards"][:edition["shards"]]}
    if i:
        was["earlier"] = earlier[:i]
    assert hashlib.sha256(text_of(was)).hexdigest() == edition["sha256"], edition
    print(edition["sha256"])
if earlier:
    with open(os.path.join(archive, f"edition-{len(earlier) + 1:06d}", "manifest.json"), "rb") as file:
        assert file.read() == text
print(hashlib.sha256(text).hexdigest())

found = []
for shard in manifest["shards"]:
    with open(os.path.join(archive, shard["file"]), "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == shard["sha256"]
    with h5py.File(os.path.join(archive, shard["file"]), "r") as file:
        data, offset = file["path/bytes"][()].tobytes(), file["path/offset"][()]
        paths = [data[begin:end].decode() for begin, end in zip(offset, offset[1:])]
        found += list(zip(paths, map(int, file["list_index"][()])))
assert len(found) == manifest["images"]
expected, seen = [], set()
for name in lists:
    with open(name, encoding="utf-8", newline="") as file:
        for index, row in enumerate(csv.DictReader(file)):
            if row["path"] not in seen:
                expected.append((row["path"], index))
            seen.add(row["path"])
assert not lists or found == expected, f"{found}\n{expected}"
