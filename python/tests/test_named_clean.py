"""What `ringway clean` leaves of named objects that nobody has open, as the README says."""

import os
import subprocess

import pytest

import ringway
import work

command = os.environ.get("RINGWAY_COMMAND")
pytestmark = pytest.mark.skipif(not command, reason="RINGWAY_COMMAND is not the path of the command `ringway`")


@pytest.fixture
def clean(name):
    """Calls `ringway clean`; whether the objects of this test are there after that."""

    def clean():
        subprocess.run([command, "clean"], check=True, capture_output=True)
        return os.path.exists(os.path.join(os.environ["RINGWAY_DIR"], name))

    yield clean
    # Also what a failed test leaves.
    subprocess.run([command, "rm", name], capture_output=True)


def make(fork, kind, name):
    """Makes one in a process that ends."""
    fork.run(work.make_named, kind, name)


@pytest.mark.parametrize(
    "kind", ["full queue", "unfinished queue", "Value", "Array", "dict", "Semaphore", "set event", "held lock"]
)
def test_what_means_something_stays(fork, name, clean, kind):
    make(fork, kind, name)
    assert clean()


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue", "Lock", "RLock", "Event", "Barrier"])
def test_what_is_as_good_as_new_goes(fork, name, clean, kind):
    make(fork, kind, name)
    assert not clean()


def test_but_not_while_somebody_has_it(name, clean):
    lock = ringway.Lock(name=name)
    assert clean()
    lock.unlink()
    assert not clean()


def test_that_a_lock_has_to_be_recovered_is_not_forgotten(fork, name, clean):
    child = fork.start(work.make_named, "killed lock", name)
    child.join()
    assert child.exitcode == -9
    assert clean()
    lock = ringway.Lock(name=name)
    assert lock.acquire(timeout=30) and lock.recovered
    lock.release()
    lock.acquire()
    lock.release()
    del lock
    assert not clean()
