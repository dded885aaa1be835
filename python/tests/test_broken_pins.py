"""What is held for forked children goes when they end, whatever their parent does meanwhile, or does not do."""

import asyncio
import os
import queue as standard
import threading

import pytest

import ringway
from conftest import end
from test_broken_forks import LARGE, ended_well, forked, is_full_of, pipes, received


def test_forks_that_receive_nothing_meanwhile_need_no_descriptor_each():
    queue = ringway.Queue()
    view = received(queue, 7)
    before = pipes()
    for _ in range(30):
        assert ended_well(forked(lambda: is_full_of(view, 7) or os._exit(2)))
    assert pipes() <= before + 1


class Pinned:
    """A queue half of whose memory is held for a child, and for nobody else."""

    def __init__(self, queue):
        queue.put_bytes(bytes(2 * LARGE))
        view = queue.get_view()
        self.ends = os.pipe()
        self.child = forked(lambda: os.read(self.ends[0], 1))
        del view

    def end(self):
        os.write(self.ends[1], b"x")
        assert ended_well(self.child)
        for each in self.ends:
            os.close(each)


def put_when_told(queue, reader):
    os.read(reader, 1)
    # More than there is while half is held.
    queue.put_bytes(bytes(3 * LARGE))


@pytest.fixture
def sender(fork):
    """A queue, and what has another process put more than half of its memory into it."""
    queue = fork.Queue(max_bytes=4 * LARGE)
    reader, writer = os.pipe()
    child = fork.start(put_when_told, queue, reader)
    yield queue, lambda: os.write(writer, b"x")
    end(child)
    os.close(reader)
    os.close(writer)


def test_who_only_looks_lets_go_too(sender):
    queue, tell = sender
    pinned = Pinned(queue)
    tell()
    pinned.end()
    while True:
        try:
            assert len(queue.get_bytes(False)) == 3 * LARGE
            return
        except standard.Empty:
            os.sched_yield()


def test_who_waits_since_before_the_fork_lets_go_too(sender):
    queue, tell = sender
    got, ready = [], threading.Event()

    def receive():
        got.append(queue.get_bytes())
        ready.set()
        got.append(queue.get_bytes())

    queue.put_bytes(bytes(2 * LARGE))
    view = queue.get_view()
    thread = threading.Thread(target=receive)
    thread.start()
    queue.put_bytes(b"first")
    ready.wait()
    reader, writer = os.pipe()
    child = forked(lambda: os.read(reader, 1))
    del view
    tell()
    os.write(writer, b"x")
    assert ended_well(child)
    thread.join()
    assert [len(each) for each in got] == [5, 3 * LARGE]
    os.close(reader)
    os.close(writer)


def test_a_coroutine_that_waits_lets_go_too(sender):
    queue, tell = sender

    async def receive():
        pinned = Pinned(queue)
        task = asyncio.ensure_future(queue.aget())
        await asyncio.sleep(0)  # it waits
        tell()
        pinned.end()
        await task

    # These are bytes that nobody pickled; but they came.
    with pytest.raises(ringway.ForeignMessage):
        asyncio.run(receive())


def test_what_waits_in_the_parent_itself_is_sent():
    queue = ringway.Queue(max_bytes=4 * LARGE)
    pinned = Pinned(queue)
    queue.put_bytes(bytes(3 * LARGE))
    pinned.end()
    queue.close()
    queue.join_thread()


@pytest.mark.parametrize("block", [True, False])
def test_and_so_is_what_has_a_place_only_later(block):
    """A queue of few places, that waits for memory and not for a place."""
    queue = ringway.Queue(1, max_bytes=4 * LARGE)
    pinned = Pinned(queue)
    queue.put_bytes(bytes(3 * LARGE))
    outcome = []

    def put():
        while True:
            try:
                return outcome.append(queue.put_bytes(b"second", block))
            except standard.Full:
                os.sched_yield()

    thread = threading.Thread(target=put)
    thread.start()
    pinned.end()
    assert len(queue.get_bytes()) == 3 * LARGE
    thread.join()
    assert queue.get_bytes() == b"second"


class Broken:
    def __reduce__(self):
        return int, ("no number",)


def test_a_shutdown_at_once_leaves_nothing_behind_an_error():
    """Of an object that could not be made, which nobody has heard of yet."""
    queue = ringway.Queue()
    queue.put_many([1, Broken(), 2, 3])
    assert queue.get_many() == [1]
    queue.shutdown(immediate=True)
    with pytest.raises(ringway.ShutDown):
        queue.get(False)
