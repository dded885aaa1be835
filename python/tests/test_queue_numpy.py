"""Arrays of numpy: large ones are written where they will lie, and lent to whoever gets them."""

import gc
import queue as std_queue
import random

import pytest

import ringway
import work
from conftest import nothing_is_left

numpy = pytest.importorskip("numpy")


def test_arrays(fork):
    queue = fork.Queue()
    for original in [
        numpy.arange(10),
        numpy.arange(100_000.0),
        numpy.arange(100_000.0).reshape(100, 1000),
        numpy.asfortranarray(numpy.arange(90_000.0).reshape(300, 300)),
        numpy.arange(200_000)[::2],
        numpy.arange(90_000).reshape(300, 300)[10:200, 20:250],
        numpy.zeros((0, 5)),
        numpy.array(5),
        numpy.zeros(50_000, dtype="u1,f8,S5"),
        numpy.array([b"abc", b"d"]),
        numpy.array(["x" * 100] * 1000),
        numpy.array([1, "two", None, {3}], dtype=object),
        numpy.array([[1, 2]] * 5000, dtype=object),
        numpy.arange(1000).astype("datetime64[s]"),
        numpy.ma.masked_array([1, 2], [True, False]),
    ]:
        queue.put(original)
        got = queue.get()
        assert got.dtype == original.dtype
        assert got.shape == original.shape
        assert type(got) is type(original)
        assert numpy.array_equal(numpy.asarray(got), numpy.asarray(original))


def lease_of(got):
    """The memory an array lies in, at the bottom of its bases."""
    while isinstance(got, numpy.ndarray):
        got = got.base
    if isinstance(got, memoryview):
        got = got.obj
    return got


def test_large_arrays_are_not_copied(mp):
    inward, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.echo, inward, outward)
    original = numpy.arange(200_000.0)
    inward.put(original)
    got = outward.get()
    assert isinstance(lease_of(got), ringway._ringway.Lease)
    assert got.flags.writeable and got.flags.aligned
    assert got.ctypes.data % 64 == 0
    got += 1  # it is this process's alone
    assert numpy.array_equal(got, original + 1)
    inward.put(None)
    child.join()


def test_read_only_arrays_stay_so(fork):
    queue = fork.Queue()
    original = numpy.arange(100_000)
    original.flags.writeable = False
    queue.put(original)
    got = queue.get()
    assert not got.flags.writeable
    with pytest.raises(ValueError):
        got[0] = 1


def test_an_array_outlives_its_queue(fork):
    queue = fork.Queue()
    queue.put(numpy.arange(100_000))
    got = queue.get()
    queue.close()
    del queue
    gc.collect()
    assert int(got.sum()) == sum(range(100_000))


def test_what_was_sent_does_not_change_later(fork):
    queue = fork.Queue()
    original = numpy.zeros(100_000)
    queue.put(original)
    original += 1
    assert queue.get().sum() == 0


def test_ten_thousand_arrays_dropped_in_any_order(fork):
    queue, random_ = fork.Queue(), random.Random(7)
    held = []
    for number in range(10_000):
        queue.put(numpy.full(9000, number))  # 72 kB: large enough to be lent
        got = queue.get()
        assert got[0] == got[-1] == number
        held.append((number, got))
        while len(held) > 20:
            number, got = held.pop(random_.randrange(len(held)))
            assert (got == number).all()
            del got
    assert isinstance(lease_of(held[0][1]), ringway._ringway.Lease)


def test_more_arrays_held_than_the_queue_has_memory(fork):
    """Whoever holds on to all of it keeps others from putting more there, but `put` does not block, and nothing is lost."""
    queue = fork.Queue(max_bytes=4 << 20)
    count = 40
    for number in range(count):
        queue.put(numpy.full(1 << 17, number, dtype="u1"))
    held = []
    for number in range(count):
        try:
            held.append(queue.get(timeout=0.5))
        except std_queue.Empty:
            break
    # Some are held, the rest waits for them to be let go of.
    assert [int(each[0]) for each in held] == list(range(len(held)))
    assert queue.qsize() == count - len(held)
    next_ = len(held)
    del held
    for number in range(next_, count):
        got = queue.get()
        assert got[0] == got[-1] == number
        del got
    assert nothing_is_left(queue)


def test_object_arrays_in_other_processes(mp):
    inward, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.echo, inward, outward)
    inward.put(numpy.array([work.Plain(1), "x", None] * 1000, dtype=object))
    got = outward.get()
    assert got.dtype == object
    assert got[0] == work.Plain(1)
    inward.put(None)
    child.join()
