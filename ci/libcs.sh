#!/usr/bin/env bash
# Processes of two C libraries agree by the same objects: the tests' peers, built for musl, against glibc's. Installs the
# target it needs.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: \([^-]*\)-.*/\1/p')-unknown-linux-musl
if [ ! -d "$(rustc --print target-libdir --target "$target")" ] && ! timeout 120 rustup target add "$target"; then
    echo "libcs: NOT RUN: the target $target is neither here nor to be had" >&2
    exit 77
fi
cargo build --quiet --package process-tests --bin peer --target "$target"
export RINGWAY_MUSL_PEER=$PWD/${CARGO_TARGET_DIR:-target}/$target/debug/peer
[[ ${CARGO_TARGET_DIR:-} != /* ]] || RINGWAY_MUSL_PEER=$CARGO_TARGET_DIR/$target/debug/peer

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --quiet --package process-tests --test libcs -- --include-ignored 2>&1 | tee "$log"
count=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$log")
((${count:-0} > 0)) || { echo "libcs: no test ran" >&2; exit 1; }
echo "libcs: $count tests between glibc and musl"
