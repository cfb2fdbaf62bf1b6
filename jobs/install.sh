#!/bin/bash
# Installs what patchbank needs on Debian 12, as far as it is missing.
#
#   jobs/install.sh build    to build and run it, and to fetch the demo's data
#   jobs/install.sh test     also what the tests need
#
# Nothing is downloaded when nothing is missing, and then no root is needed. Else apt-get runs as root, or by sudo where that
# asks no password. Exit status: 0 all is there; 64 wrong usage; 69 missing packages cannot be installed here.
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

usage() {
    echo "usage: jobs/install.sh build|test" >&2
    exit 64
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
