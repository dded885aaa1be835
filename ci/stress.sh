#!/usr/bin/env bash
# The stress of wake-ups and bells between real processes, with sleeps that nothing but a wake ends: `ci/stress.sh [SECONDS]`.
set -euo pipefail
cd "$(dirname "$0")/.."
log=target/stress.log
mkdir -p target
RINGWAY_STRESS_SECONDS=${1:-10} cargo test --release --lib stress:: -- --nocapture --test-threads=1 2>&1 | tee "$log"
[ "$(grep -c 'stress  ' "$log")" -ge 10 ] || { echo "stress: not every order ran" >&2; exit 1; }
