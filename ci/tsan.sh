#!/usr/bin/env bash
# ThreadSanitizer over the tests that use threads: no two of them touch the same memory, unless something orders them.
#
# The compiler is the stable one, with the standard library built along: in the one that comes with it, locks and
# channels order things without ThreadSanitizer's knowledge, and it reports them.
#
# What it cannot see, and what sees it instead:
# - Other processes. The process tests look at what comes out.
# - Two mappings of the same memory: it knows memory by its address. So it follows threads that share a handle, or the
#   two ends of a pair, but not two handles that were each opened: their orderings, made at one address, do not count at
#   the other, which gives false reports too; and no race between the two halves of a byte ring's mirrored storage. The
#   models do.
# - Fences. The eventcount and the barrier (src/wait/barrier.rs) consist of them and of relaxed accesses, which are no
#   races; whether they suffice the models tell (ci/loom.sh), and the stress of real processes (ci/stress.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "tsan: $*" >&2; exit 1; }

if [ ! -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ] && ! timeout 120 rustup component add rust-src; then
    echo "tsan: NOT RUN: the standard library's source is neither here nor to be had" >&2
    exit 77
fi

target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 # for the two flags with a Z; the language stays the stable one
export RUSTFLAGS="-Zsanitizer=thread"
# Forked children of tests with threads go on to exec or exit.
export TSAN_OPTIONS="die_after_fork=0 halt_on_error=0"
# Sequences of calls of one thread show nothing here that they do not show elsewhere.
export PROPTEST_CASES=16
directory=${CARGO_TARGET_DIR:-target}/tsan
mkdir -p "$directory"

# run NAME ARGUMENTS...: a part of the tests, as `cargo test` takes them, with a log of its own.
run() {
    log=$directory/$1.log
    cargo test --quiet -Zbuild-std --target "$target" --target-dir "$directory" \
        --config profile.dev.package.ringway.opt-level=1 "${@:2}" > "$log" 2>&1
}

# clean NAME ARGUMENTS...: runs them; they pass, there are some, and nothing is reported.
clean() {
    local status=0 count
    run "$@" || status=$?
    ! grep -a -A 25 'WARNING: ThreadSanitizer' "$log" >&2 || fail "$1: reports, see $log"
    ((status == 0)) || { tail -n 40 "$log" >&2; fail "$1: exit code $status, see $log"; }
    count=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    ((count > 0)) || fail "$1: no test ran"
    echo "tsan $1: $count tests, no race"
}

# First of all: does it see one?
! run canary -p ringway --test race -- --ignored || fail "a race was not reported"
grep -aq 'WARNING: ThreadSanitizer: data race' "$directory/canary.log" || {
    tail -n 40 "$directory/canary.log" >&2
    fail "a race was not reported, see $directory/canary.log"
}
echo "tsan canary: a race is reported"

# Skipped: what forks among threads, because ThreadSanitizer's own locks do not survive that; what stresses real
# processes; and one test with two mappings at each end (see above), in which a receiver that only looks at a message
# leaves it to one at the other mapping: `all_share_one_mapping` does the same with one.
clean units -p ringway --lib -- channel:: lock:: pool:: primitives:: ring::mpmc sync:: sys:: wait:: segment::tests::members \
    segment::tests::races two_threads --skip fork --skip clone --skip stress --skip nobody_is_left_asleep \
    --skip pool::tests::kills --skip what_a_killed_ --skip a_child_has_
clean pipes -p ringway --test pipe --test readiness
clean threads -p process-tests --test threads
