"""`Queue`: its calls, and what they raise, as in the standard library."""

import multiprocessing
import os
import pickle
import queue as std_queue
import threading
import time

import pytest

import ringway
import work
from conftest import end, in_thread

pytestmark = pytest.mark.quick


def test_the_hello_of_the_readme(mp):
    queue = mp.Queue()
    mp.run(work.put_all, queue, "hello", 42, None)
    assert [queue.get() for _ in range(3)] == ["hello", 42, None]


def test_exceptions_are_the_standard_librarys():
    assert ringway.queues.Empty is std_queue.Empty
    assert ringway.queues.Full is std_queue.Full
    for name in ("BufferTooShort", "TimeoutError", "AuthenticationError", "ProcessError"):
        assert getattr(ringway, name) is getattr(multiprocessing, name)


def test_get_from_an_empty_one(fork):
    queue = fork.Queue()
    for attempt in (
        lambda: queue.get(False),
        lambda: queue.get(block=False),
        lambda: queue.get_nowait(),
        lambda: queue.get(False, 5),  # the time-out does not count
        lambda: queue.get(True, 0),
        lambda: queue.get(True, -1),
        lambda: queue.get(timeout=-0.5),
        lambda: queue.get(timeout=0.01),
        lambda: queue.get(timeout=float("-inf")),
    ):
        with pytest.raises(std_queue.Empty) as caught:
            attempt()
        assert caught.value.args == ()


def test_put_into_a_full_one(fork):
    queue = fork.Queue(2)
    queue.put(1)
    queue.put(2)
    for attempt in (
        lambda: queue.put(3, False),
        lambda: queue.put(obj=3, block=False),
        lambda: queue.put_nowait(3),
        lambda: queue.put(3, False, 5),
        lambda: queue.put(3, True, 0),
        lambda: queue.put(3, timeout=-1),
        lambda: queue.put(3, timeout=0.01),
    ):
        with pytest.raises(std_queue.Full) as caught:
            attempt()
        assert caught.value.args == ()
    assert (queue.get(), queue.get(), queue.empty()) == (1, 2, True)


def test_a_time_out_is_waited_for(fork):
    queue = fork.Queue(1)
    before = time.monotonic()
    with pytest.raises(std_queue.Empty):
        queue.get(timeout=0.2)
    queue.put(1)
    with pytest.raises(std_queue.Full):
        queue.put(2, timeout=0.2)
    assert time.monotonic() - before >= 0.4


@pytest.mark.parametrize("timeout", ["soon", float("nan"), [], object()])
def test_a_time_out_that_is_none(fork, timeout):
    queue = fork.Queue()
    with pytest.raises((TypeError, ValueError)):
        queue.get(True, timeout)
    with pytest.raises((TypeError, ValueError)):
        queue.put(1, True, timeout)
    assert queue.empty()


def test_a_time_out_of_centuries_is_for_ever(mp):
    queue = mp.Queue()
    child = mp.start(work.put_all, queue, 1)
    assert queue.get(timeout=1e300) == 1
    end(child)


@pytest.mark.parametrize("maxsize", [1, 2, 3, 7, 100, 8192, 8193, 10_000])
def test_maxsize_is_exact(fork, maxsize):
    queue = fork.Queue(maxsize)
    for number in range(maxsize):
        assert not queue.full()
        queue.put(number, False)
    assert queue.full()
    assert queue.qsize() == maxsize
    with pytest.raises(std_queue.Full):
        queue.put(None, False)
    assert queue.get() == 0
    queue.put(maxsize, timeout=60)
    assert [queue.get() for _ in range(maxsize)] == list(range(1, maxsize + 1))


@pytest.mark.parametrize("maxsize", [0, -1, -5])
def test_no_limit(fork, maxsize):
    queue = fork.Queue(maxsize)
    assert queue._maxsize == 2**31 - 1
    for number in range(20_000):
        queue.put(number, False)
    assert (queue.qsize(), queue.full()) == (20_000, False)
    assert [queue.get() for _ in range(20_000)] == list(range(20_000))


def test_a_maxsize_that_is_none(fork):
    with pytest.raises(OverflowError):
        fork.Queue(2**31)
    with pytest.raises(TypeError):
        fork.Queue("much")
    assert fork.Queue(2**31 - 1)._maxsize == 2**31 - 1


def test_size_of_what_others_put(mp):
    queue = mp.Queue(3)
    assert (queue.qsize(), queue.empty(), queue.full()) == (0, True, False)
    mp.run(work.put_all, queue, 1, 2, 3)
    assert (queue.qsize(), queue.empty(), queue.full()) == (3, False, True)
    told = mp.Queue()
    mp.run(work.look_at, queue, told)
    assert told.get() == (3, False, True, 0)


def test_close(fork):
    queue = fork.Queue()
    queue.put(1)
    queue.close()
    queue.close()
    for attempt in (
        lambda: queue.put(2),
        lambda: queue.put_nowait(2),
        lambda: queue.get(),
        lambda: queue.get_nowait(),
        lambda: queue.put_many([2]),
        lambda: queue.get_many(),
        lambda: queue.put_bytes(b""),
        lambda: queue.get_bytes(),
        lambda: queue.get_view(),
        lambda: queue.reserve(1),
    ):
        with pytest.raises(ValueError, match=r"^Queue <.*Queue.*> is closed$"):
            attempt()
    with pytest.raises(OSError, match="^handle is closed$"):
        queue.empty()
    queue.join_thread()
    assert queue.qsize() == 1  # as in the standard library, these still answer
    assert not queue.full()


def test_close_is_this_processs_business(mp):
    queue, told = mp.Queue(), mp.Queue()
    child = mp.start(work.get_once, queue, told)
    queue.put("still there")
    queue.close()
    assert told.get() == ("got", "still there")
    end(child)


def test_join_thread_before_close(fork):
    queue = fork.Queue()
    with pytest.raises(AssertionError, match="not closed"):
        queue.join_thread()
    queue.close()
    queue.join_thread()
    queue.join_thread()


def test_is_not_pickled_outside_spawning(fork):
    queue = fork.Queue()
    text = "should only be shared between processes through inheritance"
    with pytest.raises(RuntimeError, match=text):
        pickle.dumps(queue)
    with pytest.raises(RuntimeError, match=text):
        queue.put(queue)
    assert queue.empty()


def test_passes_when_allowed(mp):
    queue, inward = mp.Queue(), mp.Queue()
    child = mp.start(work.answer_once, inward)
    ringway.allow_passing()
    try:
        inward.put(("this", queue))
        assert queue.get() == "through this"
    finally:
        ringway.allow_passing(False)
    end(child)


def test_generic_alias_and_subclasses(fork):
    assert ringway.queues.Queue[int].__origin__ is ringway.queues.Queue

    class Mine(ringway.queues.Queue):
        def __init__(self, extra, **keywords):
            super().__init__(2, **keywords)
            self.extra = extra

        def put(self, obj, *arguments):
            super().put((self.extra, obj), *arguments)

    queue = Mine("note", ctx=fork.context)
    queue.put(1)
    assert queue.get() == ("note", 1)
    assert queue._maxsize == 2


def test_without_its_constructor():
    queue = ringway.queues.Queue.__new__(ringway.queues.Queue)
    with pytest.raises(RuntimeError):
        queue.put(1)
    with pytest.raises(RuntimeError):
        queue.get()


def test_order_of_each_producer(mp):
    queue = mp.Queue()
    count = 2000
    children = [mp.start(work.put_numbered, queue, who, count) for who in range(3)]
    expected = [0] * 3
    for _ in range(3 * count):
        who, number, _ = queue.get()
        assert number == expected[who]
        expected[who] += 1
    end(*children)
    assert queue.empty()


def test_order_of_each_producer_beyond_the_ring(mp):
    """With messages so large that most of them wait in the producers' memory."""
    queue = mp.Queue()
    count = 300
    children = [mp.start(work.put_numbered, queue, who, count, 20_000) for who in range(2)]
    expected = [0] * 2
    for _ in range(2 * count):
        who, number, padding = queue.get()
        assert (number, len(padding)) == (expected[who], 20_000)
        expected[who] += 1
    end(*children)


def test_several_consumers_and_a_sentinel(mp):
    queue, results = mp.Queue(), mp.Queue()
    children = [mp.start(work.forward_until_none, queue, results) for _ in range(3)]
    for number in range(500):
        queue.put(number)
    queue.put(None)
    assert sorted(results.get() for _ in range(500)) == list(range(500))
    end(*children)
    assert queue.get() is None
    assert queue.empty()


def test_there_and_back(mp):
    inward, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.echo, inward, outward)
    for number in range(500):
        inward.put(number)
        assert outward.get() == number
    inward.put(None)
    end(child)


def test_threads(fork):
    queue, count = fork.Queue(10), 2000
    got = [[] for _ in range(3)]

    def take(mine):
        while (obj := queue.get()) is not None:
            mine.append(obj)

    takers = [in_thread(take, mine) for mine in got]
    putters = [in_thread(lambda who=who: [queue.put((who, n)) for n in range(count)]) for who in range(3)]
    for thread, outcome in putters:
        thread.join()
        assert not isinstance(outcome[0], BaseException)
    for _ in takers:
        queue.put(None)
    for thread, outcome in takers:
        thread.join()
        assert outcome == [None]
    everything = [obj for mine in got for obj in mine]
    assert sorted(everything) == [(who, n) for who in range(3) for n in range(count)]
    for mine in got:  # what one consumer got of one producer is in order
        for who in range(3):
            numbers = [n for each, n in mine if each == who]
            assert numbers == sorted(numbers)


def test_a_thread_waits_without_the_interpreter(fork):
    """A blocked `get` lets others run."""
    queue = fork.Queue()
    thread, outcome = in_thread(queue.get)
    total = sum(range(100_000))
    queue.put(total)
    thread.join()
    assert outcome == [total]


def test_the_context_and_the_module_agree():
    queue = ringway.Queue(3)
    assert isinstance(queue, ringway.queues.Queue)
    assert type(ringway.get_context("spawn").Queue()) is type(queue)
    queue.put(1)
    assert queue.get() == 1


def test_no_thread_on_the_fast_path(fork):
    before, threads = threading.active_count(), set(os.listdir("/proc/self/task"))
    queue = fork.Queue()
    for number in range(100):
        queue.put(number)
    # Those of other tests may be ending just now.
    assert set(os.listdir("/proc/self/task")) <= threads
    assert threading.active_count() <= before
    assert [queue.get() for _ in range(100)] == list(range(100))
