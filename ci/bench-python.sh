#!/usr/bin/env bash
# Ringway's Python side beside its peers (python/benches): six minutes, or one with --quick. Other arguments are passed on;
# see --help. Installs the package as a user would, and the peers, into target/bench-python/venv; what cannot be had is left
# out loudly. For the package as it is in the tree: RINGWAY_BENCH_TREE=1, after a build of python/ringway/_ringway.abi3.so.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/${CARGO_TARGET_DIR:-target}/bench-python
[[ ${CARGO_TARGET_DIR:-} != /* ]] || out=$CARGO_TARGET_DIR/bench-python
venv=$out/venv
python=$venv/bin/python

[ -x "$python" ] || python3 -m venv "$venv" || { echo "bench-python: NOT RUN: no Python with venv" >&2; exit 77; }
install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
for peer in numpy faster-fifo cloudtoid-interprocess; do
    "$python" -m pip show --quiet "$peer" 2> /dev/null || timeout 300 "$python" -m pip install --quiet \
        --disable-pip-version-check "$peer" || echo "bench-python: WITHOUT $peer: it cannot be installed" >&2
done

# Beside the installed package, and not beside its source: only that one has a native half.
site=$("$python" -c 'import site; print(site.getsitepackages()[0])')
ln -sfn "$PWD/python/benches" "$site/benches"
if [ -n "${RINGWAY_BENCH_TREE:-}" ]; then
    export PYTHONPATH=$PWD/python
else
    install --force-reinstall --no-deps ./python
fi
exec "$python" -P -m benches --out "$out" "$@"
