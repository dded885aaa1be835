#!/usr/bin/env bash
# Ringway beside its peers (benches/peers): a quarter of an hour, or one and a half minutes with --quick. Other arguments
# are passed on, as in `ci/bench.sh --works locks` for locks and their like (two minutes); see --help.
set -euo pipefail
cd "$(dirname "$0")/.."

# One peer is C++: tried to be had, and left out loudly if it cannot be.
if ! command -v g++ > /dev/null || [ ! -e /usr/include/boost/interprocess/ipc/message_queue.hpp ]; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    if ! { "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ libboost-dev; } > /dev/null; then
        echo "bench.sh: WITHOUT Boost: cannot install g++ and libboost-dev" >&2
    fi
fi

cargo build --release --locked --manifest-path benches/peers/Cargo.toml
exec "${CARGO_TARGET_DIR:-benches/peers/target}/release/ringway-peers" "$@"
