"""Old pains of `multiprocessing`, each of which its own modules still have: none may come back here."""

import os
import queue as std_queue
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import ringway
import work
from conftest import end, is_asleep, kill


def asleep(child):
    while not is_asleep(child.pid):
        time.sleep(0.01)


def test_a_child_killed_while_it_waits_in_get_blocks_nobody(mp):
    """gh-87971: it died with the reader's lock."""
    queue, started = mp.Queue(), mp.Event()
    victims = [mp.start(work.get_for_ever, queue, started) for _ in range(3)]
    started.wait()
    for victim in victims:
        asleep(victim)
        kill(victim)
    queue.put("for the living")
    assert queue.get() == "for the living"
    mp.run(work.put_all, queue, "from a child")
    assert queue.get() == "from a child"


def test_a_child_killed_while_it_waits_in_a_simple_queue_blocks_nobody(mp):
    queue, told = mp.SimpleQueue(), mp.Queue()
    victim = mp.start(work.get_for_ever, queue)
    asleep(victim)
    kill(victim)
    reader = mp.start(work.get_once, queue, told)
    queue.put("for the living")
    assert told.get() == ("got", "for the living")
    end(reader)


def test_a_child_killed_while_it_waits_in_put_blocks_nobody(mp):
    queue = mp.Queue(1)
    queue.put("first")
    victim = mp.start(work.put_all, queue, "never")
    asleep(victim)
    kill(victim)
    assert queue.get() == "first"
    mp.run(work.put_all, queue, "second")
    got = queue.get()
    if got == "never":  # it was killed after it had put
        got = queue.get()
    assert got == "second"


def test_join_before_get(mp):
    """The standard library hangs: 'joining processes that use queues'. With room in the ring ours does not."""
    queue = mp.Queue(100, max_bytes=256 << 20)
    child = mp.start(work.put_numbered, queue, "child", 50, 100_000)
    child.join()  # 5 MB, far more than a pipe holds
    assert child.exitcode == 0
    assert [queue.get()[1] for _ in range(50)] == list(range(50))


def test_what_cannot_be_pickled_does_not_vanish(fork):
    """There it is a traceback in a thread, and a count that is wrong for ever."""
    queue = fork.Queue(1)
    with pytest.raises(Exception):
        queue.put(lambda: 0)
    assert (queue.qsize(), queue.empty(), queue.full()) == (0, True, False)
    queue.put("there is room", False)


def test_nothing_has_a_name_that_could_leak_or_vanish():
    """gh-94765: named semaphores that are gone before a spawned child opens them, or stay after a kill."""
    program = """
        import os, ringway, signal, time
        def child(*objects):
            time.sleep(60)
        if __name__ == "__main__":
            mp = ringway.get_context("spawn")
            objects = mp.Queue(), mp.Lock(), mp.RLock(), mp.Semaphore(), mp.Event(), mp.Condition(), mp.Barrier(2), mp.Value("i")
            # Its own memory tells: in the directory other programs' names come and go meanwhile.
            with open("/proc/self/maps") as maps:
                print("made", *(line.strip() for line in maps if "/dev/shm/" in line), sep="\\n", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "made\n"), done.stderr
    assert "leaked" not in done.stderr


def test_a_parent_may_forget_what_its_spawned_child_has_not_opened_yet():
    context = ringway.get_context("spawn")
    for _ in range(3):
        told = context.Queue()
        lock, event = context.Lock(), context.Event()
        child = context.Process(target=work.use_all, args=([lock], told))
        child.start()
        del lock, event
        assert told.get() == 1
        child.join()


def test_time_outs_follow_no_clock_that_is_set(fork):
    """The monotonic one: shown by which clock the kernel is asked to sleep by."""
    import shutil

    strace = shutil.which("strace")
    if not strace:
        pytest.skip("no strace")
    program = """
        import ringway
        queue, lock = ringway.Queue(), ringway.Lock()
        lock.acquire()
        print(lock.acquire(timeout=0.2), flush=True)
        try:
            queue.get(timeout=0.2)
        except Exception as error:
            print(type(error).__name__)
    """
    command = [strace, "-f", "-e", "trace=futex", sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 and "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.stdout.split() == ["False", "Empty"], done.stderr
    timed = [line for line in done.stderr.splitlines() if "tv_sec" in line]
    assert timed
    assert not any("CLOCK_REALTIME" in line for line in timed), timed


def test_a_message_cut_off_by_a_kill_does_not_hang_a_get_with_a_time_out(mp):
    """There the frame is half in the pipe, and `get(timeout)` reads on for ever."""
    queue = mp.Queue(4, max_bytes=64 << 20)
    for _ in range(5):
        victim = mp.start(work.put_numbered, queue, "victim", 10_000, 1_000_000)
        queue.get()
        kill(victim)
        while True:
            try:
                who, number, padding = queue.get(timeout=0.3)
            except std_queue.Empty:
                break
            assert (who, len(padding)) == ("victim", 1_000_000)
    queue.put("goes on")
    assert queue.get() == "goes on"


def test_one_pickler_for_all_objects(fork, monkeypatch):
    """There each object costs a new one."""
    from multiprocessing import reduction

    queue = fork.Queue()
    queue.put({1})
    made = []
    real = reduction.ForkingPickler.__init__
    monkeypatch.setattr(reduction.ForkingPickler, "__init__", lambda self, *a: (made.append(1), real(self, *a))[1])
    for _ in range(100):
        queue.put({1, 2})
    assert made == []
    assert [queue.get() for _ in range(101)] == [{1}] + [{1, 2}] * 100


def test_empty_tells_the_truth_after_put(fork):
    """There a thread has not written it yet."""
    queue = fork.Queue()
    for number in range(200):
        queue.put(number)
        assert not queue.empty()
        assert queue.get_nowait() == number
        assert queue.empty()


def test_a_killed_holder_of_a_lock_does_not_hold_it_for_ever(mp):
    lock = mp.Lock()
    mp.start(work.acquire_and_die, lock).join()
    assert lock.acquire() and lock.recovered


def test_a_killed_waiter_of_a_condition_or_event_does_not_hang_the_notifier(mp):
    condition, event, told = mp.Condition(), mp.Event(), mp.Queue()
    waiter = mp.start(work.wait_condition, condition, told, ready := mp.Semaphore(0))
    ready.acquire()
    with condition:
        pass
    kill(waiter)
    with condition:
        condition.notify_all()
    waiter = mp.start(work.wait_for_event, event, told)
    asleep(waiter)
    kill(waiter)
    event.set()
    assert event.is_set()


def test_no_thread_in_a_forked_child_is_missed(fork):
    """There a child forked in the middle of a put inherits the feeder's locks, but no feeder."""
    queue, back = fork.Queue(), fork.Queue()
    queue.put_many(range(3000))  # so that a thread is at work
    children = [fork.start(work.put_numbered, back, who, 3000) for who in range(3)]
    assert [queue.get() for _ in range(3000)] == list(range(3000))
    got = [back.get() for _ in range(9000)]
    assert sorted((who, number) for who, number, _ in got) == [
        (who, number) for who in range(3) for number in range(3000)
    ]
    end(*children)


def test_numbers_of_descriptors(fork):
    """There a queue costs two and a thread; a lock a semaphore in /dev/shm."""
    before = len(os.listdir("/proc/self/fd"))
    kept = (
        [fork.Lock() for _ in range(1000)],
        [fork.Event() for _ in range(1000)],
        [fork.Value("i") for _ in range(1000)],
    )
    assert len(os.listdir("/proc/self/fd")) - before < 10
    assert len(kept) == 3
