"""Objects sent through queues, to processes that run already."""

import gc
import time
import weakref

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


def use_what_comes(inward, told, outward):
    told.wait()
    for obj in iter(inward.get, None):
        use(obj)
        outward.put("used")


def test_what_its_sender_forgets_is_there_for_its_receiver(mp):
    inward, told, outward = mp.Queue(), mp.Event(), mp.Queue()
    child = mp.start(use_what_comes, inward, told, outward)
    for kind in KINDS:
        inward.put(made(mp, kind))
    # Their places are free, as far as this process is concerned, for these.
    gc.collect()
    others = [made(mp, kind) for kind in KINDS]
    told.set()
    for _ in KINDS:
        assert outward.get() == "used"
    inward.put(None)
    end(child)
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
