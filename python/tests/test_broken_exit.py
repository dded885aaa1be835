"""Daemon threads in the middle of everything when the interpreter ends: the exit code is 0, and nothing hangs.

Before version 3.14 Python ends such threads where they next ask for its lock, also if they were called by native code.
"""

import concurrent.futures
import subprocess
import sys

import pytest

PROGRAM = """
import queue, sys, threading, time
import ringway

empty, full, through = ringway.Queue(), ringway.Queue(1), ringway.Queue()
full.put(0)
lock, free, semaphore, event = ringway.Lock(), ringway.RLock(), ringway.Semaphore(0), ringway.Event()
lock.acquire()
barrier, condition, tasks = ringway.Barrier(2), ringway.Condition(), ringway.JoinableQueue()
tasks.put(1)
simple, (left, right), own = ringway.SimpleQueue(), ringway.Pipe(), threading.local()


def count():
    for _ in range(200):
        pass
    return 1


class SlowlyPickled:
    def __reduce__(self):
        return int, (count(),)


class SlowlyUnpickled:
    def __reduce__(self):
        return count, ()


def there_and_back(obj):
    through.put(obj)
    through.get()


def through_simple(obj):
    if not hasattr(own, "queue"):
        own.queue = ringway.SimpleQueue()
    own.queue.put(obj)
    own.queue.get()


def soon(function, *arguments):
    try:
        function(*arguments, timeout=0.0003)
    except (queue.Empty, queue.Full, threading.BrokenBarrierError):
        barrier.reset()


def wait_condition(timeout):
    with condition:
        condition.wait(timeout)


LOOPS = {
    "get": lambda: empty.get(),
    "get for a moment": lambda: soon(empty.get),
    "put": lambda: full.put(1),
    "put for a moment": lambda: soon(full.put, 1),
    "join": lambda: tasks.join(),
    "join for a moment": lambda: soon(tasks.join),
    "lock": lambda: lock.acquire(),
    "lock for a moment": lambda: soon(lock.acquire),
    "rlock": lambda: (free.acquire(), free.release()),
    "semaphore": lambda: semaphore.acquire(),
    "event": lambda: event.wait(),
    "event for a moment": lambda: event.wait(0.0003),
    "barrier": lambda: soon(barrier.wait),
    "condition": lambda: wait_condition(None),
    "condition for a moment": lambda: wait_condition(0.0003),
    "simple get": lambda: simple.get(),
    "recv": lambda: left.recv(),
    "poll": lambda: right.poll(0.0003),
    "send": lambda: right.send_bytes(bytes(3_000_000)),
    "pickling": lambda: there_and_back(SlowlyPickled()),
    "unpickling": lambda: there_and_back(SlowlyUnpickled()),
    "simple pickling": lambda: through_simple(SlowlyPickled()),
    "simple unpickling": lambda: through_simple(SlowlyUnpickled()),
    "an iterator": lambda: (through.put_many(count() for _ in range(20)), through.get_many()),
    "large ones": lambda: there_and_back(bytes(3_000_000)),
}


def loop():
    while True:
        LOOPS[sys.argv[1]]()
        running.set()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(*LOOPS, sep=";")
        sys.exit()
    running = threading.Event()
    for _ in range(3):
        threading.Thread(target=loop, daemon=True).start()
    running.wait(0.05)  # those that wait for ever do not get there
    for each in full, through:
        each.cancel_join_thread()
"""


def test_daemon_threads_in_each_call(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(*arguments):
        return subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True)

    kinds = run().stdout.strip().split(";")
    assert len(kinds) > 20
    # Those that run Python code from native code need more than one try.
    tries = [kind for kind in kinds for _ in range(4 if "pickling" in kind or kind == "an iterator" else 1)]
    with concurrent.futures.ThreadPoolExecutor(6) as several:
        for kind, ended in zip(tries, several.map(run, tries)):
            assert (ended.returncode, ended.stderr) == (0, ""), kind


@pytest.mark.parametrize("ends", ["sys.exit(5)", "raise ValueError(5)"])
def test_a_thread_that_ends_ends_nothing_else(tmp_path, ends):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, threading, ringway\n"
        "queue = ringway.Queue()\n"
        "def run():\n"
        "    queue.put(1)\n"
        f"    {ends}\n"
        "thread = threading.Thread(target=run)\n"
        "thread.start()\n"
        "thread.join()\n"
        "print(queue.get())\n"
    )
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "1\n")
