#!/usr/bin/env bash
# Kills and stops processes at random, and accounts for every message: `ci/soak.sh SECONDS [--seed N] [MORE...]`.
# Most of the time goes to a build that holds processes up in the middle of what they do, a quarter to the build that
# ships. At the end the same must notice that a step of the library is broken. `cargo run -p soak -- --help` says more.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: ci/soak.sh SECONDS [--seed N] [MORE...]}
shift
instrumented=target/instruments/release/soak
shipping=target/release/soak

RUSTFLAGS="--cfg ringway_instruments" cargo build --quiet --release --package soak --target-dir target/instruments
cargo build --quiet --release --package soak

# A planted bug must be found soon.
planted() {
    local code=0
    echo "--- with $1 broken"
    "$instrumented" 20 --seed 1 --scenario "$2" --plant "$1" >target/soak-planted.log || code=$?
    if [ "$code" -ne 1 ] || ! grep 'VIOLATION: [^s]' target/soak-planted.log; then
        cat target/soak-planted.log
        echo "soak: it was not noticed that $1 is broken" >&2
        exit 1
    fi
}

echo "--- the build that ships"
"$shipping" $((seconds / 4 + 1)) "$@"
planted bytes.publish_before_payload bytes
planted gate.patrol pipe
echo "--- with windows widened"
"$instrumented" $((seconds - seconds / 4)) "$@"
