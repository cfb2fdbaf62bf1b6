"""What tests in Python share: the content of folders."""

import os


def content(path):
    """{name: bytes} of all files below a folder; of a file {"": bytes}."""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            return {"": file.read()}
    found = {}
    for folder, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.relpath(os.path.join(folder, name), path)] = file.read()
    return found
