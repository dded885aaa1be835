"""Connections in forks, in other processes, and at the end of their own: nothing is left behind."""

import gc
import os
import signal
import subprocess
import sys
import threading
from multiprocessing import reduction

import pytest
from pipe_helpers import (  # noqa: F401
    ctx,
    is_asleep,
    mappings,
    on_signal,
    open_files,
    running,
    signalled_when_asleep,
    until,
    watchdog,
)

from ringway.connection import Pipe

# Threads that know nothing of each other's locks are no danger to a child.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def answer(c):
    while (question := c.recv()) is not None:
        c.send(("answer to", question))


def test_ends_go_to_children_that_are_started(ctx):
    a, b = Pipe()
    with running(ctx, answer, b):
        b.close()
        for number in range(100):
            a.send(number)
            assert a.recv() == ("answer to", number)
        a.send(None)


def use_both(w, r, again):
    w.send("through")
    assert r.recv() == "through"
    again.send("the same")
    assert r.recv() == "the same"
    assert (w.readable, w.writable, r.readable, r.writable) == (False, True, True, False)


def test_a_child_may_get_both_ends_and_one_of_them_twice(ctx):
    r, w = Pipe(False)
    with running(ctx, use_both, w, r, w):
        pass


def adopt_connections(control):
    while (c := control.recv()) is not None:
        with c:
            c.send(("got", c.recv()) if c.readable else "sent")


def test_connections_go_to_processes_that_run_already(ctx):
    control, other = Pipe()
    with running(ctx, adopt_connections, other):
        other.close()
        for _ in range(3):
            a, b = Pipe()
            control.send(b)
            a.send("hello")
            assert a.recv() == ("got", "hello")
            r, w = Pipe(False)
            control.send(w)
            assert r.recv() == "sent"
        control.send(None)


def take_file(c):
    fd = reduction.recv_handle(c)
    os.write(fd, b"from the child")
    os.close(fd)


def test_descriptors_pass_over_the_socket(ctx):
    a, b = Pipe()
    read, write = os.pipe()
    with running(ctx, take_file, b) as process:
        reduction.send_handle(a, write, process.pid)
        os.close(write)
        assert os.read(read, 100) == b"from the child"
    os.close(read)


def test_hundreds_of_processes_share_an_end():
    r, w = Pipe(False)
    pids, count = [], 300
    stay, go = os.pipe()
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(go)
                w.send(number)
                os.read(stay, 1)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    got = sorted(r.recv() for _ in pids)
    os.close(go)
    os.close(stay)
    statuses = {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids}
    assert got == list(range(count)) and statuses == {0}


# --- forks in the middle of calls --------------------------------------------------------------------------------------


def test_a_child_forked_while_a_thread_waits_can_close_its_copy():
    r, w = Pipe(False)
    tids, raised = [], []

    def receive():
        tids.append(threading.get_native_id())
        try:
            r.recv()
        except EOFError as error:
            raised.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    until(lambda: tids and is_asleep(tids[0]))
    said, say = os.pipe()
    stay, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(go)
            files = open_files()
            r.close()
            w.close()
            os.write(say, b"%d" % (files - open_files()))
            os.read(stay, 1)
        finally:
            os._exit(0)
    os.close(stay)
    assert os.read(said, 1) == b"3", "two sockets and the memory, although a thread of the parent's was using it"
    w.close()
    thread.join()
    assert len(raised) == 1, "the child lives, and has nothing of the pipe"
    os.close(go)
    os.waitpid(pid, 0)
    os.close(said)
    os.close(say)


def test_a_handler_may_fork_in_the_middle_of_a_call():
    """The child comes back into a call that its parent made, of a connection that it has closed meanwhile."""
    r, w = Pipe(False)
    children = []

    def handler(*_):
        pid = os.fork()
        if pid == 0:
            r.close()
            return
        children.append(pid)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        w.send("on")

    parent = os.getpid()
    received = status = None
    try:
        with on_signal(signal.SIGUSR1, handler), signalled_when_asleep(signal.SIGUSR1):
            try:
                received = r.recv()
            except OSError as error:
                status = 0 if str(error) == "handle is closed" else 1
            finally:
                if os.getpid() != parent:
                    os._exit(2 if status is None else status)
    finally:
        assert os.getpid() == parent
    assert received == "on"
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0]


# --- nothing is left ---------------------------------------------------------------------------------------------------


CALLS = ["r.recv()", "r.recv_bytes()", "r.poll(None)", "w.send_bytes(bytes(1 << 20))"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("last", ["", "w.close()", "r.close()", "w.send(1)", "del w"])
def test_a_thread_that_waits_does_not_keep_the_process_from_ending(call, last):
    if call.startswith("w") and last == "w.send(1)":
        pytest.skip("waits for its turn, rightly")
    program = f"""
import sys, threading
from ringway.connection import Pipe
r, w = Pipe(False)
def wait():
    try:
        {call}
    except (OSError, EOFError):
        pass
thread = threading.Thread(target=wait, daemon=True)
thread.start()
def state():
    with open(f'/proc/self/task/{{thread.native_id}}/stat') as stat:
        return stat.read().rpartition(')')[2].split()[0]
while state() != 'S':
    pass
{last}
"""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_thousands_of_pipes_leave_nothing_behind():
    def use(duplex):
        a, b = Pipe(duplex)
        if duplex:
            a.send(1)
            b.recv()
        a.fileno()

    use(True)
    use(False)
    gc.collect()
    files, maps = open_files(), mappings()
    for number in range(2000):
        use(number % 2 == 0)
    gc.collect()
    assert open_files() <= files
    assert mappings() <= maps + 8  # the allocator's own


def test_thousands_of_pipes_at_once():
    count = 300
    pipes = [Pipe() for _ in range(count)]
    for number, (a, _) in enumerate(pipes):
        a.send(number)
    assert [b.recv() for _, b in pipes] == list(range(count))


def receive_connections(control, back):
    """Says how many files it has open, after each connection that it received and closed."""
    while (c := control.recv()) is not None:
        c.send("here")
        c.close()
        del c
        back.send(open_files())


def test_what_travels_leaves_nothing_behind(ctx):
    control, other = Pipe()
    r, w = Pipe(False)

    def once():
        a, b = Pipe()
        control.send(b)
        assert a.recv() == "here"
        there = r.recv()
        with running(ctx, b.send, "by inheritance"):
            assert a.recv() == "by inheritance"
        del a, b
        gc.collect()
        return there

    with running(ctx, receive_connections, other, w):
        once()
        first, files = once(), open_files()
        for _ in range(5):
            again = once()
        control.send(None)
        assert again == first
        # The thread that hands them over closes what it did so by a moment later.
        until(lambda: open_files() <= files)


MANY_CHILDREN = """
import os, signal
from ringway.connection import Pipe
r, w = Pipe(False)
for first in range(0, 1100, 50):
    numbers, pids = range(first, first + 50), []
    for number in numbers:
        pid = os.fork()
        if pid == 0:
            try:
                w.send(number)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        pids.append(pid)
    assert sorted(r.recv() for _ in pids) == list(numbers)
    for pid in pids:
        os.waitpid(pid, 0)
"""


def test_children_that_come_and_go_leave_room_for_others():
    """More of them, some after the others, than can take part at once. (Of a program of its own: it is quicker to fork.)"""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    ended = subprocess.run([sys.executable, "-c", MANY_CHILDREN], env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
