"""Queues with a name, which other programs find too: the command `ringway` puts into them and gets from them."""

import os
import subprocess

import pytest

import ringway
import work

Queue = ringway.queues.Queue
JoinableQueue = ringway.queues.JoinableQueue


def test_names(mp, name):
    queue = Queue(10, name=name)
    assert queue.name == name
    mp.run(work.attach_and_put, name, 1, "two")
    assert (queue.get(), queue.get()) == (1, "two")
    same = Queue(name=name)
    same.put("through another handle")
    assert queue.get() == "through another handle"
    assert (same._maxsize, Queue.attach(name)._maxsize) == (10, 10)
    queue.unlink()
    with pytest.raises(FileNotFoundError):
        Queue.attach(name)
    queue.put("goes on without a name")
    assert same.get() == "goes on without a name"


def test_names_taken_and_not(name):
    with pytest.raises(FileNotFoundError, match=name):
        Queue.attach(name)
    queue = Queue.create(name, 5)
    with pytest.raises(FileExistsError, match=name):
        Queue.create(name, 5)
    queue.unlink()
    for wrong in ["", "a/../b", "nul\0", "x" * 5000]:
        with pytest.raises((ValueError, OSError)):
            Queue.create(wrong)


def test_a_named_queue_passes_to_children(mp, name):
    queue = Queue(10, name=name)
    mp.run(work.put_all, queue, "inherited")
    assert queue.get() == "inherited"
    queue.unlink()


def test_the_name_of_something_else(name):
    ringway.synchronize.Event(name=name)
    with pytest.raises(OSError, match=".") as caught:
        Queue.attach(name)
    assert caught.value.errno


def test_another_version_of_the_layout(name):
    """Twelve bytes in stands the version: whoever speaks another says so, and touches nothing."""
    queue = Queue.create(name, 5)
    queue.put(1)
    path = os.path.join(os.environ["RINGWAY_DIR"], name)
    with open(path, "r+b") as file:
        file.seek(12)
        file.write((99).to_bytes(4, "little"))
    with pytest.raises(OSError, match=r"version 99\b"):
        Queue.attach(name)
    assert queue.get() == 1
    os.unlink(path)


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 4096, b"\xff" * 10_000])
def test_a_file_that_is_no_queue(name, damage):
    path = os.path.join(os.environ["RINGWAY_DIR"], name)
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
        file.write(damage)
    with pytest.raises(OSError):
        Queue.attach(name)
    os.unlink(path)


def test_the_mode_of_a_name(name):
    queue = Queue.create(name, mode=0o600)
    assert os.stat(os.path.join(os.environ["RINGWAY_DIR"], name)).st_mode & 0o777 == 0o600
    queue.unlink()


# The command.

command = os.environ.get("RINGWAY_COMMAND")
needs_command = pytest.mark.skipif(not command, reason="RINGWAY_COMMAND is not the path of the command `ringway`")


def run(*arguments, **keywords):
    done = subprocess.run([command, *arguments], capture_output=True, **keywords)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_command
def test_the_command_gets_what_python_puts(name):
    queue = Queue.create(name, 100)
    queue.put_bytes(b"one")
    queue.put_bytes(b"two")
    queue.shutdown()
    assert run("queue", "get", name, "--lines") == b"one\ntwo\n"
    queue.unlink()


@needs_command
def test_python_gets_what_the_command_puts(name):
    queue = Queue.create(name, 100)
    run("queue", "put", name, "--lines", "--close", input=b"one\ntwo\n")
    assert (queue.get_bytes(), queue.get_bytes()) == (b"one\n", b"two\n")  # lines, with their ends
    with pytest.raises(ringway.ShutDown):
        queue.get_bytes()
    assert name.encode() in run("ls")
    queue.unlink()


@needs_command
def test_the_command_feeds_a_joinable_queue(name):
    queue = JoinableQueue.create(name, 100)
    run("queue", "put", name, "--lines", input=b"one\ntwo\nthree\nfour\n")
    assert queue.unfinished() == 4
    assert queue.get_bytes() == b"one\n"
    assert not queue.join(timeout=0)
    # What the command has got is done when its output is written, or its own command has succeeded.
    assert run("queue", "get", name, "--count", "1") == b"two\n"
    assert run("queue", "get", name, "--count", "1", "--exec", "cat") == b"three\n"
    assert queue.unfinished() == 2
    assert run("queue", "drain", name) == b"1 messages, 5 bytes\n"
    queue.task_done()
    assert queue.join(timeout=0)
    with pytest.raises(ValueError):
        queue.task_done()
    run("queue", "close", name)
    with pytest.raises(ringway.ShutDown):
        queue.put_bytes(b"late")
    queue.unlink()


@needs_command
def test_python_works_for_the_command(name):
    """The queue is the command's."""
    run("queue", "create", name, "--tally", "--capacity", "10")
    queue = JoinableQueue(name=name)
    run("queue", "put", name, "--lines", "--close", input=b"1\n2\n")
    with pytest.raises(OSError):
        Queue.attach(name)  # which has no counts
    assert [queue.get_bytes(), queue.get_bytes()] == [b"1\n", b"2\n"]
    queue.task_done()
    assert b"1 messages, 1 are done" in run("queue", "stat", name)
    queue.task_done()
    queue.join()
    queue.unlink()
