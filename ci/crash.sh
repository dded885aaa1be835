#!/usr/bin/env bash
# Kills a process after each instruction of each operation, and asks the survivors: `ci/crash.sh [NAME...]` for the
# scenarios whose names contain one of those. Then breaks steps of the library, and sees that the scenarios notice.
# `target/release/crash --help` says more.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $(uname -m) == x86_64 ]] || { echo "crash: knows x86-64 only" >&2; exit 1; }
log=target/crash.log
cargo build --quiet --release --package crash-tests
RUSTFLAGS="--cfg ringway_instruments" cargo build --quiet --release --package crash-tests --target-dir target/instruments
cargo test --quiet --release --package crash-tests

target/release/crash "$@" | tee "$log"
target/instruments/release/crash --planted "$@"
tail -n 1 "$log"
