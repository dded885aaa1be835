"""`SimpleQueue`, alone and in the pools of the standard library."""

import concurrent.futures
import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import types
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection as std
from multiprocessing import pool

import pytest
from pipe_helpers import ctx, is_asleep, open_files, running, until, watchdog  # noqa: F401

from ringway.connection import Pipe
from ringway.simple_queue import SimpleQueue

# Threads that know nothing of each other's locks are no danger to a child.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def with_our_queues(method):
    """A context of the standard library, but for its pipes and simple queues."""
    context = multiprocessing.get_context(method)

    class Context(type(context)):
        def SimpleQueue(self):
            return SimpleQueue(ctx=self.get_context())

        def Pipe(self, duplex=True):
            return Pipe(duplex)

    return Context()


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def ours(request):
    return with_our_queues(request.param)


def outcome(call, *args, **keywords):
    try:
        return call(*args, **keywords)
    except Exception as error:
        return type(error), error.args


def facts(make_queue):
    q = make_queue()
    yield {name for name in dir(q) if not name.startswith("_")}
    yield outcome(q.put, lambda: 0)[0]
    yield q.empty()
    yield q.put(1), q.put(None), q.empty(), q.get(), q.get(), q.empty()
    yield q._reader.readable, q._reader.writable, q._writer.readable, q._writer.writable
    q._writer.send([5])
    yield q._reader.poll(), q._poll(), q.get()
    q.put("x")
    yield q._reader.recv()
    with q._rlock, q._wlock:
        yield q._rlock.acquire(), q._rlock.release()
    yield outcome(pickle.dumps, q)
    yield q.close(), q.close(), q._reader.closed, q._writer.closed
    yield outcome(q.put, 1), outcome(q.get), outcome(q.empty), outcome(q.put, lambda: 0)[0]


def test_every_fact_is_that_of_the_standard_library(monkeypatch):
    std_context = multiprocessing.get_context("fork")

    def standard():
        q = std_context.SimpleQueue()
        q._rlock = q._wlock = contextlib.nullcontext()
        q._rlock.acquire, q._rlock.release = lambda: True, lambda: None
        return q

    ours, theirs = list(facts(SimpleQueue)), list(facts(standard))
    # What cannot be pickled is not, whether the queue is closed or not; the standard library looks at it first.
    assert theirs[-1][-1] != ours[-1][-1]
    theirs[-1] = ours[-1] = theirs[-1][:-1]
    for number, (our, their) in enumerate(zip(ours, theirs)):
        assert our == their, number
    assert len(ours) == len(theirs)


def test_it_looks_like_one():
    q = SimpleQueue(ctx=multiprocessing.get_context())
    assert type(q).__name__ == "SimpleQueue"
    assert SimpleQueue[int] == types.GenericAlias(SimpleQueue, (int,))
    for arguments in (5,), (None,):
        with pytest.raises(TypeError):
            SimpleQueue(*arguments)
    with pytest.raises(TypeError):
        SimpleQueue(maxsize=5)
    with pytest.raises(RuntimeError):
        SimpleQueue.__new__(SimpleQueue).put(1)


class Named(SimpleQueue):
    def __init__(self, name):
        super().__init__()
        self.name = name


def reply(q, back):
    back.put((q.name, type(q).__name__, q.get()))


def test_subclasses_travel_with_their_attributes(ctx):
    q, back = Named("work"), Named("answers")
    with running(ctx, reply, q, back):
        q.put("question")
        assert back.get() == ("work", "Named", "question")


def work(tasks, results):
    while (task := tasks.get()) is not None:
        results.put((os.getpid(), task * task))


def test_workers_share_it(ctx):
    tasks, results = SimpleQueue(), SimpleQueue()
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(running(ctx, work, tasks, results))
        feeder = threading.Thread(target=lambda: [tasks.put(number) for number in [*range(3000), None, None, None]])
        feeder.start()
        got = [results.get() for _ in range(3000)]
        feeder.join()
    assert sorted(square for _, square in got) == [number * number for number in range(3000)]


def get_for_ever(q, ready):
    ready.send(None)
    while True:
        q.get()


def put_for_ever(q, ready):
    ready.send(None)
    while True:
        q.put(bytes(200_000))


@pytest.mark.parametrize("target", [get_for_ever, put_for_ever])
def test_killed_processes_keep_nobody_waiting(ctx, target):
    q = SimpleQueue()
    ready, tell = std.Pipe(False)
    for number in range(4):
        with running(ctx, target, q, tell) as process:
            ready.recv()
            if target is get_for_ever:
                for _ in range(number * 50):
                    q.put(bytes(70_000))
            else:
                for _ in range(number):
                    assert q.get() == bytes(200_000)
            process.kill()
        # Whatever it was about.
        feeder = threading.Thread(target=q.put, args=(("still", number),))
        feeder.start()
        while (got := q.get()) != ("still", number):
            assert got == bytes(200_000) or got == bytes(70_000)
        feeder.join()


def test_closing_ends_the_calls_of_other_threads():
    q = SimpleQueue()
    raised, tids = [], []

    def get():
        tids.append(threading.get_native_id())
        try:
            q.get()
        except OSError as error:
            raised.append(str(error))

    thread = threading.Thread(target=get)
    thread.start()
    until(lambda: tids and is_asleep(tids[0]))
    q.close()
    thread.join()
    assert raised == ["handle is closed"]


def test_queues_that_come_and_go_leave_nothing_behind():
    def use():
        q = SimpleQueue()
        q.put(1)
        q.get()

    use()
    gc.collect()
    files = open_files()
    for _ in range(1000):
        use()
    gc.collect()
    assert open_files() <= files


# --- the pools of the standard library ---------------------------------------------------------------------------------


def square(number):
    return number * number


def fail(number):
    raise ValueError(number)


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_pools_run_on_it(ours):
    with pool.Pool(3, context=ours) as workers:
        assert type(workers._inqueue) is SimpleQueue
        assert workers.map(square, range(500)) == [square(number) for number in range(500)]
        assert sorted(workers.imap_unordered(square, range(50))) == sorted(square(number) for number in range(50))
        with pytest.raises(ValueError):
            workers.apply(fail, (5,))
        assert [len(text) for text in workers.map(str.encode, ["x" * 300_000] * 3)] == [300_000] * 3
        workers.close()
        workers.join()


def test_pools_are_terminated_in_the_middle_of_work(ours):
    with pool.Pool(2, context=ours) as workers:
        results = workers.imap_unordered(square, range(100_000))
        assert next(results) is not None
    workers.join()


def test_pools_that_replace_their_workers(ours):
    with pool.Pool(2, maxtasksperchild=5, context=ours) as workers:
        assert workers.map(square, range(60), chunksize=1) == [square(number) for number in range(60)]
        workers.close()
        workers.join()


def test_executors_run_on_it(ours):
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=ours) as executor:
        assert list(executor.map(square, range(500), chunksize=7)) == [square(number) for number in range(500)]
        futures = [executor.submit(square, number) for number in range(100)]
        assert [future.result() for future in futures] == [square(number) for number in range(100)]
        with pytest.raises(ValueError):
            executor.submit(fail, 5).result()
        assert type(executor._result_queue) is SimpleQueue


def test_executors_notice_that_a_worker_died(ours):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=ours) as executor:
        assert executor.submit(square, 3).result() == 9
        with pytest.raises(BrokenProcessPool):
            executor.submit(die, 5).result()
