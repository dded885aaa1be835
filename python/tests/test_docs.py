"""Each block of code in the documents runs as it stands, under more than one start method, and prints what is said below it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import ringway

HERE = pathlib.Path(__file__).parent.parent
PAGES = [HERE / "README.md", HERE / "docs" / "moving-from-multiprocessing.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def blocks(language):
    """Each block of a language, with what it should print, if anything is said of that."""
    for page in PAGES:
        text = page.read_text()
        for found in BLOCK.finditer(text):
            if found[1] == language:
                line = text.count("\n", 0, found.start()) + 2
                yield pytest.param(found[2], found[3], id=f"{page.stem}:{line}")


def run(command, expected, directory, **keywords):
    names = directory / "names"
    names.mkdir()
    package = pathlib.Path(ringway.__file__).parent.parent
    environment = {**os.environ, "RINGWAY_DIR": str(names), "PYTHONPATH": str(package), **keywords}
    done = subprocess.run(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if expected is not None:
        assert done.stdout == expected


def test_there_are_blocks_of_no_other_language():
    languages = [found[1] for page in PAGES for found in BLOCK.finditer(page.read_text())]
    assert set(languages) == {"python", "sh"}
    assert languages.count("python") == len(list(blocks("python"))) > 10
    # And none that the pattern misses.
    fences = sum(page.read_text().count("\n```") for page in PAGES)
    texts = sum(page.read_text().count("\n```text\n") for page in PAGES)
    assert fences == 2 * (len(languages) + texts)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("code, output", list(blocks("python")))
def test_python(code, output, method, tmp_path):
    if "numpy" in code or "asarray" in code:
        pytest.importorskip("numpy")
    program = tmp_path / "program.py"
    start = f"if __name__ == '__main__': __import__('multiprocessing').set_start_method({method!r})\n"
    program.write_text(start + code)
    run([sys.executable, str(program)], output, tmp_path)


@pytest.mark.parametrize("code, output", list(blocks("sh")))
def test_shell(code, output, tmp_path):
    command = os.environ.get("RINGWAY_COMMAND") or shutil.which("ringway")
    if command is None:
        pytest.skip("the command `ringway` is not here: RINGWAY_COMMAND says where it is")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ringway").symlink_to(command)
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / "python").chmod(0o755)
    run(["bash", "-euo", "pipefail", "-c", code], output, tmp_path, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
