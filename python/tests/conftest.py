"""What all tests share: the three start methods, children that end with their test, and a watchdog.

No test takes a time limit for an answer: the watchdog ends one that hangs, and says where it hung.
"""

import faulthandler
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

import pytest

# Names of this run are nobody else's.
if "RINGWAY_PYTEST" not in os.environ:  # children import this, too
    os.environ["RINGWAY_PYTEST"] = os.environ["RINGWAY_DIR"] = tempfile.mkdtemp(prefix="ringway-pytest-", dir="/dev/shm")

import ringway  # noqa: E402

METHODS = ["fork", "spawn", "forkserver"]

#: Seconds after which a test is over, and some later the whole run, if the test does not even notice.
WATCHDOG = 300


def pytest_configure(config):
    # Whoever starts this in the background has them ignored, and so have all children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    config.addinivalue_line("markers", "quick: for every version of Python, not only the machine's")
    # Children that are spawned import the main module. It is pytest's, which would take longer than most tests.
    main = sys.modules["__main__"]
    main.__spec__ = None
    if hasattr(main, "__file__"):
        del main.__file__


def pytest_unconfigure(config):
    shutil.rmtree(os.environ["RINGWAY_PYTEST"], ignore_errors=True)
    # What failed tests have put and nobody reads would keep this process.
    ringway._ringway.drop_all()


class Hung(BaseException):
    """The watchdog's."""


def _bark(_signal, _frame):
    faulthandler.dump_traceback(file=sys.__stderr__)
    raise Hung(f"the test has not ended after {WATCHDOG} s")


@pytest.fixture(autouse=True)
def watchdog():
    """Ends a test that hangs."""
    before = signal.signal(signal.SIGALRM, _bark)
    signal.alarm(WATCHDOG)
    faulthandler.dump_traceback_later(WATCHDOG + 60, exit=True, file=sys.__stderr__)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def no_orphans(watchdog):
    """No child outlives its test."""
    yield
    for child in multiprocessing.active_children():
        child.kill()
        child.join()


class Context:
    """A context of the package, with a short way to children."""

    def __init__(self, method):
        self.method = method
        self.context = ringway.get_context(method)

    def __getattr__(self, name):
        return getattr(self.context, name)

    def start(self, function, *arguments, **keywords):
        """A child that calls `function`, which must be importable."""
        child = self.context.Process(target=function, args=arguments, kwargs=keywords, daemon=True)
        child.start()
        return child

    def run(self, function, *arguments, **keywords):
        """The same to its end, which must be a good one."""
        end(self.start(function, *arguments, **keywords))


def end(*children):
    """Waits until they have ended well."""
    for child in children:
        child.join()
        assert child.exitcode == 0, f"{child} ended with {child.exitcode}"


def kill(child):
    """Kills it, whatever it does, and waits until it is dead."""
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL


@pytest.fixture(params=METHODS)
def mp(request):
    """Each start method in turn."""
    return Context(request.param)


@pytest.fixture
def fork():
    """For what has nothing to do with how a child came to be: the quickest."""
    return Context("fork")


@pytest.fixture
def name(request):
    """A name of this test alone."""
    safe = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    return f"{safe[:60]}-{os.getpid()}"


def in_thread(function, *arguments):
    """Calls `function` in a thread. Returns the thread, and a list that has its outcome when it has ended."""
    outcome = []

    def call():
        try:
            outcome.append(function(*arguments))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread, outcome


def is_asleep(pid, tid=None):
    """Whether the kernel says that it sleeps: then it has come to the call under test, or has not left it."""
    with open(f"/proc/{pid}/task/{tid or pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def nothing_is_left(queue):
    """Whether all was received; the thread that sends counts a message as its own for a moment longer."""
    while queue._backlog():
        time.sleep(0.001)
    return queue.empty()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def mappings():
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)
