"""What the tests of pipes share."""

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import threading
import time

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key


@pytest.fixture(autouse=True)
def watchdog(request):
    """Whatever hangs ends, and says where."""
    stderr = request.config.stash.get(fault_handler_stderr_fd_key, 2)
    faulthandler.dump_traceback_later(300, exit=True, file=stderr)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def ctx(request):
    return multiprocessing.get_context(request.param)


@contextlib.contextmanager
def running(ctx, target, *args):
    """A process that does `target(*args)`, and ends with success unless it was killed."""
    process = ctx.Process(target=target, args=args)
    process.start()
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    finally:
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL)


def open_files():
    return len(os.listdir("/proc/self/fd"))


def mappings():
    with open("/proc/self/maps") as lines:
        return sum(1 for _ in lines)


def state(tid, pid=None):
    """What the system says a thread does: "R", "S", "T" and so on."""
    with open(f"/proc/{pid or os.getpid()}/task/{tid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def is_asleep(tid):
    """Whether a thread of this process has gone to sleep by itself."""
    return state(tid) == "S"


def until(condition):
    while not condition():
        time.sleep(0.001)


@contextlib.contextmanager
def on_signal(number, handler):
    old = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, old)


@contextlib.contextmanager
def signalled_when_asleep(number):
    """Sends the main thread a signal whenever it has fallen asleep, until it is told that that is enough."""
    tid, main, enough = threading.get_native_id(), threading.get_ident(), threading.Event()

    def annoy():
        while not enough.is_set():
            if is_asleep(tid):
                signal.pthread_kill(main, number)
            time.sleep(0.001)

    thread = threading.Thread(target=annoy)
    try:
        thread.start()
        yield enough
    finally:
        enough.set()
        thread.join()
