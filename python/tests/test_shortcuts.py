"""Methods with a shortcut look and behave as without."""

import inspect
import threading

import pytest

import ringway

KINDS = [ringway.Lock, ringway.RLock, lambda: ringway.BoundedSemaphore(1), ringway.Semaphore]


@pytest.fixture(params=KINDS, ids=["Lock", "RLock", "BoundedSemaphore", "Semaphore"])
def lock(request):
    return request.param()


def test_they_say_what_they_take_and_do(lock):
    assert str(inspect.signature(lock.acquire)) == "(block=True, timeout=None)"
    assert str(inspect.signature(lock.release)) == "()"
    assert lock.acquire.__name__ == "acquire" and "Takes it" in lock.acquire.__doc__
    assert "Gives it back" in lock.release.__doc__


def test_all_ways_to_call_them(lock):
    for arguments, keywords in [((), {}), ((True,), {}), ((True, 1), {}), ((), {"timeout": 1}), ((1,), {"timeout": None})]:
        assert lock.acquire(*arguments, **keywords) is True
        assert lock.release() is None
    method, own = type(lock).acquire, type(lock).release
    assert method(lock) is True and own(lock) is None
    with lock as entered:
        assert entered is True
    assert lock.__enter__() is True and lock.__exit__(None, None, None) is None
    assert lock.acquire(block=False) and lock._count() == 1
    lock.release()


@pytest.mark.parametrize(
    "call",
    [
        lambda lock: lock.acquire(1, 2, 3),
        lambda lock: lock.acquire(blocking=True),
        lambda lock: lock.acquire(True, block=True),
        lambda lock: lock.acquire(timeout="long"),
        lambda lock: lock.release(1),
        lambda lock: lock.release(force=True),
        lambda lock: type(lock).acquire(),
        lambda lock: type(lock).acquire(3),
        lambda lock: type(lock).release("text"),
    ],
)
def test_wrong_calls_are_errors_and_take_nothing(lock, call):
    with pytest.raises(TypeError):
        call(lock)
    assert lock._count() == 0 and lock.acquire(False)
    lock.release()


def test_what_is_taken_is_refused_and_counted_once():
    for lock in (ringway.Lock(), ringway.BoundedSemaphore(1)):
        assert lock.acquire() and not lock.acquire(False) and not lock.acquire(True, 0.01)
        assert lock._count() == 1
        lock.release()
        with pytest.raises(ValueError):
            lock.release()
        assert lock._count() == 0


def test_a_recursive_lock_counts_and_knows_its_thread():
    lock = ringway.RLock()
    for depth in range(1, 5):
        assert lock.acquire() and lock._count() == depth
    found = []

    def other():
        try:
            lock.release()
        except AssertionError as error:
            found.append((str(error), lock.acquire(False)))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [("attempt to release recursive lock not owned by thread", False)]
    for depth in range(3, -1, -1):
        lock.release()
        assert lock._count() == depth
    with pytest.raises(AssertionError):
        lock.release()


def test_who_has_to_wait_waits():
    lock = ringway.Lock()
    order = []
    lock.acquire()

    def other():
        with lock:
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    order.append("first")
    lock.release()
    thread.join()
    assert order == ["first", "other"]


def test_what_was_not_opened_says_so():
    from ringway import _ringway

    bare = _ringway.SemLock()
    for call in (bare.acquire, bare.release, bare.__enter__, lambda: bare.__exit__(None, None, None)):
        with pytest.raises(RuntimeError, match="__init__"):
            call()


def test_an_error_passes_through_with():
    lock = ringway.Lock()
    with pytest.raises(KeyError):
        with lock:
            raise KeyError("x")
    assert lock.acquire(False)


def test_a_child_starts_anew(fork):
    lock = ringway.RLock()
    lock.acquire()
    child = fork.start(_release_what_the_parent_has, lock)
    child.join()
    assert child.exitcode == 0
    lock.release()


def _release_what_the_parent_has(lock):
    with pytest.raises(AssertionError):
        lock.release()
    assert not lock.acquire(False) and lock._count() == 0
