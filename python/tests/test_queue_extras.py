"""What `Queue` has beyond the standard library: many at once, bytes, views, loans, an end."""

import gc
import mmap
import queue as std_queue

import pytest

import ringway
import work
from conftest import end, in_thread

Queue = ringway.queues.Queue
JoinableQueue = ringway.queues.JoinableQueue


def test_many_at_once(mp):
    queue = mp.Queue()
    assert queue.put_many(range(300)) == 300
    assert queue.put_many([]) == 0
    got = queue.get_many()
    while len(got) < 300:
        got += queue.get_many()
    assert got == list(range(300))
    with pytest.raises(std_queue.Empty):
        queue.get_many(block=False)
    with pytest.raises(std_queue.Empty):
        queue.get_many(timeout=-1)
    assert queue.get_many(0) == []
    queue.put_many("abcde")
    assert queue.get_many(2) == ["a", "b"]
    assert queue.get_many(max_items=10) == ["c", "d", "e"]
    child = mp.start(work.put_all, queue, 1)
    assert queue.get_many() == [1]
    end(child)


def test_many_into_a_full_one(fork):
    queue = fork.Queue(3)
    with pytest.raises(std_queue.Full) as caught:
        queue.put_many(range(5), False)
    assert caught.value.args == (3,)
    assert queue.get_many() == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        queue.put_many(1 // (1 - number) for number in range(2))
    assert queue.get_many() == [1]


def test_bytes(mp):
    queue = mp.Queue()
    contents = [b"", b"x", b"\0" * 200, b"x" * 100_000]
    for content in contents:
        queue.put_bytes(content)
        queue.put_bytes(bytearray(content))
        queue.put_bytes(memoryview(content))
    for content in contents:
        for _ in range(3):
            assert queue.get_bytes() == content
    queue.put_bytes(memoryview(b"abcdef")[::2])
    assert queue.get_bytes() == b"ace"
    for wrong in ["text", 5, None]:
        with pytest.raises(TypeError, match="bytes-like"):
            queue.put_bytes(wrong)
    with pytest.raises(std_queue.Empty):
        queue.get_bytes(False)
    with pytest.raises(std_queue.Empty):
        queue.get_bytes(timeout=0.01)


def test_messages_that_no_put_made(fork):
    queue = fork.Queue()
    foreign = [
        b"",
        b"\0",
        b"hello",
        b"\x04",
        b"\x04short",
        b"\x08\x04",
        b"\x0b",
        b"\x0b" + b"\xff" * 40,
        b"\xff",
        b"\x06\xff",
    ]
    for content in foreign:
        queue.put_bytes(content)
        with pytest.raises(ringway.ForeignMessage) as caught:
            queue.get()
        assert caught.value.args[1] == content
        assert isinstance(caught.value, ValueError)
    queue.put_bytes(b"\x80garbage")
    with pytest.raises(Exception):  # the unpickler's own
        queue.get()
    queue.put("fine")
    assert queue.get() == "fine"


def test_any_bytes_end_in_an_object_or_an_error(fork):
    """What `put` makes, damaged: never a crash."""
    import random

    random_ = random.Random(3)
    samples = [(1, "two", 3.0, b"four", None), {"key": [1, 2]}, {"flat": 1}, bytearray(5000), [1] * 50]
    for _ in range(20_000):
        content = bytearray(ringway._ringway.dumps(random_.choice(samples)))
        if content[0] == 0x80:
            continue  # a damaged pickle may do anything, as ever
        for _ in range(random_.randrange(1, 4)):
            content[random_.randrange(len(content))] = random_.randrange(256)
        if content[0] in (0x80, 0x0B):
            continue
        try:
            ringway._ringway.loads(bytes(content[: random_.randrange(len(content) + 1)]))
        except (ValueError, TypeError):  # foreign, or a key that cannot be one
            pass


def test_damaged_frames(fork):
    """The head of a message with buffers says where they are; it may say anything."""
    import pickle
    import random

    random_ = random.Random(4)
    good = ringway._ringway.dumps([pickle.PickleBuffer(bytearray(3000)), pickle.PickleBuffer(bytes(2000))])
    assert good[0] == 0x0B
    ends = set()
    for _ in range(5000):
        content = bytearray(good)
        for _ in range(random_.randrange(1, 3)):
            content[random_.randrange(1, 32)] = random_.choice([0, 1, 0x7F, 0x80, 0xFF, random_.randrange(256)])
        try:
            ringway._ringway.loads(bytes(content))
            ends.add("object")
        except ringway.ForeignMessage:
            ends.add("foreign")
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError):
            ends.add("pickle")
    assert "foreign" in ends


def test_views(mp):
    queue = mp.Queue()
    child = mp.start(work.put_all, queue, b"x" * 100_000)
    view = queue.get_view()
    end(child)
    assert isinstance(view, memoryview) and not view.readonly
    assert (len(view), view[0], bytes(view[1:])) == (100_001, 7, b"x" * 100_000)  # a tag in front
    view[1] = 0
    parts = [view[at : at + 1000] for at in range(0, 100_000, 1000)]
    queue.close()
    del queue, view
    gc.collect()
    assert parts[0][1] == 0 and bytes(parts[-1]) == b"x" * 1000
    with pytest.raises(std_queue.Empty):
        mp.Queue().get_view(False)


def test_a_short_view(fork):
    queue = fork.Queue()
    queue.put_bytes(b"short")
    view = queue.get_view()
    queue.put_bytes(b"other")
    queue.put_bytes(b"")
    assert bytes(view) == b"short"
    assert bytes(queue.get_view()) == b"other"
    assert bytes(queue.get_view()) == b""


def test_loans(fork):
    queue = fork.Queue()
    loan = queue.reserve(100_000)
    assert len(loan) == 100_000
    with memoryview(loan) as view:
        view[:] = b"y" * 100_000
        with pytest.raises(BufferError):
            loan.commit()
    assert queue.empty()
    loan.commit()
    assert queue.get_bytes() == b"y" * 100_000
    with pytest.raises(ValueError):
        loan.commit()
    with pytest.raises(BufferError):
        memoryview(loan)

    with queue.reserve(10) as loan, memoryview(loan) as view:
        view[:4] = b"four"
    assert queue.get_bytes()[:4] == b"four"

    loan = queue.reserve(10)
    with memoryview(loan) as view:
        view[:4] = b"four"
    with pytest.raises(ValueError):
        loan.commit(11)
    loan.commit(4)
    assert queue.get_bytes() == b"four"

    with pytest.raises(ZeroDivisionError):
        with queue.reserve(10):
            1 / 0
    queue.reserve(10).release()
    del loan
    queue.reserve(10)  # and dropped
    assert queue.empty()
    loan = queue.reserve(0)
    loan.commit()
    assert queue.get_bytes() == b""


def test_loans_of_a_full_queue(fork):
    """Memory is one thing, a place another: that one is waited for by `commit`, while others run."""
    queue = fork.Queue(1)
    loan = queue.reserve(10)
    queue.put(1)
    for attempt in (
        lambda: loan.commit(block=False),
        lambda: loan.commit(None, True, 0.01),
        lambda: loan.commit(5, timeout=-1),
    ):
        with pytest.raises(std_queue.Full):
            attempt()
    with memoryview(loan) as view:
        view[:5] = b"still"
    thread, outcome = in_thread(loan.commit)
    assert queue.get() == 1
    thread.join()
    assert outcome == [None]
    assert queue.get_bytes() == b"still"


def test_a_loan_outlives_its_queue(fork):
    queue = fork.Queue()
    loan = queue.reserve(100_000)
    queue.close()
    del queue
    gc.collect()
    with memoryview(loan) as view:
        view[99_999] = 1
    loan.commit()


def test_too_large(fork):
    queue = fork.Queue(max_bytes=1 << 20)
    for attempt in (
        lambda: queue.put(b"x" * (2 << 20)),
        lambda: queue.put_bytes(bytes(2 << 20)),
        lambda: queue.put(bytearray(2 << 20)),
        lambda: queue.reserve(2 << 20),
    ):
        with pytest.raises(ValueError, match=r"\d"):
            attempt()
    assert queue.empty()
    queue.put("still usable")
    assert queue.get() == "still usable"


def test_five_gigabytes(fork):
    """Longer than a queue takes: an error that says so, and no attempt to copy it."""
    queue = fork.Queue()
    with mmap.mmap(-1, 5 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as huge:
        with pytest.raises(ValueError, match=r"\d"):
            queue.put_bytes(huge)
        with pytest.raises(ValueError, match=r"\d"):
            queue.reserve(5 << 30)
    assert queue.empty()


@pytest.mark.parametrize("length", [1 << 40, 1 << 62, 2**63 - 1])
def test_absurd_lengths(fork, length):
    with pytest.raises((ValueError, MemoryError, OverflowError)):
        fork.Queue().reserve(length)


def test_a_hundred_megabytes(mp):
    inward, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.echo, inward, outward)
    obj = bytes(range(256)) * (100_000_000 // 256)
    inward.put(obj)
    inward.put(None)
    assert outward.get() == obj
    end(child)


# The end.


def test_shutdown(mp):
    queue, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.iterate, queue, outward)
    queue.put(1)
    queue.put(2)
    queue.shutdown()
    for attempt in (
        lambda: queue.put(3),
        lambda: queue.put_nowait(3),
        lambda: queue.put_many([3]),
        lambda: queue.reserve(5).commit(),
    ):
        with pytest.raises(ringway.ShutDown):
            attempt()
    assert outward.get() == [1, 2]
    end(child)
    for attempt in (queue.get, queue.get_nowait, queue.get_bytes, queue.get_view, queue.get_many):
        with pytest.raises(ringway.ShutDown):
            attempt()
    queue.shutdown()


def test_shutdown_at_once(fork):
    queue = fork.Queue()
    for number in range(3000):
        queue.put(number)
    queue.shutdown(immediate=True)
    with pytest.raises(ringway.ShutDown):
        queue.get()


def test_shutdown_wakes_who_waits(mp):
    queue, full, told = mp.Queue(), mp.Queue(1), mp.Queue()
    full.put(1)
    getter = mp.start(work.tell_error, queue.get, told)
    thread, outcome = in_thread(full.put, 2)
    queue.shutdown()
    full.shutdown()
    assert told.get() == "ShutDown"
    thread.join()
    assert isinstance(outcome[0], ringway.ShutDown)
    end(getter)


def test_the_class_of_shutdown():
    expected = getattr(std_queue, "ShutDown", None)
    assert expected is None or ringway.ShutDown is expected
