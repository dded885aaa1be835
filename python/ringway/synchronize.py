"""`Lock`, `RLock`, `Semaphore`, `BoundedSemaphore`, `Condition`, `Event` and `Barrier`: as in `multiprocessing.synchronize`.

A process that is killed while it holds a `Lock` or an `RLock` blocks nobody: the next one to acquire it gets it, and its
`recovered` says so, or `acquire` raises `OwnerDied` if the lock was made with `raise_if_recovered=True`. One that ends in good
order leaves a `Lock` held, for another to release, as the standard library does.

Thousands of these share one piece of memory and one descriptor. With a `name` they can be found by other programs.
"""

import sys
import threading
import time

from multiprocessing import process, util

from . import _ringway, _share

__all__ = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"]

RECURSIVE_MUTEX, SEMAPHORE = 0, 1
SEM_VALUE_MAX = 2**31 - 1


class OwnerDied(RuntimeError):
    """The process that held the lock was killed. The lock is free again: acquire it, and see whether what it protects is in
    order."""

    def __init__(self, text="the process that held the lock has died"):
        super().__init__(text)


class SemLock(_ringway.SemLock):
    """What locks and semaphores have in common."""

    def __init__(self, kind, value, maxvalue, *, ctx=None, name=None, raise_if_recovered=False):
        self._raises = raise_if_recovered
        self._make(kind, value, maxvalue, name, raise_if_recovered)

    @property
    def _semlock(self):
        # The standard library's is a thing apart; `Pool` and `ProcessPoolExecutor` look into it.
        return self

    def __getstate__(self):
        _share.assert_sharing(self)
        kind, most, fd, place = self._tell()
        return kind, most, _share.share(fd, self if place else None), place, self._raises

    def __setstate__(self, state):
        kind, most, shared, place, self._raises = state
        with _share.borrowed(shared) as fd:
            self._adopt(kind, most, fd, place, self._raises)

    def _owner(self):
        """Who has it, for people."""
        if self._is_mine():
            name = process.current_process().name
            if threading.current_thread().name != "MainThread":
                name += "|" + threading.current_thread().name
            return name, self._count()
        if self._get_value() == 1:
            return "None", 0
        return ("SomeOtherThread" if self._count() > 0 else "SomeOtherProcess"), "nonzero"


class Semaphore(SemLock):
    """A number of permits, which anybody may take and give; there may be more than the `value` at first.

    They have no owner: those of a process that is killed do not come back. With a `name`, all who use that have the same one.
    """

    def __init__(self, value=1, *, ctx=None, name=None):
        super().__init__(SEMAPHORE, value, SEM_VALUE_MAX, ctx=ctx, name=name)

    def get_value(self):
        """How many permits there are now."""
        return self._get_value()

    def __repr__(self):
        return f"<{type(self).__name__}(value={_or_unknown(self._get_value)})>"


class BoundedSemaphore(Semaphore):
    """A semaphore that has no more permits than at first: to give back one more is a `ValueError`."""

    def __init__(self, value=1, *, ctx=None, name=None):
        SemLock.__init__(self, SEMAPHORE, value, value, ctx=ctx, name=name)

    def __repr__(self):
        value = _or_unknown(self._get_value)
        return f"<{type(self).__name__}(value={value}, maxvalue={self.maxvalue})>"


class Lock(SemLock):
    """A lock that any thread of any process may release; to release it when it is free is a `ValueError`.

    If the process that holds it is killed, the next one gets it, and its `recovered` is true: then see whether what it protects is
    in order. With `raise_if_recovered`, `acquire` raises `OwnerDied` instead, once, and leaves it free. A process that ends in
    good order leaves it held. With a `name`, all who use that have the same one.
    """

    def __init__(self, *, ctx=None, name=None, raise_if_recovered=False):
        super().__init__(SEMAPHORE, 1, 1, ctx=ctx, name=name, raise_if_recovered=raise_if_recovered)

    def __repr__(self):
        return f"<{type(self).__name__}(owner={_or_unknown(self._owner, ('unknown',))[0]})>"


class RLock(SemLock):
    """A lock that the thread which has it may acquire again, and only that thread may release, as often.

    If its process is killed, the next one gets it, as a `Lock`.
    """

    def __init__(self, *, ctx=None, name=None, raise_if_recovered=False):
        super().__init__(RECURSIVE_MUTEX, 1, 1, ctx=ctx, name=name, raise_if_recovered=raise_if_recovered)

    def __repr__(self):
        owner, count = _or_unknown(self._owner, ("unknown", "unknown"))
        return f"<{type(self).__name__}({owner}, {count})>"


def _or_unknown(ask, unknown="unknown"):
    try:
        return ask()
    except Exception:
        return unknown


class _Unknown:
    """A count that the standard library keeps and this package does not need."""

    def get_value(self):
        raise NotImplementedError


class Condition(_ringway.Condition):
    """Waiting for a change of what a lock protects: `with condition: condition.wait_for(predicate)`, and who changes something
    notifies. `lock` is a `Lock` or an `RLock`, else a new `RLock`. A waiter that is killed is in nobody's way."""

    def __init__(self, lock=None, *, ctx=None):
        self._make()
        self._set_lock(RLock(ctx=ctx) if lock is None else lock)

    def _set_lock(self, lock):
        self._lock = lock
        self.acquire = lock.acquire
        self.release = lock.release

    # The standard library's tests look whether these can be asked.
    _sleeping_count = _woken_count = _wait_semaphore = _Unknown()

    def __getstate__(self):
        _share.assert_sharing(self)
        fd, place = self._tell()
        return self._lock, _share.share(fd, self if place else None), place

    def __setstate__(self, state):
        lock, shared, place = state
        with _share.borrowed(shared) as fd:
            self._adopt(fd, place)
        self._set_lock(lock)

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *error):
        return self._lock.__exit__(*error)

    def __repr__(self):
        return f"<{type(self).__name__}({self._lock}, {_or_unknown(self._waiting)})>"

    def wait(self, timeout=None):
        """Releases the lock, waits until notified or until the time is over, and acquires the lock again. Returns whether
        notified."""
        assert self._lock._semlock._is_mine(), "must acquire() condition before using wait()"
        count = self._lock._semlock._count()
        try:
            return self._wait(self._lock, timeout)
        finally:
            for _ in range(count):
                self._lock.acquire()

    def notify(self, n=1):
        """Wakes `n` of those who wait, or all if there are fewer."""
        assert self._lock._semlock._is_mine(), "lock is not owned"
        if n > 0:
            self._notify(min(n, SEM_VALUE_MAX))

    def notify_all(self):
        """Wakes all who wait."""
        self.notify(SEM_VALUE_MAX)

    def wait_for(self, predicate, timeout=None):
        """Waits until `predicate()` is true, or the time is over. Returns what it was last."""
        end = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result


class Event(_ringway.Event):
    """Something that has happened, or has not; whoever waits for it goes on when it is set.

    `fileno()` is for event loops. With a `name`, all who use that have the same one.
    """

    def __init__(self, *, ctx=None, name=None):
        self._make(name)

    def __getstate__(self):
        _share.assert_sharing(self)
        fd, place = self._tell()
        return _share.share(fd, self if place else None), place

    def __setstate__(self, state):
        shared, place = state
        with _share.borrowed(shared) as fd:
            self._adopt(fd, place)

    def __repr__(self):
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"


class Barrier(threading.Barrier):
    """A place where `parties` processes or threads wait until all have come, and can meet again after that.

    One of them calls `action` before anybody goes on. `timeout` is for each `wait` that has none of its own. If a process is killed
    while it waits, or its time is over, the barrier is broken for the others: `BrokenBarrierError`, until it is reset.
    """

    def __init__(self, parties, action=None, timeout=None, *, ctx=None, name=None):
        if parties < 1:
            raise ValueError("parties must be > 0")
        barrier = _ringway.Barrier()
        barrier._make(parties, name)
        self.__dict__.update(_barrier=barrier, _action=action, _timeout=timeout)

    def __getstate__(self):
        _share.assert_sharing(self)
        fd, place = self._barrier._tell()
        return self._action, self._timeout, _share.share(fd, self._barrier if place else None), place

    def __setstate__(self, state):
        action, timeout, shared, place = state
        barrier = _ringway.Barrier()
        with _share.borrowed(shared) as fd:
            barrier._adopt(fd, place)
        self.__dict__.update(_barrier=barrier, _action=action, _timeout=timeout)

    def __repr__(self):
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{type(self).__qualname__} at {id(self):#x}: {state}>"

    def wait(self, timeout=None):
        """Waits for the others. Returns a number below `parties`, another one for each. One of them has called the action
        before anybody goes on."""
        if timeout is None:
            timeout = self._timeout
        end = None if timeout is None else time.monotonic() + timeout
        index = self._barrier._meet(timeout)
        if self._action is not None:
            # They meet a second time, when it was called.
            if index == 0:
                try:
                    self._action()
                except BaseException:
                    self.abort()
                    raise
            self._barrier._meet(None if end is None else max(0.0, end - time.monotonic()))
        return index

    def reset(self):
        """Makes it as good as new; whoever waits gets `BrokenBarrierError`."""
        self._barrier._reset()

    def abort(self):
        """Breaks it: whoever waits or comes gets `BrokenBarrierError`, until it is reset."""
        self._barrier._abort()

    @property
    def parties(self):
        """How many must come."""
        return self._barrier._parties()

    @property
    def n_waiting(self):
        """How many have come and wait, at this moment."""
        return 0 if self.broken else self._barrier._waiting()

    @property
    def broken(self):
        """Whether it is broken."""
        return self._barrier._is_broken()


def _hand_over_at_exit():
    _ringway.hand_over_all()


def _register(_=None):
    # The last thing: others may acquire and release until then.
    util.Finalize(None, _hand_over_at_exit, exitpriority=-100)


_register()
util.register_after_fork(SemLock, _register)
