"""Objects come and go: descriptors, mappings and threads do not stay."""

import gc
import os
import subprocess
import sys

import pytest

import work
from conftest import Context, descriptors, mappings


def memory_files():
    """Descriptors of memory without a name."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            count += "memfd" in os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            pass
    return count


def measures():
    gc.collect()
    return descriptors(), memory_files(), mappings(), len(os.listdir("/proc/self/task"))


# More than there may be at once, so that nothing but their going makes room.
@pytest.mark.parametrize("what", ["Queue", "JoinableQueue", "SimpleQueue", "Pipe"])
def test_thousands_come_and_go(what):
    mp = Context("fork")

    def use():
        made = getattr(mp, what)()
        if what == "Pipe":
            made[0].send(1)
            assert made[1].recv() == 1
        else:
            made.put(1)
            assert made.get() == 1

    for _ in range(20):
        use()
    before = measures()
    for _ in range(1100):
        use()
    after = measures()
    assert all(now <= then + 4 for now, then in zip(after, before)), (before, after)


def test_what_was_lent_out_comes_back():
    numpy = pytest.importorskip("numpy")
    mp = Context("fork")
    before = measures()
    for _ in range(200):
        queue = mp.Queue()
        queue.put(numpy.zeros(100_000))
        queue.put(bytes(200_000))
        array, view = queue.get(), queue.get_view()
        loan = queue.reserve(100_000)
        del queue
        assert array[0] == 0 and len(view) and len(loan)
    del array, view, loan
    after = measures()
    assert all(now <= then + 4 for now, then in zip(after, before)), (before, after)


@pytest.mark.parametrize("in_child", ["drops", "ends"])
def test_forks_with_something_in_hand(in_child):
    """What was held for children goes when they have dropped it or ended, and their parent forks or receives again."""
    mp = Context("fork")

    def use():
        queue = mp.Queue()
        queue.put_bytes(bytes(200_000))
        view = queue.get_view()
        pid = os.fork()
        if pid == 0:
            if in_child == "drops":
                del view
                for _ in range(3):
                    queue.put_bytes(bytes(200_000))
                    queue.get_view()
            os._exit(0)
        os.waitpid(pid, 0)

    use()
    use()
    before = measures()
    for _ in range(100):
        use()
    after = measures()
    assert all(now <= then + 6 for now, then in zip(after, before)), (before, after)


def test_processes_come_and_go(mp):
    queue, lock = mp.Queue(), mp.Lock()
    rounds = 60 if mp.method == "fork" else 8

    def use():
        fresh = mp.Queue()
        mp.run(work.put_all, fresh, lock is None)
        assert fresh.get() is False
        mp.run(work.put_all, queue, 1)
        assert queue.get() == 1

    use()
    use()
    before = measures()
    for _ in range(rounds):
        use()
    after = measures()
    assert all(now <= then + 6 for now, then in zip(after, before)), (before, after)


def test_more_processes_than_a_queue_can_have_at_once():
    """Each has a row in the queue while it lives; those of the ended and the killed are used again."""
    mp = Context("fork")
    queue, lock = mp.Queue(), mp.Lock()
    for turn in range(200):
        child = mp.start(work.put_all if turn % 2 else work.acquire_and_die, *((queue, turn) if turn % 2 else (lock,)))
        child.join()
        if turn % 2:
            assert queue.get() == turn
    assert lock.acquire()


def test_nothing_is_left_in_the_file_system():
    """What has no name is nowhere to be found when its processes are gone, however they went."""
    program = (
        "import os, ringway, signal\n"
        "kept = [ringway.Queue(), ringway.Lock(), ringway.Pipe(), ringway.Event(), ringway.Barrier(2)]\n"
        "kept[0].put(bytes(1000000))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    directory = os.environ["RINGWAY_DIR"]
    before = sorted(os.listdir(directory))
    subprocess.run([sys.executable, "-c", program])
    assert sorted(os.listdir(directory)) == before
