"""The stubs: mypy understands a program by them, and they are what the package is."""

import os
import pathlib
import subprocess
import sys

import pytest

import ringway

pytest.importorskip("mypy", reason="the stubs are checked with mypy")

PACKAGE = pathlib.Path(ringway.__file__).parent
SAMPLE = pathlib.Path(__file__).with_name("typed.py")

#: Differences between the stubs and the package that are meant.
ALLOWED = r"""
# The standard library's modules under our name: a stub that is all of another's cannot list it.
ringway\.(dummy|forkserver|heap|process|reduction|resource_sharer|resource_tracker|shared_memory|spawn|util)\.__all__
# Python has it from 3.12 on; type checkers know all buffers by it.
ringway\._ringway\.(Lease|Loan|Memory)\.__buffer__
"""


def run(*command, cwd=None):
    environment = dict(os.environ)
    if "site-packages" not in PACKAGE.parts:
        # The package lies in a source tree, as it does not when it is installed.
        environment["MYPYPATH"] = environment["PYTHONPATH"] = str(PACKAGE.parent)
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_package_says_that_it_is_typed():
    """Whatever is installed has them: each module that people import, and the mark that makes type checkers look."""
    assert (PACKAGE / "py.typed").exists()
    modules = {file.stem for file in PACKAGE.glob("*.py")} | {"_ringway"}
    stubs = {file.stem for file in PACKAGE.glob("*.pyi")}
    assert modules == stubs


def test_mypy_accepts_a_program_and_finds_its_mistakes(tmp_path):
    assert "Success" in run("-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(SAMPLE), cwd=tmp_path)


def test_the_program_runs():
    assert run(str(SAMPLE)) == "all parts ran\n"


def test_the_stubs_are_what_the_package_is(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.write_text(ALLOWED)
    run(
        *("-m", "mypy.stubtest", "ringway", "--ignore-disjoint-bases", "--ignore-unused-allowlist"),
        *("--allowlist", str(allowed)),
        cwd=tmp_path,
    )
