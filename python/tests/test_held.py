"""Programs that keep whatever they get: what they hold must not keep others from sending."""

import pytest

import ringway
from conftest import end

numpy = pytest.importorskip("numpy")

COUNT = 200


def lies_in_the_queue(array):
    while isinstance(array.base, numpy.ndarray):
        array = array.base
    return isinstance(array.base, ringway._ringway.Lease) or (
        isinstance(array.base, memoryview) and isinstance(array.base.obj, ringway._ringway.Lease)
    )


def send(queue, size):
    for number in range(COUNT):
        queue.put(numpy.full(size, number, dtype="u1"))


@pytest.mark.parametrize("options", [{}, {"maxsize": 4}, {"max_bytes": 8 << 20}], ids=str)
@pytest.mark.parametrize("size", [64 << 10, 100_000, 1 << 20])
def test_arrays_that_are_all_kept(fork, size, options):
    queue = fork.Queue(**options)
    sender = fork.start(send, queue, size)
    kept = [queue.get() for _ in range(COUNT)]
    end(sender)
    assert [int(array[-1]) for array in kept] == [number % 256 for number in range(COUNT)]
    places = [lies_in_the_queue(array) for array in kept]
    assert True in places and False in places
    for array in kept:
        array += 1  # writable, wherever it is


def test_when_they_are_gone_arrays_lie_in_the_queue_again(fork):
    queue = fork.Queue()
    kept = []
    for _ in range(COUNT):
        queue.put(numpy.zeros(100_000))
        kept.append(queue.get())
    assert not lies_in_the_queue(kept[-1])
    kept.clear()
    queue.put(numpy.zeros(100_000))
    assert lies_in_the_queue(queue.get())


@pytest.mark.parametrize("size", [100, 5000, 200_000])
def test_views_that_are_all_kept(fork, size):
    queue = fork.Queue(10)
    kept = []
    for number in range(COUNT):
        queue.put_bytes(bytes([number]) * size)
        kept.append(queue.get_view())
    assert [view[-1] for view in kept] == list(range(COUNT))
    kept[0][0] = kept[-1][0] = 255
