"""`Lock`, `RLock`, `Semaphore`, `BoundedSemaphore`: as in the standard library, and what happens when a holder dies."""

import pickle
import tempfile
import threading

import pytest

import ringway
import work
from conftest import descriptors, end, in_thread, kill
from ringway.synchronize import OwnerDied

pytestmark = pytest.mark.quick

TOO_OFTEN = "^semaphore or lock released too many times$"
NOT_OWNED = "^attempt to release recursive lock not owned by thread$"


def test_a_lock(fork):
    lock = fork.Lock()
    assert repr(lock) == "<Lock(owner=None)>"
    assert lock.acquire() is True
    assert repr(lock) == "<Lock(owner=MainProcess)>"
    for attempt in (
        lambda: lock.acquire(False),
        lambda: lock.acquire(block=False),
        lambda: lock.acquire(True, 0),
        lambda: lock.acquire(timeout=0.01),
        lambda: lock.acquire(block=True, timeout=-1),
        lambda: lock.acquire(False, 5),
    ):
        assert attempt() is False
    assert lock.release() is None
    with pytest.raises(ValueError, match=TOO_OFTEN):
        lock.release()
    with lock as entered:
        assert entered is True
        assert lock.acquire(False) is False
    assert lock.acquire(timeout=5) is True
    lock.release()
    with pytest.raises(TypeError):
        lock.acquire(blocking=False)
    with pytest.raises(TypeError):
        lock.acquire(timeout="soon")


def test_a_lock_is_not_pickled_outside_spawning(fork):
    for make in (fork.Lock, fork.RLock, fork.Semaphore, fork.BoundedSemaphore, fork.Condition, fork.Event):
        with pytest.raises(RuntimeError, match="through inheritance"):
            pickle.dumps(make())
    with pytest.raises(RuntimeError, match="through inheritance"):
        pickle.dumps(fork.Barrier(2))


def test_another_thread_may_release_a_lock(fork):
    lock = fork.Lock()
    lock.acquire()
    thread, outcome = in_thread(lock.release)
    thread.join()
    assert outcome == [None]
    assert lock.acquire(False)


def test_another_process_may_release_a_lock(mp):
    lock = mp.Lock()
    lock.acquire()
    mp.run(work.release, lock)
    assert lock.acquire()
    told = mp.Queue()
    child = mp.start(work.acquire_and_tell, other := mp.Lock(), told)
    assert told.get() == "acquired"
    assert other.acquire(False) is False
    other.release()
    assert other.acquire(False) is True
    kill(child)


def test_a_recursive_lock(mp):
    lock, told = mp.RLock(), mp.Queue()
    assert repr(lock) == "<RLock(None, 0)>"
    assert lock.acquire() and lock.acquire() and lock.acquire(False)
    assert repr(lock) == "<RLock(MainProcess, 3)>"
    thread, outcome = in_thread(lock.acquire, False)
    thread.join()
    assert outcome == [False]
    thread, outcome = in_thread(lock.release)
    thread.join()
    assert isinstance(outcome[0], AssertionError)
    mp.run(work.try_acquire, lock, told)
    assert told.get() is False
    mp.run(work.release_and_tell, lock, told)
    assert told.get() == f"AssertionError: {NOT_OWNED.strip('^$')}"
    lock.release()
    lock.release()
    mp.run(work.try_acquire, lock, told)
    assert told.get() is False
    lock.release()
    with pytest.raises(AssertionError, match=NOT_OWNED):
        lock.release()


def test_a_semaphore(mp):
    semaphore = mp.Semaphore(2)
    assert semaphore.get_value() == 2
    assert repr(semaphore) == "<Semaphore(value=2)>"
    assert semaphore.acquire() and semaphore.acquire()
    assert semaphore.acquire(False) is False
    mp.run(work.release, semaphore)
    assert semaphore.acquire() is True
    for _ in range(5):
        semaphore.release()  # beyond what it began with
    assert semaphore.get_value() == 5
    with semaphore:
        assert semaphore.get_value() == 4
    assert mp.Semaphore().get_value() == 1
    assert mp.Semaphore(0).acquire(False) is False


def test_a_bounded_semaphore(mp):
    semaphore = mp.BoundedSemaphore(2)
    assert repr(semaphore) == "<BoundedSemaphore(value=2, maxvalue=2)>"
    with pytest.raises(ValueError, match=TOO_OFTEN):
        semaphore.release()
    semaphore.acquire()
    mp.run(work.release, semaphore)
    with pytest.raises(ValueError, match=TOO_OFTEN):
        semaphore.release()
    assert semaphore.get_value() == 2


@pytest.mark.parametrize("value", [-1, -(2**31)])
def test_values_that_are_none(fork, value):
    with pytest.raises(OSError) as caught:
        fork.Semaphore(value)
    assert caught.value.errno == 22


def test_a_value_that_is_no_c_int(fork):
    with pytest.raises(OverflowError, match="^Python int too large to convert to C int$"):
        fork.Semaphore(2**31)


def test_the_permits_of_the_killed_are_gone(mp):
    """They have no owner, in the standard library neither."""
    semaphore = mp.Semaphore(2)
    child = mp.start(work.acquire_and_die, semaphore)
    child.join()
    assert semaphore.get_value() == 1


def test_what_pools_look_at(fork):
    semaphore = fork.BoundedSemaphore(1)
    assert (semaphore._semlock._is_zero(), semaphore._semlock._get_value()) == (False, 1)
    semaphore.acquire()
    assert (semaphore._semlock._is_zero(), semaphore._semlock._get_value()) == (True, 0)
    lock = fork.RLock()
    assert not lock._semlock._is_mine()
    with lock:
        assert lock._semlock._is_mine() and lock._semlock._count() == 1
    condition = fork.Condition()
    for each in (condition._sleeping_count, condition._woken_count, condition._wait_semaphore):
        with pytest.raises(NotImplementedError):
            each.get_value()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_killed_holder_blocks_nobody(mp, kind):
    lock = getattr(mp, kind)()
    assert lock.recovered is False
    child = mp.start(work.acquire_and_die, lock)
    child.join()
    assert lock.acquire() is True
    assert lock.recovered is True
    lock.release()
    assert lock.acquire() is True
    assert lock.recovered is False
    lock.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_who_waits_for_the_killed_gets_it(mp, kind):
    lock, told, answer = getattr(mp, kind)(), mp.Queue(), mp.Queue()
    holder = mp.start(work.acquire_and_tell, lock, told)
    assert told.get() == "acquired"
    waiter = mp.start(work.acquire_recovered, lock, answer)
    kill(holder)
    assert answer.get() == (True, True)
    end(waiter)
    assert lock.acquire() and not lock.recovered


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_or_is_told_by_an_error(mp, kind):
    lock, told = getattr(mp, kind)(raise_if_recovered=True), mp.Queue()
    mp.start(work.acquire_and_die, lock).join()
    with pytest.raises(OwnerDied, match="died"):
        lock.acquire()
    assert lock.acquire() is True  # it is free again
    lock.release()
    mp.start(work.acquire_and_die, lock).join()
    mp.run(work.acquire_or_owner_died, lock, told)
    assert told.get() == "OwnerDied"
    mp.start(work.acquire_and_die, lock).join()
    with pytest.raises(OwnerDied):
        with lock:
            raise AssertionError("not to be reached")


def test_who_ends_in_good_order_leaves_a_lock_held(mp):
    lock, told = mp.Lock(), mp.Queue()
    mp.run(work.acquire_and_end, lock)
    assert lock.acquire(timeout=0.3) is False
    mp.run(work.try_acquire, lock, told, 0.1)
    assert told.get() is False
    lock.release()  # whoever it was handed to
    assert lock.acquire() is True
    assert lock.recovered is False


def test_a_fork_while_it_is_held(fork):
    """The parent holds it still; the child does not."""
    for lock in (fork.Lock(), fork.RLock()):
        told = fork.Queue()
        lock.acquire()
        fork.run(work.try_acquire, lock, told)
        assert told.get() is False
        assert lock._semlock._is_mine()
        if isinstance(lock, ringway.synchronize.RLock):
            fork.run(work.release_and_tell, lock, told)
            assert told.get().startswith("AssertionError")
            assert lock.acquire()
            lock.release()
        lock.release()
        fork.run(work.try_acquire, lock, told, 60)
        assert told.get() is True


def test_a_fork_while_a_thread_holds_it(fork):
    lock, told = fork.RLock(), fork.Queue()
    held, release = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            release.wait()

    thread, _ = in_thread(hold)
    held.wait()
    child = fork.start(work.try_acquire, lock, told, 60)
    release.set()
    assert told.get() is True
    thread.join()
    end(child)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_no_update_is_lost(mp, kind):
    lock = getattr(mp, kind)()
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(bytes(8))
        file.flush()
        count = 3000
        children = [mp.start(work.increment_at, lock, file.name, count) for _ in range(3)]
        end(*children)
        file.seek(0)
        assert int.from_bytes(file.read(8), "little") == 3 * count


def test_threads_exclude_each_other(fork):
    lock, cells, count = fork.Lock(), bytearray(8), 2000
    threads = [in_thread(work.increment, lock, cells, count) for _ in range(4)]
    for thread, outcome in threads:
        thread.join()
        assert outcome == [None]
    assert int.from_bytes(cells, "little") == 4 * count


def test_ten_thousand_of_each(mp):
    """One descriptor for thousands."""
    before = descriptors()
    locks = [mp.Lock() for _ in range(10_000)]
    events = [mp.Event() for _ in range(10_000)]
    assert descriptors() - before < 10
    for lock in locks:
        assert lock.acquire(False)
    locks[5000].release()
    assert [lock.acquire(False) for lock in locks].count(True) == 1
    events[7].set()
    assert [event.is_set() for event in events].count(True) == 1
    del locks, events


def test_ten_thousand_go_to_one_child(mp):
    told = mp.Queue()
    locks = [mp.Lock() for _ in range(10_000)]
    locks[-1].acquire()
    child = mp.start(work.use_all, locks, told)
    locks[-1].release()
    assert told.get() == 10_000
    end(child)


def test_they_come_and_go(fork):
    before = descriptors()
    for _ in range(20_000):
        fork.Lock().acquire()
        fork.Event().set()
        fork.Condition()
    assert descriptors() - before < 10


def test_names(mp, name):
    lock = ringway.synchronize.Lock(name=name)
    same = ringway.synchronize.Lock(name=name)
    lock.acquire()
    assert same.acquire(False) is False
    told = mp.Queue()
    mp.run(work.try_acquire, same, told)
    assert told.get() is False
    lock.release()
    assert same.acquire(False) is True
    lock.unlink()
    assert ringway.synchronize.Lock(name=name).acquire(False) is True
    ringway.synchronize.Lock(name=name).unlink()


def test_passed_when_allowed(mp):
    inward, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.acquire_what_comes, inward, outward)
    lock, event = mp.Lock(), mp.Event()
    ringway.allow_passing()
    try:
        inward.put((lock, event))
        assert outward.get() is True
    finally:
        ringway.allow_passing(False)
    assert lock.acquire(False) is False
    event.set()
    end(child)


def test_without_constructors():
    for kind in ("Lock", "RLock", "Semaphore", "Condition", "Event"):
        made = getattr(ringway.synchronize, kind)
        blank = made.__new__(made)
        with pytest.raises((RuntimeError, AttributeError)):
            getattr(blank, "wait" if kind in ("Condition", "Event") else "acquire")()
