#!/usr/bin/env bash
# The loom models and their mutants. Lays out loom 0.7.2 with our patch (see loom-tests/Cargo.toml), then runs them.
set -euo pipefail
cd "$(dirname "$0")/../loom-tests"

if [ ! -e patched/loom/.patched ]; then
    rm -rf patched
    mkdir -p patched
    # Any project that names loom makes cargo download its source.
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir "$scratch/src"
    : > "$scratch/src/lib.rs"
    printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\nloom = "=0.7.2"\n' > "$scratch/Cargo.toml"
    manifest=$(cd "$scratch" && cargo metadata --format-version 1 | grep -o '"manifest_path":"[^"]*/loom-0\.7\.2/Cargo\.toml"' | cut -d'"' -f4)
    cp -r "$(dirname "$manifest")" patched/loom
    (cd patched/loom && patch -p1 < ../../loom-0.7.2-dpor.patch && touch .patched)
fi

# Arguments select models by name: `ci/loom.sh eventcount`.
mkdir -p target
cargo test --release -- --show-output "$@" 2>&1 | tee target/loom.log
echo "loom: $(grep -c '^model ' target/loom.log || true) models held, $(grep -c '^mutant ' target/loom.log || true) mutants caught"
grep -q '^model ' target/loom.log || { echo "loom: no model ran" >&2; exit 1; }
grep -q '^mutant ' target/loom.log || { echo "loom: no mutant ran" >&2; exit 1; }
