#!/usr/bin/env bash
# Messages far larger than the pipe they go through: 16 MiB, and with 8 GiB of memory free 2 GiB, through 64 KiB.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p target
cargo test --release -p process-tests --test pipe_midway -- --nocapture pass_through_a_small_ring 2>&1 | tee target/large.log
grep -Eq '^test result: ok\. [1-9]' target/large.log || { echo "large: no test ran" >&2; exit 1; }
