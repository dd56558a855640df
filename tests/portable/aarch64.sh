#!/bin/bash
# A cross-build for aarch64 that is run by qemu: a sweep of two windows, rtn and gptq, must give every
# token's NLL the bytes that the program of this machine gives it. No part of `make check`: it builds
# all of the program and takes some minutes.
#
#   tests/portable/aarch64.sh [FOLDER]     FOLDER: Debian's libraries for arm64 (build/aarch64/root)
set -euo pipefail
cd "$(dirname "$0")/../.."

.ci/setup gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user mmdebstrap

root=$(realpath -m "${1:-build/aarch64/root}")
libraries=$root/usr/lib/aarch64-linux-gnu
if [ ! -d "$libraries" ]; then
    # What the Makefile says the program is built with; tools are this machine's.
    wanted=$(sed -n '/^PACKAGES :=/,/[^\\]$/p' Makefile | grep -oE 'z?lib[a-z0-9.-]+-dev' | paste -sd,)
    mkdir -p "$(dirname "$root")"
    mmdebstrap --quiet --variant=extract --architectures=arm64 --include="$wanted,libc6-dev" \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root"
    # Links that packages make as they are configured.
    for name in lib{openblas,blas,lapack}.so lib{blas,lapack}.so.3 libopenblas.so.0; do
        [ -e "$libraries/$name" ] || ln -s "openblas-openmp/$name" "$libraries/$name"
    done
    ln -s hdf5-serial.pc "$libraries/pkgconfig/hdf5.pc"
    ln -s ../openblas-openmp/pkgconfig/lapack-openblas.pc "$libraries/pkgconfig/lapack.pc"
    ln -s ../openblas-openmp/pkgconfig/openblas.pc "$libraries/pkgconfig/openblas.pc"
fi

make -s -j"$(nproc)" all
PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$libraries/pkgconfig:$root/usr/share/pkgconfig \
    make -s -j"$(nproc)" BUILD=build/aarch64 CC="${CCACHE:-} aarch64-linux-gnu-gcc --sysroot=$root" \
    LDFLAGS="-L$libraries -Wl,-rpath-link,$libraries -Wl,-rpath-link,$root/lib/aarch64-linux-gnu" all

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/cut.yaml" <<END
model: $PWD/datasets/tiny
calibration: {text: $PWD/datasets/commons/calibration.txt, windows: 2, tokens: 64}
evaluation:
  perplexity:
    - {text: $PWD/datasets/commons/evaluation.txt, windows: 2, tokens: 64}
  layer_error: {windows: 1}
sweep:
  - {algorithm: [rtn, gptq], weights: {bits: 3, group_size: 128}}
END
# Of the program's own start nothing is left to do, and another start would not be qemu's.
export OMP_WAIT_POLICY=passive
build/release/bitsweep run --quiet --output "$work/here.h5" "$work/cut.yaml" >/dev/null
qemu-aarch64 -L "$root" build/aarch64/bitsweep run --quiet --output "$work/there.h5" "$work/cut.yaml"
build/release/bitsweep diff "$work/here.h5" "$work/there.h5" | tee "$work/said"
grep -q '^3 compared: .* 3 have the same bits' "$work/said" ||
    { echo "expected the same bits on aarch64" >&2; exit 1; }
