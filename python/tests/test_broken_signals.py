"""Signals all the time, whose handlers raise: nothing that was received is lost with the error."""

import operator
import os
import signal

import pytest

import ringway


number_of = operator.itemgetter(0)


class Interrupt(Exception):
    pass


class Storm:
    """A signal each millisecond; its handler raises if it is armed."""

    def __init__(self):
        self.is_armed, self.count = False, 0

    def __enter__(self):
        self.before = signal.signal(signal.SIGUSR1, self.handle)
        return self

    def handle(self, *_):
        if self.is_armed:
            self.is_armed = False
            self.count += 1
            raise Interrupt

    def __exit__(self, *_):
        self.is_armed = False
        signal.signal(signal.SIGUSR1, self.before)


def put_now_and_then(parent, put, count, size, enough):
    """Objects with pauses, until both are enough: they, and the signals to the parent, which come the whole time."""
    import threading
    import time

    def storm():
        while True:
            time.sleep(0.001)
            os.kill(parent, signal.SIGUSR1)

    threading.Thread(target=storm, daemon=True).start()
    number = 0
    while number < count or not enough.is_set():
        put((number, bytes(size)))
        number += 1
        if number % 10 == 0:
            time.sleep(0.003)
    put((f"end of {number}",))
    put(None)
    signal.pause()  # the storm goes on


@pytest.mark.parametrize("size", [0, 1000, 200_000], ids=["small", "medium", "large"])
@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue", "SimpleQueue", "Pipe"])
def test_nothing_received_is_lost(fork, kind, size):
    count = 400 if size < 100_000 else 100
    if kind == "Pipe":
        reader, writer = ringway.Pipe()
        get, put = reader.recv, writer.send
    else:
        # Whoever sends does so until there were enough signals: not into memory without end.
        queue = ringway.SimpleQueue() if kind == "SimpleQueue" else getattr(ringway, kind)(count)
        get, put = queue.get, queue.put
    got, enough = [], fork.Event()
    with Storm() as storm:
        child = fork.start(put_now_and_then, os.getpid(), put, count, size, enough)
        try:
            while not got or not isinstance(got[-1], str):
                try:
                    storm.is_armed = True
                    # Without a step of Python between one `get` and the next: an error comes out of a `get`. And quicker than the
                    # sender, because handlers run where it waits: so nothing is kept but the numbers.
                    got.extend(map(number_of, iter(get, None)))
                except Interrupt:
                    if storm.count > 10:
                        enough.set()
        finally:
            storm.is_armed = False
            child.kill()
            child.join()
    sent = int(got.pop().split()[-1])
    assert sent >= count and got == list(range(sent))


def test_a_handler_that_puts(fork):
    """It uses the very queue that it interrupts."""
    queue = ringway.Queue()
    before = signal.signal(signal.SIGUSR1, lambda *_: queue.put("from the handler"))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert queue.get() == "from the handler"
        child = fork.start(os.kill, os.getpid(), signal.SIGUSR1)
        assert queue.get() == "from the handler"
        child.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_locks_are_not_kept_by_who_was_interrupted(fork):
    lock, semaphore, recursive = ringway.Lock(), ringway.Semaphore(0), ringway.RLock()
    lock.acquire()

    class Handler:
        """Gives, while its caller waits, what the caller waits for; and raises."""

        def __init__(self, give):
            self.give = give

        def __call__(self, *_):
            self.give()
            raise Interrupt

    child = None
    before = signal.getsignal(signal.SIGUSR1)
    try:
        for wait, give, value in [
            (lock.acquire, lock.release, lambda: lock._semlock._get_value()),
            (semaphore.acquire, semaphore.release, semaphore.get_value),
        ]:
            signal.signal(signal.SIGUSR1, Handler(give))
            child = fork.start(signal_soon, os.getpid())
            with pytest.raises(Interrupt):
                wait()
            assert value() == 1
            child.join()
        assert recursive.acquire() and recursive.release() is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def signal_soon(parent):
    from conftest import is_asleep

    while not is_asleep(parent):
        pass
    os.kill(parent, signal.SIGUSR1)
