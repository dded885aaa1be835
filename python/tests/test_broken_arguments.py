"""Arguments that nobody should pass, and some that everybody does: as the standard library takes them."""

import multiprocessing
import os
import queue as std_queue
import threading

import pytest

import ringway
from conftest import in_thread, is_asleep

BOTH = [multiprocessing, ringway]


@pytest.fixture(params=BOTH, ids=["standard", "ringway"])
def library(request):
    return request.param


def test_block_as_a_number(library):
    """`get(0)` and `acquire(1)` are usual."""
    queue, lock, recursive = library.Queue(1), library.Lock(), library.RLock()
    with pytest.raises(std_queue.Empty):
        queue.get(0)
    queue.put(5, 1)
    with pytest.raises(std_queue.Full):
        queue.put(6, 0)
    assert queue.get(1) == 5
    assert lock.acquire(1)
    assert not lock.acquire(0)
    lock.release()
    assert recursive.acquire(0) and recursive.acquire(1, 0)


def test_values_of_semaphores(library):
    for make in library.Semaphore, library.BoundedSemaphore:
        assert make(2**31 - 1).get_value() == 2**31 - 1
        for value in 2**31, 2**63, 2**70:
            with pytest.raises(OverflowError):
                make(value)
        with pytest.raises(OSError) as raised:
            make(-1)
        assert raised.value.errno == 22
        for value in "1", 1.5, None:
            with pytest.raises(TypeError):
                make(value)


def test_sizes_of_queues(library):
    for size in 0, -1, -(2**70), 2**31 - 1:
        assert library.Queue(size)._maxsize == 2**31 - 1
    for size in 2**31, 2**70:
        with pytest.raises(OverflowError):
            library.Queue(size)
    for size in "1", 1.5, None:
        with pytest.raises(TypeError):
            library.Queue(size)


def test_offsets_beyond_all_numbers(library):
    left, right = library.Pipe()
    for arguments in [(2**63,), (0, 2**63), (-(2**70),), (4,), (1, 3), (0, -1)]:
        with pytest.raises(ValueError):
            left.send_bytes(b"abc", *arguments)
    left.send_bytes(b"abc")
    assert right.recv_bytes(2**70) == b"abc"
    left.send_bytes(b"abc")
    for offset in 2**70, -1, 6:
        with pytest.raises(ValueError):
            right.recv_bytes_into(bytearray(5), offset)
    with pytest.raises(ValueError):
        right.recv_bytes(-(2**70))
    assert right.recv_bytes() == b"abc"


def test_a_released_view(library):
    left, _right = library.Pipe()
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(ValueError, match="released memoryview"):
        left.send_bytes(view)
    with pytest.raises(TypeError, match="bytes-like object is required, not 'str'"):
        left.send_bytes("abc")


def test_bytes_that_are_no_pickle(library):
    import pickle

    left, right = library.Pipe()
    for garbage in b"garbage", b"\x04abc", b"\x0b\0\0\0", b"\x0babc", b"\x09\x77":
        left.send_bytes(garbage)
        with pytest.raises(pickle.UnpicklingError):
            right.recv()
    left.send_bytes(b"")
    with pytest.raises(EOFError):
        right.recv()
    left.send(1)
    assert right.recv() == 1


def test_bytes_of_all_kinds():
    queue = ringway.Queue()
    for data in b"", bytearray(), memoryview(b""), memoryview(b"abcdef")[::2], memoryview(b"abcd").cast("I"):
        queue.put_bytes(data)
        assert queue.get_bytes() == bytes(data)
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(ValueError, match="released memoryview"):
        queue.put_bytes(view)
    for data in "abc", 3, None, [1]:
        with pytest.raises(TypeError, match="bytes-like object is required"):
            queue.put_bytes(data)
    assert queue.empty()


def test_descriptors_that_are_none():
    for memory, socket in [(-1, -1), (-1, 5), (10**6, 10**6 + 1), (5, 5)]:
        with pytest.raises(OSError):
            ringway._ringway.take_end(memory, socket)
    queue = ringway.queues.Queue.__new__(ringway.queues.Queue)
    for descriptor in -1, -(2**31), 10**6:
        with pytest.raises(OSError):
            queue._adopt(descriptor, 0, False)


def test_a_loan_committed_into_a_full_queue():
    """It waits without the interpreter's lock, and for no longer than it is told to."""
    queue = ringway.Queue(1)
    loan = queue.reserve(3)
    memoryview(loan)[:] = b"abc"
    queue.put("first")
    with pytest.raises(std_queue.Full):
        loan.commit(block=False)
    with pytest.raises(std_queue.Full):
        loan.commit(timeout=0.01)
    with pytest.raises(std_queue.Full):
        loan.commit(None, 0)
    memoryview(loan)[0] = ord("x")  # it is still there

    told = []

    def commit():
        told.append(threading.get_native_id())
        loan.commit()

    thread, outcome = in_thread(commit)
    while not told or not is_asleep(os.getpid(), told[0]):
        pass
    assert queue.get() == "first"
    assert queue.get_bytes() == b"xbc"
    thread.join()
    assert outcome == [None]
    with pytest.raises(ValueError):
        loan.commit()


def test_a_loan_does_not_overtake():
    """What this process has put before is there before, also if it waited in the process's own memory."""
    queue = ringway.Queue()
    loan = queue.reserve(3)
    count = 2000
    for number in range(count):
        queue.put(number)
    assert queue._backlog() > 0
    with pytest.raises(std_queue.Full):
        loan.commit(timeout=0.01)
    thread, _ = in_thread(loan.commit)
    assert [queue.get() for _ in range(count)] == list(range(count))
    assert queue.get_bytes() == bytes(3)
    thread.join()


def test_interrupting_a_put_that_waits_for_its_own_backlog():
    """More than fits into the ring, less than there may be: who then waits runs his signal handlers."""
    import signal

    class Interrupt(Exception):
        pass

    def interrupt(*_):
        raise Interrupt

    queue = ringway.Queue(9000)
    queue.put_many(range(9000))
    assert queue.full() and queue._backlog() > 0
    before = signal.signal(signal.SIGUSR1, interrupt)
    waiting = threading.Event()

    def interrupt_when_asleep():
        waiting.wait()
        while not is_asleep(os.getpid()):
            pass
        os.kill(os.getpid(), signal.SIGUSR1)

    try:
        thread, _ = in_thread(interrupt_when_asleep)
        with pytest.raises(Interrupt):
            waiting.set()
            queue.put("one too many")
    finally:
        signal.signal(signal.SIGUSR1, before)
    thread.join()
    assert [queue.get() for _ in range(9000)] == list(range(9000))
    assert queue.empty()
