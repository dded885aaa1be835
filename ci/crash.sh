#!/usr/bin/env bash
# Kills a process after each instruction of each operation, then plants bugs and sees them found: `ci/crash.sh [NAME…]`.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $(uname -m) == x86_64 ]] || { echo "crash.sh: knows x86-64 only" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-target}
log=$target/crash.log
cargo build --quiet --release -p crash-tests
RUSTFLAGS="--cfg ringway_instruments" cargo build --quiet --release -p crash-tests --target-dir "$target/instruments"

"$target/release/crash" "$@" | tee "$log"
"$target/instruments/release/crash" --planted "$@"
tail -n 1 "$log"
