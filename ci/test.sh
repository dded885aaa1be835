#!/usr/bin/env bash
# The quick loop: unit, property, process and documentation tests.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test "$@"
# What only the features have. Not by `--all-features` above: that is not the command a newcomer types.
[ $# -gt 0 ] || cargo test --features serde --package ringway serde
