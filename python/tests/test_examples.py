"""The programs in `examples/` run by themselves; what claims to need another import line only, does."""

import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"

LINE = "import ringway as multiprocessing\n"

#: What each prints, and the lines it writes to standard error in whatever order.
OUTPUTS = {
    "log_collector.py": (
        "1002 records of 4 workers\n",
        {"worker-0 WARNING worker 0 cannot go on", "worker-2 WARNING worker 2 cannot go on"},
    ),
    "shared_dict.py": ("killed: 1\n5 fox\n4 the\n3 a\nanimals: 7\n", set()),
    "task_workers.py": ("primes: 2 3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 59\n", set()),
}


def run(path):
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.splitlines())


def test_all_are_here():
    assert {path.name for path in EXAMPLES.glob("*.py")} == OUTPUTS.keys()


@pytest.mark.parametrize("example", sorted(OUTPUTS))
def test_it_runs(example):
    assert run(EXAMPLES / example) == OUTPUTS[example]


@pytest.mark.parametrize("example", ["log_collector.py", "task_workers.py"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("line", [LINE, LINE.replace("ringway as ", "")], ids=["ringway", "multiprocessing"])
def test_only_the_import_line_differs(example, method, line, tmp_path):
    text = (EXAMPLES / example).read_text()
    assert text.count(LINE) == 1
    main = "    main()\n"
    assert text.endswith(main)
    text = text.removesuffix(main) + f'    multiprocessing.set_start_method("{method}")\n{main}'
    (tmp_path / example).write_text(text.replace(LINE, line))
    assert run(tmp_path / example) == OUTPUTS[example]
