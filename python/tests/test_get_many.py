"""`get_many`, when something of what it takes cannot be had."""

import os
from queue import Empty

import pytest

import work

FIRST = "not to be unpickled"


@pytest.fixture(params=["Queue", "JoinableQueue"])
def queue(fork, request):
    return getattr(fork, request.param)()


def test_nothing_that_was_taken_is_lost(queue):
    queue.put_many([1, 2, work.FailsToUnpickle(), 3])
    assert queue.get_many() == [1, 2]
    with pytest.raises(ValueError, match=FIRST):
        queue.get_many()
    assert queue.get_many() == [3]
    with pytest.raises(Empty):
        queue.get_many(block=False)


def test_the_first_says_at_once_what_is_wrong(queue):
    queue.put_many([work.FailsToUnpickle(), 1])
    with pytest.raises(ValueError, match=FIRST):
        queue.get_many()
    assert queue.get_many() == [1]


def test_also_what_was_not_put_by_python(queue):
    queue.put(1)
    queue.put_bytes(b"\xffbytes")
    assert queue.get_many() == [1]
    with pytest.raises(ValueError, match="not put by Python") as raised:
        queue.get_many(block=False)
    assert raised.value.args[1] == b"\xffbytes"


@pytest.mark.parametrize("take", ["get", "get_nowait", "get_bytes", "get_view", "get_many"])
def test_whatever_takes_something_next_raises_it_once(queue, take):
    queue.put_many([1, work.FailsToUnpickle()])
    assert queue.get_many() == [1]
    queue.put("next")
    with pytest.raises(ValueError, match=FIRST):
        getattr(queue, take)()
    assert queue.get() == "next"


def test_a_child_hears_nothing_of_it(queue):
    queue.put_many([1, work.FailsToUnpickle(), 2])
    assert queue.get_many() == [1]
    pid = os.fork()
    if pid == 0:
        os._exit(0 if queue.get() == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with pytest.raises(ValueError, match=FIRST):
        queue.get()


def test_most_of_them(queue):
    """One that fails after as many as were asked for is still in the queue."""
    queue.put_many([1, 2, work.FailsToUnpickle()])
    assert queue.get_many(2) == [1, 2]
    assert queue.qsize() == 1
    with pytest.raises(ValueError, match=FIRST):
        queue.get_many(2)
