"""Locks, values and events beside the standard library's, and what it costs to make things."""

import itertools
import multiprocessing
import statistics
import time

import ringway

from . import children
from .flow import FEWEST, percentiles
from .peers import Unavailable

_ns = time.perf_counter_ns

LIBRARIES = {"ringway": ringway.get_context("fork"), "multiprocessing": multiprocessing.get_context("fork")}

#: Operations between two looks at the clock.
_BATCH = 500


def _make(library, kind, *arguments):
    try:
        return getattr(LIBRARIES[library], kind)(*arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise Unavailable(f"this build of {library} has no {kind}: {error}") from None


def _each(run, seconds):
    """The median time that one of the operations takes of which `run` makes so many."""
    run(_BATCH)
    samples = []
    end = _ns() + int(seconds * 1e9)
    begin = 0
    while begin < end or len(samples) < 5:
        begin = _ns()
        run(_BATCH)
        samples.append((_ns() - begin) / _BATCH)
    return {"time": statistics.median(samples) / 1e9}


def lock(library, seconds, kind="Lock"):
    """Acquired and released by one process alone."""
    children.pin(children.cores()[0])
    one = _make(library, kind)
    acquire, release = one.acquire, one.release
    assert acquire() and one.acquire(False) == (kind == "RLock")
    for _ in range(2 if kind == "RLock" else 1):
        release()

    def run(count):
        for _ in itertools.repeat(None, count):
            acquire()
            release()

    return _each(run, seconds)


def with_lock(library, seconds):
    """The same by `with`."""
    children.pin(children.cores()[0])
    one = _make(library, "Lock")

    def run(count):
        for _ in itertools.repeat(None, count):
            with one:
                pass

    return _each(run, seconds)


def increment(library, seconds):
    """A shared number counted up under its lock."""
    children.pin(children.cores()[0])
    value = _make(library, "Value", "q", 0)
    total = 0

    def run(count):
        nonlocal total
        total += count
        for _ in itertools.repeat(None, count):
            with value.get_lock():
                value.value += 1

    result = _each(run, seconds)
    assert value.value == total, (value.value, total)
    return result


def event(library, seconds):
    """Set, waited for although it is set, cleared; by one process alone."""
    children.pin(children.cores()[0])
    one = _make(library, "Event")
    assert not one.is_set()

    def run(count):
        for _ in itertools.repeat(None, count):
            one.set()
            one.wait()
            one.clear()

    return _each(run, seconds)


def _answer(there, back, core, control):
    children.pin(core)
    control.send("ready")
    while True:
        there.wait()
        there.clear()
        back.set()


def event_round_trip(library, seconds):
    """Two processes that wait for each other by two events."""
    near, far = children.cores()
    there, back = _make(library, "Event"), _make(library, "Event")
    control, theirs = children.pipe()
    children.start(_answer, there, back, far, theirs)
    children.pin(near)
    control.recv()
    samples = []
    end = _ns() + int(seconds * 1e9)
    begin = 0
    while begin < end or len(samples) < FEWEST:
        begin = _ns()
        there.set()
        back.wait()
        back.clear()
        samples.append(_ns() - begin)
    return {"time": percentiles(samples, "rtt")["rtt50"]}


def _compete(value, core, gate, seconds):
    children.pin(core)
    guard = value.get_obj() if hasattr(value, "get_obj") else value
    lock = value.get_lock()
    gate.send("ready")
    gate.recv()
    count, end = 0, _ns() + int(seconds * 1e9)
    while _ns() < end:
        for _ in itertools.repeat(None, 100):
            with lock:
                guard.value += 1
        count += 100
    gate.send(count)


def contended(library, seconds):
    """A shared number counted up under its lock by two processes at the same time."""
    value = _make(library, "Value", "q", 0)
    gates = []
    for core in children.cores():
        gate, theirs = children.pipe()
        children.start(_compete, value, core, theirs, seconds)
        gates.append(gate)
    for gate in gates:
        gate.recv()
    for gate in gates:
        gate.send("go")
    total = sum(gate.recv() for gate in gates)
    assert value.value == total, (value.value, total)
    return {"time": seconds / total}


def creation(library, seconds, kind, *arguments):
    """Making one, while others are there."""
    children.pin(children.cores()[0])
    kept, samples = [_make(library, kind, *arguments)], []
    make = getattr(LIBRARIES[library], kind)
    end = _ns() + int(seconds * 1e9)
    begin = 0
    # Descriptors are limited.
    while begin < end and len(samples) < 200 or len(samples) < FEWEST:
        begin = _ns()
        kept.append(make(*arguments))
        samples.append(_ns() - begin)
    return {"time": statistics.median(samples) / 1e9}


TOOLS = {
    "Lock: acquire, release": (lock, ()),
    "RLock: acquire, release": (lock, ("RLock",)),
    "Semaphore: acquire, release": (lock, ("BoundedSemaphore",)),
    "with Lock": (with_lock, ()),
    "with Value.get_lock(): += 1": (increment, ()),
    "the same, two processes": (contended, ()),
    "Event: set, wait, clear": (event, ()),
    "Event: there and back": (event_round_trip, ()),
    "make a Queue": (creation, ("Queue",)),
    "make a Lock": (creation, ("Lock",)),
    "make a Value": (creation, ("Value", "q", 0)),
    "make an Event": (creation, ("Event",)),
}
