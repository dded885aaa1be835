#!/usr/bin/env bash
# Formatting, lints, documentation: nothing to complain about anywhere.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --workspace --all-targets --quiet -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
(cd loom-tests && cargo fmt --check)
echo "lint: clean"
