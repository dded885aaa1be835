#!/usr/bin/env bash
# Fuzzes the library: `ci/fuzz.sh [SECONDS [TARGET...]]`, each target for so long (30 s, all of them). Each target's file
# under fuzz/fuzz_targets says what it checks. Installs what it needs: a nightly compiler, and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "fuzz: $*" >&2; exit 1; }

seconds=${1:-30}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "for how many seconds? Not $seconds"
shift || true
targets=("$@")
if ((${#targets[@]} == 0)); then
    for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
for target in "${targets[@]}"; do
    [[ -e fuzz/fuzz_targets/$target.rs ]] || fail "there is no target $target"
done

without() { echo "fuzz: NOT RUN: $1 is neither here nor to be had" >&2; exit 77; }
rustup run nightly rustc --version > /dev/null 2>&1 ||
    timeout 300 rustup toolchain install nightly --profile minimal || without "a nightly compiler"
cargo +nightly fuzz --version > /dev/null 2>&1 || cargo install --locked --quiet cargo-fuzz || without cargo-fuzz

log=fuzz/target/fuzz.log
mkdir -p fuzz/target
cargo +nightly fuzz build --fuzz-dir fuzz --target-dir fuzz/target > "$log" 2>&1 || { cat "$log" >&2; fail "does not build"; }
binaries=fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release

# The targets' named objects: gone with this script, however their process ends.
RINGWAY_DIR=$(mktemp -d /dev/shm/ringway-fuzz-XXXXXX)
export RINGWAY_DIR
trap 'rm -rf "$RINGWAY_DIR"' EXIT
# An allocation as large as a peer says can fail; that is answered.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_odr_violation=0

for target in "${targets[@]}"; do
    log=fuzz/target/$target.log
    artefacts=fuzz/artifacts/$target
    mkdir -p "fuzz/corpus/$target" "$artefacts"
    # A minute is for a machine that is busy with other things: a call that ends takes some milliseconds at most.
    status=0
    "$binaries/$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -artifact_prefix="$artefacts/" \
        -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 > "$log" 2>&1 || status=$?
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    features=$(sed -nE 's/^#.* ft: ([0-9]+) .*/\1/p' "$log" | tail -n 1)
    if ((status != 0)); then
        artefact=$(sed -nE 's/.*Test unit written to (.*)/\1/p' "$log" | tail -n 1)
        grep -aE -A 4 'panicked at|^==[0-9]+== ?ERROR|^SUMMARY' "$log" >&2 || tail -n 30 "$log" >&2
        [[ -z $artefact ]] || echo "fuzz: again with: cargo +nightly fuzz run $target ${artefact#fuzz/}" >&2
        fail "$target ended with exit code $status; its log is $log${artefact:+, its input $artefact}"
    fi
    ((${executions:-0} > 0)) || fail "$target executed nothing"
    echo "fuzz $target: $executions executions, ${features:-0} features"
done
