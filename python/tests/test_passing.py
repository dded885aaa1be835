"""Objects sent through queues, to processes that run already."""

import gc
import os
import time
import weakref

from queue import Full

import pytest

import ringway
import work
from conftest import end

KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event", "Condition", "Barrier", "Value", "Array", "RawValue"]


@pytest.fixture(autouse=True)
def passing():
    ringway.allow_passing()
    yield
    ringway.allow_passing(False)


def made(mp, kind):
    arguments = {"Barrier": (1,), "Value": ("i", 7), "RawValue": ("i", 7), "Array": ("i", [7, 7])}
    return getattr(mp, kind)(*arguments.get(kind, ()))


def use(obj):
    """Works only if it is there."""
    if hasattr(obj, "acquire"):
        obj.acquire()
        obj.release()
    if hasattr(obj, "is_set"):
        obj.set()
        assert obj.is_set()
    if hasattr(obj, "parties"):
        assert obj.wait() == 0
    if hasattr(obj, "value"):
        assert obj.value == 7
    if hasattr(obj, "__len__"):
        assert list(obj) == [7, 7]


def test_what_its_sender_forgets_is_there_for_its_receiver(mp):
    """The sender has never forked: what such a one forgets is gone at once."""
    queue, sent, done = mp.Queue(), mp.Event(), mp.Event()
    child = mp.start(put_and_forget, queue, sent, done)
    sent.wait()
    for kind in KINDS:
        use(queue.get())
    done.set()
    end(child)


def put_and_forget(queue, sent, done):
    ringway.allow_passing()
    for kind in KINDS:
        queue.put(made(ringway, kind))
    gc.collect()
    # Their places are free, as far as this process is concerned, for these.
    others = [made(ringway, kind) for kind in KINDS]
    sent.set()
    done.wait()
    for each in others:
        use(each)


@pytest.mark.parametrize("kind", ["Lock", "Event", "Condition"])
def test_and_goes_when_it_was_received(fork, kind):
    queue, obj = fork.Queue(), made(fork, kind)
    gone = weakref.ref(obj)
    queue.put(obj)
    del obj
    gc.collect()
    assert gone() is not None
    got = queue.get()
    while gone() is not None:
        time.sleep(0.01)
    use(got)


@pytest.mark.parametrize("kind", ["Lock", "Queue", "Value"])
def test_but_not_if_its_sender_has_ended(mp, kind):
    queue = mp.Queue()
    mp.run(work.put_made, queue, kind)
    with pytest.raises(ConnectionError, match="the process that sent it has ended"):
        queue.get()
    queue.put("next")
    assert queue.get() == "next"


def test_a_full_queue_refuses_before_it_pickles(mp):
    queue = mp.Queue(1)
    queue.put(1)
    near, _far = mp.Pipe()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        with pytest.raises(Full):
            queue.put_nowait(near)
    assert len(os.listdir("/proc/self/fd")) == before
    assert queue.get() == 1
