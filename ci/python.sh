#!/usr/bin/env bash
# The Python package, as a wheel in an environment of its own: the six lines of the hello, its tests, and CPython's own tests
# of `multiprocessing` for each start method. `ci/python.sh --quick` leaves CPython's out.
# What is tested with: the machine's python3, at least 3.11; other versions under ~/.pyenv/versions get a few of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(realpath -m "${CARGO_TARGET_DIR:-target}/python")
logs=$work/logs
mkdir -p "$logs"
rm -f "$logs"/*
quick=${1:-}
failed=()

fail() { echo "python.sh: $*" >&2; exit 1; }
has() { "$1" -c "import $2" 2> /dev/null; }
# What Debian has in packages of their own.
need() {
    has python3 "$1" && return
    command -v apt-get > /dev/null || return
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2")
    # What is known of the packages may be old, or nothing at all.
    "${get[@]}" > /dev/null || { "${as_root[@]}" apt-get update -qq && "${get[@]}" > /dev/null; } || true
}
# What is neither here nor to be had: no failure of ours.
without() { echo "python.sh: NOT RUN: $1 is neither here nor to be had" >&2; exit 77; }
is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; }

# Wherever an older one comes first.
export PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH
if ! command -v python3 > /dev/null || ! is_new_enough python3; then
    echo "python.sh: no Python 3.11 or newer here" >&2
    exit 77
fi
need ensurepip python3-venv
need test._test_multiprocessing libpython3-testsuite
has python3 ensurepip || without "Python's ensurepip (Debian: python3-venv)"

# environment NAME PYTHON: empty but for pip, and only made if need be.
environment() {
    [ -x "$work/$1/bin/python" ] || "$2" -m venv "$work/$1"
}
install() { "$work/$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"; }

# prepare NAME PYTHON PACKAGE...: a fresh environment with packages.
prepare() {
    rm -rf "${work:?}/$1"
    environment "$1" "$2" && install "$1" "${@:3}"
}

began=$SECONDS
echo "--- the wheel"
{
    prepare venv-test python3 pytest
    install venv-test numpy mypy || echo "python.sh: without numpy and mypy, some tests are skipped" >&2
} &
environments=$!
environment venv-build python3
has "$work/venv-build/bin/python" maturin || install venv-build 'maturin>=1.9,<2' || without maturin
rm -rf "$work/wheels"
"$work/venv-build/bin/maturin" build --quiet --release --manifest-path python/Cargo.toml --out "$work/wheels"
wheels=("$work"/wheels/*.whl)
[ -f "${wheels[0]}" ] || fail "maturin has built no wheel"
wheel=${wheels[0]}
python3 - "$wheel" LICENSE-* << 'END'
import pathlib, sys, zipfile
wheel, *licences = sys.argv[1:]
with zipfile.ZipFile(wheel) as files:
    there = {pathlib.Path(name).name: files.read(name) for name in files.namelist() if ".dist-info/licenses/" in name}
for licence in licences:
    assert there.get(licence) == pathlib.Path(licence).read_bytes(), f"the wheel has no {licence}, or another one: {sorted(there)}"
END
cargo build --quiet --release -p ringway-cli
export RINGWAY_COMMAND
RINGWAY_COMMAND=$(realpath "${CARGO_TARGET_DIR:-target}/release/ringway")

# The tests without the sources beside them: what is tested is what the wheel has.
rm -rf "$work/tests" "$work/examples"
cp -r python/tests "$work/tests"
rm -rf "$work/docs"
cp -r python/docs python/README.md "$work"
cp -r python/examples "$work/examples"
cp -r python/conformance "$work/conformance.new"
rm -rf "$work/conformance"
mv "$work/conformance.new" "$work/conformance"
cd "$work"
# From here on only copies are imported, by hundreds of children: that they are compiled once saves most of their time.
unset PYTHONDONTWRITEBYTECODE

echo "--- six lines"
wait $environments || without pytest
install venv-test --no-deps "$wheel"
python=$work/venv-test/bin/python
cat > hello.py << 'END'
import ringway as mp
if __name__ == "__main__":
    queue = mp.Queue()
    mp.Process(target=queue.put, args=("hello",)).start()
    assert queue.get() == "hello"
END
"$python" hello.py
where=$("$python" -c 'import ringway; print(ringway.__file__)')
case $where in "$work"/venv-test/*) ;; *) fail "tests would import $where" ;; esac

# Each lane's last words; what it says besides is in its log.
# lane NAME COMMAND...
lane() {
    local name=$1 code=0 began=$SECONDS
    "${@:2}" > "$logs/$name.log" 2>&1 || code=$?
    echo "$code $((SECONDS - began))" > "$logs/$name.code"
}
# verdict NAME: prints how it went.
verdict() {
    local code=lost took=?
    [ ! -e "$logs/$1.code" ] || read -r code took < "$logs/$1.code"
    echo "--- $1: exit code $code, $took s"
    case $1 in
    suite-*) sed -n '/^Not passed:/,$p' "$logs/$1.log" | cut -c -240; tail -n 1 "$logs/$1.log" ;;
    *) if [ "$code" = 0 ]; then tail -n 1 "$logs/$1.log"; else tail -n 100 "$logs/$1.log" | cut -c -300; fi ;;
    esac
    [ "$code" = 0 ] || failed+=("$1")
}
pytests() { "$1" -m pytest -q -p no:cacheprovider --tb=short -rfEX --durations=5 "${@:2}"; }
suite() {
    RINGWAY_PICKLING_ERRORS=feeder "$python" conformance/cpython_suite.py --module ringway --classes core --pool-on-ctx \
        --start-method "$1" --jobs 2
}

# other VERSION PYTHON: the one wheel is for all versions from 3.11 on.
other() { prepare "venv-$1" "$2" pytest "$wheel" && pytests "$work/venv-$1/bin/python" -m quick tests; }
version() { "$1" -c 'import sys; print("{}.{}".format(*sys.version_info))'; }

# Few of the tests are busy for long; most wait. So some may run at the same time.
lanes=(pytest-a-c pytest-d-p pytest-q-z)
lane pytest-a-c pytests "$python" tests/test_[a-c]*.py &
lane pytest-d-p pytests "$python" tests/test_[d-p]*.py &
lane pytest-q-z pytests "$python" tests/test_[q-z]*.py &
has_suite=true
has "$python" test._test_multiprocessing || has_suite=false
if [ "$quick" != --quick ] && $has_suite; then
    for method in fork spawn forkserver; do
        lanes+=("suite-$method")
    done
    {
        for method in fork spawn forkserver; do
            lane "suite-$method" suite "$method"
        done
    } &
fi
others=()
for each in "${HOME:-/nowhere}"/.pyenv/versions/3.1[1-9].*/bin/python3; do
    [ -x "$each" ] && is_new_enough "$each" && [ "$(version "$each")" != "$(version "$python")" ] || continue
    others+=("$each")
    lanes+=("pytest-$(version "$each")")
done
for each in "${others[@]}"; do
    lane "pytest-$(version "$each")" other "$(version "$each")" "$each"
done &
wait
if [ "$quick" != --quick ]; then
    lanes+=(differences)
    lane differences "$python" conformance/differences.py ringway
fi
for name in "${lanes[@]}"; do
    verdict "$name"
done

[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
echo "python: all passed, in $((SECONDS - began)) s"
[ "$quick" = --quick ] || $has_suite || without "CPython's own test suite (Debian: libpython3-testsuite)"
