#!/usr/bin/env bash
# Installs what the checks need and is not there yet, on Debian, given rustup's stable toolchain.
set -euo pipefail

missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); }
need cc gcc
need c++ g++ # libFuzzer is written in it
need ld binutils
need objdump binutils
need strace strace
need patch patch
need mount mount
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)

if [ ${#missing[@]} -gt 0 ]; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

command -v cargo > /dev/null || { echo "install.sh: no cargo: install rustup's stable toolchain first" >&2; exit 1; }
for component in rustfmt clippy; do
    cargo "${component/rust/}" --version > /dev/null 2>&1 || rustup component add "$component"
done
