#!/usr/bin/env bash
# Formatting, lints, documentation: nothing to complain about anywhere.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
for other in loom-tests fuzz benches/peers; do
    (cd "$other" && cargo fmt --check)
done
cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
RUSTFLAGS="--cfg ringway_instruments" cargo clippy --workspace --quiet --target-dir target/instruments -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --quiet
echo "lint: clean"
