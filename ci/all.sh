#!/usr/bin/env bash
# Every check, one script each. Installs what it needs. What a script prints goes to target/ci/NAME.log, and here only
# its last words: of those that fail more of them, at the very end, so that they are not lost among all the others'. One
# that fails does not keep the others from being run.
set -euo pipefail

# Whoever starts this in the background has them ignored, and no shell can change that for itself.
if [ -z "${RINGWAY_CI_SIGNALS:-}" ]; then
    exec env --default-signal=INT,QUIT RINGWAY_CI_SIGNALS=default "$0" "$@"
fi
cd "$(dirname "$0")"

logs=../target/ci
mkdir -p "$logs"
left_out=()
failed=()
run() {
    local began=$SECONDS code=0 log=$logs/${1%.sh}.log
    echo "=== ci/$*"
    "./$1" "${@:2}" > "$log" 2>&1 || code=$?
    case $code in
    0)
        tail -n 3 "$log"
        echo "=== ci/$* took $((SECONDS - began)) s"
        ;;
    77) # What it needs is neither here nor to be had.
        tail -n 3 "$log" >&2
        left_out+=("$1")
        ;;
    *)
        echo "=== ci/$* FAILED with exit code $code after $((SECONDS - began)) s"
        failed+=("$1")
        ;;
    esac
}

run install.sh
[ ${#failed[@]} -eq 0 ] || { cat "$logs/install.log" >&2; exit 1; }
run test.sh
run loom.sh
run lint.sh
run asm.sh
run stress.sh 5
run shell.sh
run large.sh
run crash.sh
run soak.sh 30
run fuzz.sh 6
run tsan.sh
run libcs.sh
run python.sh
if [ ${#left_out[@]} -gt 0 ]; then
    echo "NOT RUN, for want of what they need: ${left_out[*]}" >&2
fi
for script in ${failed[@]+"${failed[@]}"}; do
    echo "=== of ci/$script, which failed, the last lines:"
    tail -n $((80 / ${#failed[@]})) "$logs/${script%.sh}.log" | cut -c -500
done >&2
if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}, in $SECONDS s" >&2
    exit 1
fi
echo "all checks passed in $SECONDS s"
