"""What the tests' children do. They must be able to import it."""

import os
import signal
import threading
import time


def nothing():
    pass


def put_all(queue, *objects):
    for obj in objects:
        queue.put(obj)


def put_numbered(queue, who, count, size=0):
    """`count` objects that say who sent them, in which order."""
    padding = b"x" * size
    for number in range(count):
        queue.put((who, number, padding))


def echo(inward, outward):
    """Sends back what comes, until it is `None`."""
    while (obj := inward.get()) is not None:
        outward.put(obj)


def echo_when_told(inward, outward, told):
    told.wait()
    echo(inward, outward)


def forward_until_none(inward, outward):
    """The sentinel idiom: whoever sees it puts it back for the others."""
    while (obj := inward.get()) is not None:
        outward.put(obj)
    inward.put(None)


def answer_once(inward):
    """The queue to answer through comes with the message."""
    text, queue = inward.get()
    queue.put(f"through {text}")


def tell_type(inward, outward):
    obj = inward.get()
    outward.put(f"{type(obj).__module__}.{type(obj).__qualname__}")


def get_for_ever(queue, started=None):
    if started is not None:
        started.set()
    while True:
        queue.get()


def get_once(queue, outward):
    outward.put(("got", queue.get()))


def put_without_reader(queue, count, cancel):
    """Far more than there is room for; ends while most of it is in this process's memory."""
    for number in range(count):
        queue.put(number)
    if cancel:
        queue.cancel_join_thread()


def look_at(queue, outward):
    """What a child sees of a queue that it got."""
    outward.put((queue.qsize(), queue.empty(), queue.full(), queue._backlog()))


def put_and_hold(queue, count, done):
    for number in range(count):
        queue.put(number)
    done.set()
    signal.pause()


def attach_and_put(name, *objects):
    import ringway.queues

    queue = ringway.queues.Queue.attach(name)
    for obj in objects:
        queue.put(obj)


def iterate(queue, outward):
    outward.put(list(queue))


def put_and_shut_down(queue, *objects):
    for obj in objects:
        queue.put(obj)
    queue.shutdown()


def tell_error(function, told):
    """The name of what it raises."""
    try:
        function()
        told.put("nothing")
    except BaseException as error:
        told.put(type(error).__name__)


# Locks.


def acquire_and_die(lock):
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def acquire_and_end(lock):
    lock.acquire()


def acquire_and_tell(lock, told):
    lock.acquire()
    told.put("acquired")
    signal.pause()


def try_acquire(lock, told, timeout=None):
    if timeout is None:
        told.put(lock.acquire(False))
    else:
        told.put(lock.acquire(timeout=timeout))


def release(lock):
    lock.release()


def release_and_tell(lock, told):
    try:
        lock.release()
        told.put("released")
    except BaseException as error:
        told.put(f"{type(error).__name__}: {error}")


def acquire_recovered(lock, told):
    told.put((lock.acquire(), lock.recovered))
    lock.release()


def acquire_or_owner_died(lock, told):
    from ringway.synchronize import OwnerDied

    try:
        lock.acquire()
        told.put("acquired")
        lock.release()
    except OwnerDied:
        told.put("OwnerDied")


def increment(lock, cells, count):
    """Reads, goes away for a moment, and writes: only a lock makes that right."""
    for _ in range(count):
        with lock:
            value = int.from_bytes(cells[:8], "little")
            if value % 16 == 0:
                os.sched_yield()
            cells[:8] = (value + 1).to_bytes(8, "little")


def increment_at(lock, path, count):
    import mmap

    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 8) as cells:
        increment(lock, cells, count)


def set_and_wait(mine, others):
    mine.set()
    others.wait()


def wait_for_event(event, told):
    told.put(event.wait())


def wait_condition(condition, told, ready, timeout=None):
    with condition:
        ready.release()
        told.put(condition.wait(timeout))


def meet(barrier, told, times=1):
    for _ in range(times):
        try:
            told.put(barrier.wait())
        except threading.BrokenBarrierError:
            told.put("broken")


def use_all(objects, told):
    """Acquires and releases each."""
    for each in objects:
        each.acquire()
        each.release()
    told.put(len(objects))


def acquire_what_comes(inward, outward):
    lock, event = inward.get()
    outward.put(lock.acquire())
    event.wait()


def put_made(queue, kind):
    """Sends an object, and ends."""
    import ringway

    ringway.allow_passing()
    queue.put(getattr(ringway, kind)(*(("i",) if kind == "Value" else ())))


def make_named(kind, name):
    """Makes it, and ends."""
    import ringway

    if kind == "full queue":
        ringway.Queue(name=name).put(1)
    elif kind == "unfinished queue":
        queue = ringway.JoinableQueue(name=name)
        queue.put(1)
        queue.get()
    elif kind == "Value":
        ringway.RawValue("i", name=name)
    elif kind == "Array":
        ringway.RawArray("i", 3, name=name)
    elif kind == "dict":
        ringway.SharedDict(name=name)
    elif kind == "set event":
        ringway.Event(name=name).set()
    elif kind == "held lock":
        ringway.Lock(name=name).acquire()
    elif kind == "killed lock":
        acquire_and_die(ringway.Lock(name=name))
    elif kind == "Barrier":
        ringway.Barrier(2, name=name)
    else:
        getattr(ringway, kind)(name=name)


def play(ping, pong, count):
    for _ in range(count):
        ping.wait()
        ping.clear()
        pong.set()


class Puts:
    def __init__(self, queue, obj):
        self.queue, self.obj = queue, obj

    def __call__(self):
        self.queue.put(self.obj)


class Raises:
    def __call__(self):
        1 / 0


def meet_and_look(barrier, calls, told, times):
    for _ in range(times):
        barrier.wait()
        told.put(calls.qsize())
        barrier.wait()
        told.put("looked")


def meet_and_name_error(barrier, told):
    try:
        barrier.wait()
        told.put("nothing")
    except Exception as error:
        told.put(type(error).__name__)


# Kills.


def put_until_killed(queue, who):
    number = 0
    while True:
        queue.put((who, number))
        number += 1


def get_and_confirm(queue, confirmed):
    while True:
        confirmed.put(queue.get())


def lock_until_killed(lock, path):
    """Adds one to two numbers; in between they differ."""
    import mmap

    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 16) as cells:
        while True:
            with lock:
                first, second = (int.from_bytes(cells[at : at + 8], "little") for at in (0, 8))
                if lock.recovered:
                    second = first
                assert first == second, f"{first} and {second}: two have the lock"
                cells[:8] = (first + 1).to_bytes(8, "little")
                cells[8:16] = (second + 1).to_bytes(8, "little")


# Signals.


def report_interrupt(wait, told):
    """Calls `wait`, and says how it ended."""
    try:
        told.put(("returned", wait()))
    except KeyboardInterrupt:
        told.put(("KeyboardInterrupt", None))


def square(number):
    return number * number


def identity(obj):
    return obj


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(text):
    raise ValueError(text)


def napping(seconds):
    time.sleep(seconds)
    return seconds


class Child(int):
    """A subclass of a plain type, with something of its own."""

    def __new__(cls, value, note=""):
        self = super().__new__(cls, value)
        self.note = note
        return self

    def __reduce__(self):
        return type(self), (int(self), self.note)


class Text(str):
    pass


class Plain:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Plain and other.value == self.value


class PutsWhilePickled:
    """Its pickling puts into a queue: so pickling happens in the middle of pickling."""

    def __init__(self, queue, inner):
        self.queue, self.inner = queue, inner

    def __reduce__(self):
        self.queue.put(self.inner)
        return str, ("outer",)


class FailsToPickle:
    def __reduce__(self):
        raise RuntimeError("not to be pickled")


class FailsToUnpickle:
    def __reduce__(self):
        return fail, ("not to be unpickled",)


def own_pid(_=None):
    return os.getpid()
