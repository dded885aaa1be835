#!/usr/bin/env bash
# The quick loop: unit, property, process and documentation tests.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo test "$@"
