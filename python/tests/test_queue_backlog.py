"""What has no room in the ring waits in the process that put it."""

import queue as std_queue
import signal
import subprocess
import sys
import time

import pytest

import ringway
import work
from conftest import end, in_thread, is_asleep, kill, nothing_is_left


def test_put_does_not_block_without_a_reader(fork):
    queue = fork.Queue()
    for number in range(50_000):
        queue.put(number)
    assert queue._backlog() > 40_000
    assert queue.qsize() == 50_000
    assert [queue.get() for _ in range(50_000)] == list(range(50_000))
    assert nothing_is_left(queue)


def test_large_messages_do_not_block_either(fork):
    queue = fork.Queue(max_bytes=8 << 20)
    for number in range(100):
        queue.put(bytes([number]) * (1 << 20))
    for number in range(100):
        assert queue.get() == bytes([number]) * (1 << 20)


def test_a_child_sends_all_before_it_ends(mp):
    queue = mp.Queue()
    child = mp.start(work.put_without_reader, queue, 20_000, False)
    assert [queue.get() for _ in range(20_000)] == list(range(20_000))
    end(child)
    assert queue.empty()


def test_it_is_still_there_while_nobody_reads(mp):
    queue, done = mp.Queue(), mp.Event()
    child = mp.start(work.put_and_hold, queue, 20_000, done)
    done.wait()
    assert queue.get() == 0
    child.terminate()
    child.join()


def test_cancel_join_thread(mp):
    queue = mp.Queue()
    mp.run(work.put_without_reader, queue, 20_000, True)  # ends although nobody reads
    got = []
    while True:
        try:
            got.append(queue.get(timeout=0.2))
        except std_queue.Empty:
            break
    assert got == list(range(len(got)))
    assert 0 < len(got) < 20_000


def test_a_kill_loses_the_backlog_and_blocks_nobody(mp):
    queue, done = mp.Queue(), mp.Event()
    child = mp.start(work.put_and_hold, queue, 20_000, done)
    done.wait()
    kill(child)
    got = []
    while True:
        try:
            got.append(queue.get(timeout=0.5))
        except std_queue.Empty:
            break
    assert got == list(range(len(got)))
    assert len(got) >= 512
    queue.put("next")
    assert queue.get() == "next"


def test_join_thread_waits_for_it(mp):
    queue, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.echo_when_told, queue, outward, told := mp.Event())
    count = 5000
    for number in range(count):
        queue.put(number)
    assert queue._backlog() > 0
    queue.put(None)
    queue.close()
    thread, outcome = in_thread(queue.join_thread)
    assert outcome == []
    told.set()
    assert [outward.get() for _ in range(count)] == list(range(count))
    thread.join()
    assert outcome == [None]
    end(child)


def test_join_thread_returns_once_cancelled(fork):
    queue = fork.Queue()
    for number in range(5000):
        queue.put(number)
    queue.close()
    thread, outcome = in_thread(queue.join_thread)
    assert thread.is_alive()
    queue.cancel_join_thread()
    thread.join()
    assert outcome == [None]


def test_maxsize_counts_it(fork):
    """Large messages in a queue with room for ten: the eleventh has to wait, wherever the others are."""
    queue = fork.Queue(10, max_bytes=1 << 20)
    for number in range(10):
        queue.put(bytes([number]) * 500_000, False)
    assert queue._backlog() > 0
    assert queue.full()
    assert queue.qsize() == 10
    with pytest.raises(std_queue.Full):
        queue.put(b"", False)
    with pytest.raises(std_queue.Full):
        queue.put(b"", timeout=0.05)
    thread, outcome = in_thread(queue.put, b"eleven")
    assert [queue.get()[0] for _ in range(10)] == list(range(10))
    thread.join()
    assert outcome == [None]
    assert queue.get() == b"eleven"


def test_small_ones_stay_behind_large_ones(fork):
    queue = fork.Queue(max_bytes=1 << 20)
    expected = []
    for number in range(200):
        obj = bytes([number]) * (600_000 if number % 10 == 0 else 10)
        queue.put(obj)
        expected.append(obj)
    assert [queue.get() for _ in range(200)] == expected


def test_a_forked_child_starts_without_one(fork):
    queue, told = fork.Queue(), fork.Queue()
    for number in range(5000):
        queue.put(number)
    assert queue._backlog() > 0
    fork.run(work.look_at, queue, told)
    size, empty, full, backlog = told.get()
    assert (empty, full, backlog) == (False, False, 0)
    assert 0 < size < 5000
    # The child puts behind what is in the ring, or in its own memory; what is here stays in order, each once.
    child = fork.start(work.put_numbered, queue, "child", 2000)
    mine, theirs = [], []
    for _ in range(7000):
        obj = queue.get()
        if isinstance(obj, tuple):
            theirs.append(obj[1])
        else:
            mine.append(obj)
    end(child)
    assert mine == list(range(5000))
    assert theirs == list(range(2000))
    assert nothing_is_left(queue)


def test_several_threads_put_beyond_the_ring(fork):
    queue, count = fork.Queue(), 3000

    def put(who):
        for number in range(count):
            queue.put((who, number))

    threads = [in_thread(put, who) for who in range(4)]
    for thread, outcome in threads:
        thread.join()
        assert outcome == [None]
    expected = [0] * 4
    for _ in range(4 * count):
        who, number = queue.get()
        assert number == expected[who]
        expected[who] += 1


def test_the_queue_may_go_before_its_messages(mp):
    """Nobody but the backlog has it any more."""
    queue, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.echo_when_told, queue, outward, told := mp.Event())
    for number in range(5000):
        queue.put(number)
    queue.put(None)
    queue.close()
    del queue
    told.set()
    assert [outward.get() for _ in range(5000)] == list(range(5000))
    end(child)


PROGRAM = """
import ringway, sys
queue = ringway.queues.Queue.create(sys.argv[1], 64)
for number in range(64):
    queue.put(number)
print("put", flush=True)
"""


def test_a_program_ends_at_once_if_all_is_in_the_ring(name):
    done = subprocess.run([sys.executable, "-c", PROGRAM, name], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "put\n"), done.stderr
    queue = ringway.queues.Queue.attach(name)
    assert [queue.get() for _ in range(64)] == list(range(64))
    queue.unlink()


def test_waiting_for_it_at_the_end_can_be_interrupted(fork):
    """Control-C ends a program that waits for readers that never come."""
    program = (
        "import ringway\n"
        "queue = ringway.Queue()\n"
        "for number in range(5000): queue.put(number)\n"
        "print('ending', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ending\n"
    # It may be anywhere between that line and its wait: so more than once.
    while child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
    child.communicate()


GOES_AWAY = """
import os, ringway, time
queue = ringway.Queue()
for _ in range(2):
    assert len(os.listdir("/proc/self/task")) == 1
    for number in range(2000):
        queue.put(number)
    assert len(os.listdir("/proc/self/task")) == 2
    for number in range(2000):
        assert queue.get() == number
    while len(os.listdir("/proc/self/task")) > 1:
        time.sleep(0.05)
"""


def test_its_thread_comes_and_goes():
    subprocess.run([sys.executable, "-c", GOES_AWAY], check=True)


def test_a_blocked_put_sleeps_and_goes_on(mp):
    queue = mp.Queue(1)
    queue.put("first")
    child = mp.start(work.put_all, queue, "second")
    while not is_asleep(child.pid):
        time.sleep(0.01)
    assert queue.get() == "first"
    assert queue.get() == "second"
    end(child)
