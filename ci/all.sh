#!/usr/bin/env bash
# Every check, one script each. Installs what it needs.
set -euo pipefail
cd "$(dirname "$0")"

run() {
    local began=$SECONDS
    echo "=== ci/$*"
    "./$1" "${@:2}" || { echo "=== ci/$* failed with exit code $? after $((SECONDS - began)) s" >&2; exit 1; }
    echo "=== ci/$* took $((SECONDS - began)) s"
}

run install.sh
run test.sh
run loom.sh
run lint.sh
run asm.sh
run stress.sh 10
run shell.sh
run large.sh
echo "all checks passed in $SECONDS s"
