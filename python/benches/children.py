"""Processes that are pinned, watched, and gone with their parent."""

import ctypes
import multiprocessing
import os
import shutil
import signal
import traceback
from pathlib import Path

_context = multiprocessing.get_context("fork")
_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1

#: In the names of all that a run leaves in shared memory. It is swept after each measurement.
TAG = f"ringway-bench-{os.getpid()}"
SHARED_MEMORY = Path("/dev/shm")


class Failed(Exception):
    """A measurement that came to nothing."""


def cores():
    """Two processors to work on; the same one twice if there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


def pin(core):
    os.sched_setaffinity(0, {core})


def pipe():
    """Two ends, for a few words now and then."""
    return _context.Pipe()


def _begin(parent, function, arguments):
    # Killed when the parent dies, unless it has died already.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    function(*arguments)


def start(function, *arguments):
    """A forked child that calls the function, and dies with this process."""
    child = _context.Process(target=_begin, args=(os.getpid(), function, arguments), daemon=True)
    child.start()
    return child


def _sweep():
    for left in SHARED_MEMORY.glob(f"*{TAG}-*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _lead(parent, function, arguments, answer):
    os.setpgid(0, 0)
    try:
        # It may have children: it is no daemon.
        _begin(parent, lambda: answer.send((True, function(*arguments))), ())
    except BaseException:
        answer.send((False, traceback.format_exc(limit=-3).strip()))


def measure(function, *arguments, patience):
    """What the function returns, called in a process with a group of its own; all of the group is killed when it has answered,
    or after `patience` seconds without an answer."""
    ours, theirs = pipe()
    child = _context.Process(target=_lead, args=(os.getpid(), function, arguments, theirs))
    child.start()
    theirs.close()
    try:
        if not ours.poll(patience):
            raise Failed(f"no answer in {patience:.0f} s")
        is_good, answer = ours.recv()
    except EOFError:
        raise Failed("its process died") from None
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has not come so far as to have a group, or all of it is gone
        child.kill()
        child.join()
        ours.close()
        _sweep()
    if not is_good:
        raise Failed(answer)
    return answer
