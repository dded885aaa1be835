#!/usr/bin/env bash
# Wake-ups and bells between real processes, with sleeps that nothing but a wake ends: `ci/stress.sh [SECONDS]`. First the
# protocols by themselves, then the endpoints: in the product the end of a slice makes up for a wake that was forgotten.
set -euo pipefail
cd "$(dirname "$0")/.."
log=target/stress.log
mkdir -p target
RINGWAY_STRESS_SECONDS=${1:-10} cargo test --release --lib stress:: -- --nocapture --test-threads=1 2>&1 | tee "$log"
[ "$(grep -c 'stress  ' "$log")" -ge 10 ] || { echo "stress: not every order ran" >&2; exit 1; }

# The tests in which nobody dies, so that nobody has to be found dead at the end of a slice.
export RUSTFLAGS="--cfg ringway_instruments" RINGWAY_UNSLICED=1
unsliced() { cargo test --quiet --release --target-dir target/instruments -p process-tests --test threads --test integrity "$@"; }
unsliced --no-run
unsliced
# And they do notice.
for site in channel.wake_items channel.wake_space; do
    if RINGWAY_PLANT=$site timeout --foreground -s KILL 20 cargo test --quiet --release --target-dir target/instruments \
        -p process-tests --test threads _pass_between_threads > target/unsliced.log 2>&1; then
        echo "stress: it was not noticed that $site is left out" >&2
        exit 1
    fi
    echo "planted $site: noticed"
done
