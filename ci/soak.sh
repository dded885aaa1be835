#!/usr/bin/env bash
# Kills and stops processes at random, and accounts for every message, lock and permit: `ci/soak.sh SECONDS [--seed N] [MORE...]`.
# A quarter of the time goes to the build that ships, the rest to one that holds processes up in the middle of what
# they do; that one must also notice when a step of the library is broken. `target/release/soak --help` says more.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: ci/soak.sh SECONDS [--seed N] [MORE...]}
shift
target=${CARGO_TARGET_DIR:-target}
shipping=$target/release/soak
instrumented=$target/instruments/release/soak

cargo build --quiet --release --package soak
RUSTFLAGS="--cfg ringway_instruments" cargo build --quiet --release --package soak --target-dir "$target/instruments"
cargo test --quiet --release --package soak

# planted SITE SCENARIO: the soak finds a violation where that step is broken. Chance has a part in that, so it gets several
# tries. (What needs a certain process to die at a certain instruction is left to ci/crash.sh, which leaves nothing to chance.)
planted() {
    local code seed log=$target/soak-planted.log
    for seed in 1 2 3 4 5; do
        code=0
        "$instrumented" 30 --seed "$seed" --scenario "$2" --plant "$1" >"$log" || code=$?
        # 1 is also how it ends if nothing happened.
        if [ "$code" -eq 1 ] && grep -c VIOLATION "$log" >/dev/null; then
            echo "planted $1: $(awk -F'VIOLATION: ' 'NF > 1 && !found { print $2; found = 1 }' "$log")"
            return
        fi
        [ "$code" -le 1 ] || break
        echo "planted $1: not noticed with seed $seed"
    done
    cat "$log"
    echo "soak: it was not noticed that $1 is broken" >&2
    exit 1
}

planted bytes.publish_before_payload bytes
planted spsc.release_before_read spsc
planted bell.put_failed bell
planted mpmc.skip queue
planted pool.free_slot_first blobs
planted pool.retake_exactly tasks
planted lock.take_over_exactly mutex
planted gate.unlock_wakes mutex
planted count.wakes permits
planted permits.patrol permits
planted flag.wakes turns
planted condition.look_before_unlock turns
planted rendezvous.log barrier
planted token.recovered token
planted token.take_over_exactly token
planted tally.exactly tally
planted promises.promise tally
planted map.recheck map
planted map.collect_recheck map
planted map.mending map
"$shipping" $((seconds / 4 + 1)) "$@"
"$instrumented" $((seconds - seconds / 4)) "$@"
