"""`Condition`, `Event` and `Barrier`: waiting for what others do, also for those who are killed."""

import threading
import time

import pytest

import ringway
import work
from conftest import end, in_thread, is_asleep, kill

pytestmark = pytest.mark.quick


def start_waiters(mp, condition, told, count, timeout=None):
    """Children that wait for it, once all of them do."""
    ready = mp.Semaphore(0)
    waiters = [mp.start(work.wait_condition, condition, told, ready, timeout) for _ in range(count)]
    for _ in waiters:
        ready.acquire()
    with condition:  # the last one has let go of the lock: so it waits
        pass
    return waiters


def test_a_condition_without_its_lock(fork):
    condition = fork.Condition()
    with pytest.raises(AssertionError, match=r"must acquire\(\) condition before using wait\(\)"):
        condition.wait()
    with pytest.raises(AssertionError, match="lock is not owned"):
        condition.notify()
    with pytest.raises(AssertionError, match="lock is not owned"):
        condition.notify_all()


def test_a_condition_times_out(fork):
    condition = fork.Condition()
    with condition:
        assert condition.wait(0.05) is False
        assert condition.wait(0) is False
        assert condition.wait(-1) is False
        assert condition.wait_for(lambda: 0, 0.05) == 0
        assert condition.wait_for(lambda: 7) == 7
        assert condition.wait_for(lambda: 7, -1) == 7


@pytest.mark.parametrize("lock", ["Lock", "RLock"])
def test_a_condition_of_another_lock(mp, lock):
    condition, told = mp.Condition(getattr(mp, lock)()), mp.Queue()
    waiters = start_waiters(mp, condition, told, 1)
    with condition:
        condition.notify()
    assert told.get() is True
    end(*waiters)


def test_notify_wakes_as_many_as_told(mp):
    condition, told = mp.Condition(), mp.Queue()
    waiters = start_waiters(mp, condition, told, 5)
    with condition:
        condition.notify(2)
    assert [told.get(), told.get()] == [True, True]
    with pytest.raises(ringway.queues.Empty):
        told.get(timeout=0.2)
    with condition:
        condition.notify()
    assert told.get() is True
    with pytest.raises(ringway.queues.Empty):
        told.get(timeout=0.2)
    with condition:
        condition.notify_all()
    assert [told.get(), told.get()] == [True, True]
    end(*waiters)
    with condition:
        condition.notify_all()  # nobody: this is not for those who come later
        assert condition.wait(0.05) is False


def test_a_condition_is_waited_for_with_a_lock_held_often(fork):
    condition, told = fork.Condition(), fork.Queue()
    thread = threading.Thread(target=lambda: started.set() or notify())
    started = threading.Event()

    def notify():
        with condition:
            condition.notify_all()

    with condition, condition, condition:
        thread.start()
        started.wait()
        assert condition.wait() is True
        assert condition._lock._semlock._count() == 3
    thread.join()
    fork.run(work.try_acquire, condition._lock, told)
    assert told.get() is True


def test_a_killed_waiter_is_in_nobodys_way(mp):
    condition, told = mp.Condition(), mp.Queue()
    dead = start_waiters(mp, condition, told, 2)
    for each in dead:
        kill(each)
    living = start_waiters(mp, condition, told, 2)
    with condition:
        condition.notify_all()
    assert [told.get(), told.get()] == [True, True]
    end(*living)


def test_a_notification_is_not_lost_with_the_killed(mp):
    """`notify(1)` with one dead and one living waiter: the living one gets it, at the second try at the latest."""
    condition, told = mp.Condition(), mp.Queue()
    [dead] = start_waiters(mp, condition, told, 1)
    kill(dead)
    [living] = start_waiters(mp, condition, told, 1)
    with condition:
        condition.notify(2)
    assert told.get() is True
    end(living)


def test_a_holder_killed_in_a_condition(mp):
    condition = mp.Condition()
    mp.start(work.acquire_and_die, condition).join()
    with condition:
        assert condition._lock.recovered


def test_an_event(mp):
    event, told = mp.Event(), mp.Queue()
    assert event.is_set() is False
    assert event.wait(0.02) is False
    assert event.wait(0) is False
    assert event.wait(-1) is False
    children = [mp.start(work.wait_for_event, event, told) for _ in range(3)]
    event.set()
    assert [told.get() for _ in children] == [True] * 3
    end(*children)
    assert event.wait() is True
    assert event.wait(-1) is True
    event.set()
    event.clear()
    assert (event.is_set(), event.wait(0)) == (False, False)
    assert "unset" in repr(event)


def test_an_event_that_is_cleared_at_once_lets_go_who_waits(mp):
    event, told = mp.Event(), mp.Queue()
    child = mp.start(work.wait_for_event, event, told)
    # Until it has come, it may miss the moment: then there is another.
    while True:
        event.set()
        event.clear()
        try:
            assert told.get(timeout=0.1) is True
            break
        except ringway.queues.Empty:
            pass
    end(child)


def test_a_killed_waiter_of_an_event(mp):
    event, told = mp.Event(), mp.Queue()
    child = mp.start(work.wait_for_event, event, told)
    while not is_asleep(child.pid):
        time.sleep(0.01)
    kill(child)
    event.set()
    assert event.wait() is True


def test_ping_pong(mp):
    ping, pong = mp.Event(), mp.Event()
    child = mp.start(work.play, ping, pong, 200)
    for _ in range(200):
        ping.set()
        pong.wait()
        pong.clear()
    end(child)


# Barriers.


def test_a_barrier(mp):
    barrier, told = mp.Barrier(3), mp.Queue()
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
    children = [mp.start(work.meet, barrier, told, 50) for _ in range(2)]
    for _ in range(50):
        mine = barrier.wait()
        assert sorted([mine, told.get(), told.get()]) == [0, 1, 2]
    end(*children)
    assert barrier.n_waiting == 0


def test_a_barrier_of_one(fork):
    barrier = fork.Barrier(1)
    for _ in range(100):
        assert barrier.wait() == 0


@pytest.mark.parametrize("parties", [0, -1, -(2**31)])
def test_a_barrier_of_nobody(fork, parties):
    with pytest.raises(ValueError):
        fork.Barrier(parties)


def test_the_action_comes_before_anybody_goes_on(mp):
    calls = mp.Queue()
    barrier, told = mp.Barrier(2, work.Puts(calls, "called")), mp.Queue()
    child = mp.start(work.meet_and_look, barrier, calls, told, 20)
    for _ in range(20):
        barrier.wait()
        assert told.get() == 1  # once, and before
        barrier.wait()
        calls.get()
        calls.get()
        barrier_left = told.get()
        assert barrier_left == "looked"
    end(child)


def test_an_action_that_raises_breaks_it(mp):
    barrier, told = mp.Barrier(2, work.Raises()), mp.Queue()
    child = mp.start(work.meet_and_name_error, barrier, told)
    try:
        barrier.wait()
        mine = None
    except Exception as error:
        mine = type(error).__name__
    assert sorted([mine, told.get()]) == ["BrokenBarrierError", "ZeroDivisionError"]
    end(child)
    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken


def test_a_time_out_breaks_it(mp):
    barrier, told = mp.Barrier(3), mp.Queue()
    child = mp.start(work.meet, barrier, told)
    while barrier.n_waiting < 1:
        time.sleep(0.01)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.05)
    assert told.get() == "broken"
    assert (barrier.broken, barrier.n_waiting) == (True, 0)
    end(child)
    default = mp.Barrier(2, timeout=0.01)
    with pytest.raises(threading.BrokenBarrierError):
        default.wait()


def test_abort_and_reset(mp):
    barrier, told = mp.Barrier(3), mp.Queue()
    children = [mp.start(work.meet, barrier, told) for _ in range(2)]
    while barrier.n_waiting < 2:
        time.sleep(0.01)
    barrier.reset()
    assert [told.get(), told.get()] == ["broken"] * 2
    end(*children)
    assert not barrier.broken
    children = [mp.start(work.meet, barrier, told) for _ in range(2)]
    while barrier.n_waiting < 2:
        time.sleep(0.01)
    barrier.abort()
    assert [told.get(), told.get()] == ["broken"] * 2
    end(*children)
    assert barrier.broken
    barrier.reset()
    children = [mp.start(work.meet, barrier, told) for _ in range(2)]
    barrier.wait()
    end(*children)


def test_a_killed_party_breaks_it(mp):
    barrier, told = mp.Barrier(3), mp.Queue()
    victim = mp.start(work.meet, barrier, told)
    witness = mp.start(work.meet, barrier, told)
    while barrier.n_waiting < 2:
        time.sleep(0.01)
    kill(victim)
    assert told.get() == "broken"
    end(witness)
    assert barrier.broken
    barrier.reset()
    children = [mp.start(work.meet, barrier, told) for _ in range(2)]
    mine = barrier.wait()
    assert sorted([mine, told.get(), told.get()]) == [0, 1, 2]
    end(*children)


def test_who_comes_after_a_killed_party_does_not_wait_for_ever(mp):
    """It came before it died. So they meet, or the barrier is broken: somebody may have noticed."""
    barrier, told = mp.Barrier(2), mp.Queue()
    victim = mp.start(work.meet, barrier, told)
    while barrier.n_waiting < 1:
        time.sleep(0.01)
    kill(victim)
    try:
        assert barrier.wait() in (0, 1)
    except threading.BrokenBarrierError:
        assert barrier.broken


def test_barriers_between_threads(fork):
    barrier, seen = fork.Barrier(4), []

    def run(who):
        for turn in range(50):
            seen.append(turn)
            barrier.wait()
            assert seen.count(turn) == 4
            barrier.wait()

    threads = [in_thread(run, who) for who in range(4)]
    for thread, outcome in threads:
        thread.join()
        assert outcome == [None]
