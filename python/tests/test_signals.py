"""Signals while a call waits: handlers run, Control-C ends the wait, and nothing is lost by it."""

import os
import queue as std_queue
import signal
import subprocess
import sys
import threading
import time

import pytest

import work
from conftest import end, in_thread

#: Each blocks for ever unless somebody interrupts it.
WAITS = {
    "get": "queue.get()",
    "get with a time-out": "queue.get(timeout=1000)",
    "get_many": "queue.get_many()",
    "get_bytes": "queue.get_bytes()",
    "get_view": "queue.get_view()",
    "put": "full.put(2)",
    "put with a time-out": "full.put(2, timeout=1000)",
    "commit": "loan.commit()",
    "acquire": "lock.acquire()",
    "acquire with a time-out": "lock.acquire(timeout=1000)",
    "acquire recursive": "recursive.acquire()",
    "acquire a permit": "semaphore.acquire()",
    "wait for an event": "event.wait()",
    "wait for a condition": "wait_condition()",
    "meet": "barrier.wait()",
    "join": "joinable.join()",
    "join with a time-out": "joinable.join(1000)",
    "recv": "connection.recv()",
    "poll": "connection.poll(None)",
    "simple get": "simple.get()",
    "join_thread": "flush()",
}

PROGRAM = """
import os, signal, sys, threading, ringway
queue, full, joinable, simple = ringway.Queue(), ringway.Queue(1), ringway.JoinableQueue(), ringway.SimpleQueue()
loan = full.reserve(5)
full.put(1)
joinable.put(1)
lock, recursive, semaphore, event = ringway.Lock(), ringway.RLock(), ringway.Semaphore(0), ringway.Event()
condition, barrier = ringway.Condition(), ringway.Barrier(2)
connection, other = ringway.Pipe()
lock.acquire()
thread = threading.Thread(target=recursive.acquire)
thread.start()
thread.join()
def wait_condition():
    with condition:
        condition.wait()
def flush():
    backlog = ringway.Queue()
    backlog.put_many(range(5000))
    backlog.close()
    try:
        backlog.join_thread()
    finally:
        backlog.cancel_join_thread()
def handle(*_):
    os.write(1, b"handled\\n")
    if "raises" in sys.argv:
        raise KeyboardInterrupt
signal.signal(signal.SIGUSR1, handle)
try:
    print("ready", flush=True)
    {wait}
    print("returned")
except KeyboardInterrupt:
    print("interrupted")
except threading.BrokenBarrierError:
    print("broken")
sys.stdout.flush()
os._exit(0)
"""


def start(wait, *arguments):
    program = PROGRAM.replace("{wait}", wait)
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_control_c_ends_a_wait(wait):
    child = start(wait)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate()[0].strip() == "interrupted"
    assert child.returncode == 0


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_handler_runs_and_the_wait_goes_on(wait):
    child = start(wait)
    assert child.stdout.readline() == "ready\n"
    for _ in range(5):
        child.send_signal(signal.SIGUSR1)
        assert child.stdout.readline() == "handled\n"  # or the watchdog
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    assert child.communicate()[0].strip() == "interrupted"


@pytest.mark.parametrize("wait", ["get", "acquire", "wait for a condition"])
def test_a_handler_that_raises_ends_a_wait(wait):
    child = start(WAITS[wait], "raises")
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGUSR1)
    assert child.communicate()[0].split() == ["handled", "interrupted"]


@pytest.fixture
def storm():
    """A thread that sends this process signals all the time."""
    handled, over = [0], threading.Event()

    def handle(*_):
        handled[0] += 1

    before = signal.signal(signal.SIGUSR1, handle)

    def send():
        while not over.wait(0.001):
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    yield handled
    over.set()
    thread.join()
    signal.signal(signal.SIGUSR1, before)


def test_a_time_out_stays_what_it_was_in_a_storm(fork, storm):
    """The wait resumes with the remaining time: not with all of it, which would never end, and not with none."""
    queue, event, lock = fork.Queue(), fork.Event(), fork.Lock()
    lock.acquire()
    for attempt in (
        lambda: pytest.raises(std_queue.Empty, queue.get, timeout=0.3),
        lambda: event.wait(0.3),
        lambda: lock.acquire(timeout=0.3),
    ):
        before = storm[0]
        while storm[0] < before + 10:  # whoever sends them may be kept off the processor for a while
            began = time.monotonic()
            attempt()
            assert time.monotonic() - began >= 0.3


def test_nothing_is_lost_in_a_storm(mp, storm):
    queue, back = mp.Queue(5), mp.Queue()
    child = mp.start(work.echo, queue, back)
    thread, outcome = in_thread(lambda: [queue.put(number) for number in range(3000)])
    assert [back.get() for _ in range(3000)] == list(range(3000))
    thread.join()
    queue.put(None)
    end(child)
    assert storm[0] > 0


def test_children_that_end_all_the_time(mp):
    """SIGCHLD, with a handler."""
    queue = mp.Queue()
    seen = []
    before = signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))
    try:
        for turn in range(15):
            child = mp.start(work.put_all, queue, turn)
            assert queue.get() == turn
            child.join()
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert mp.method == "forkserver" or seen


def test_an_interrupted_get_takes_nothing(fork):
    """Control-C at any moment: what was put is received before or after, each once."""
    queue = fork.Queue()
    got, armed, over, enough = [], [], threading.Event(), threading.Event()

    class Stop(Exception):
        pass

    def handle(*_):
        if armed:
            armed.clear()
            raise Stop

    def disturb():
        while not over.wait(0.002):
            os.kill(os.getpid(), signal.SIGUSR1)

    def put():
        number = 0
        while number < 2000 or not enough.is_set():
            queue.put(number)
            number += 1
            if number % 10 == 0:
                time.sleep(0.0005)
        queue.put("end")
        queue.put(None)
        return number

    before, interrupted = signal.signal(signal.SIGUSR1, handle), 0
    putter, put_outcome = in_thread(put)
    disturber = threading.Thread(target=disturb, daemon=True)
    disturber.start()
    try:
        while "end" not in got[-1:]:
            try:
                armed.append(1)
                # Without a step of the interpreter between the call and the keeping of its result: there, a handler that
                # raises would lose the result of any function.
                got.extend(iter(queue.get, None))
            except Stop:
                interrupted += 1
                enough.set()
    finally:
        armed.clear()
        over.set()
        disturber.join()
        signal.signal(signal.SIGUSR1, before)
    putter.join()
    assert got == [*range(put_outcome[0]), "end"]
    assert interrupted > 0


DAEMON = """
import ringway, threading, time
queue, lock, event, condition = ringway.Queue(), ringway.Lock(), ringway.Event(), ringway.Condition()
barrier, full, (connection, other) = ringway.Barrier(2), ringway.Queue(1), ringway.Pipe()
joinable, simple = ringway.JoinableQueue(), ringway.SimpleQueue()
joinable.put(1)
full.put(1)
lock.acquire()
def wait_condition():
    with condition:
        condition.wait()
waits = [queue.get, lambda: queue.get(timeout=1000), queue.get_many, queue.get_view, lock.acquire, event.wait, wait_condition,
         barrier.wait, lambda: full.put(2), connection.recv, lambda: connection.poll(None), joinable.join, simple.get]
started = threading.Semaphore(0)
def run(wait):
    started.release()
    wait()
for wait in waits:
    threading.Thread(target=run, args=(wait,), daemon=True).start()
for wait in waits:
    started.acquire()
time.sleep({pause})
"""


@pytest.mark.parametrize("pause", [0, 0.05, 0.3])
def test_daemon_threads_that_wait_at_the_end(pause):
    """They are in the middle of their calls, or at the end of a slice of sleep, when the interpreter goes."""
    for _ in range(4):
        program = DAEMON.replace("{pause}", str(pause))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
