"""The standard library's pools, unmodified, on this package's contexts."""

import concurrent.futures
import importlib
import multiprocessing.pool
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

import ringway
import work


@pytest.fixture(params=["ours", "standard"])
def pool(request, mp):
    """`Pool` of the context, and the standard class on it."""
    make = mp.Pool if request.param == "ours" else lambda count: multiprocessing.pool.Pool(count, context=mp.context)
    with make(2) as pool:
        yield pool


def test_a_pool(pool):
    assert pool.map(work.square, range(100)) == [number * number for number in range(100)]
    assert pool.apply(work.square, (7,)) == 49
    assert list(pool.imap(work.square, range(20), 3)) == [number * number for number in range(20)]
    assert sorted(pool.imap_unordered(work.square, range(20))) == sorted(number * number for number in range(20))
    assert pool.starmap(divmod, [(7, 2), (9, 4)]) == [(3, 1), (2, 1)]
    with pytest.raises(ValueError, match="no"):
        pool.apply(work.fail, ("no",))
    with pytest.raises(ringway.TimeoutError):
        pool.apply_async(work.napping, (30,)).get(0.05)


def test_large_results(pool):
    assert pool.map(work.identity, [b"x" * 3_000_000] * 3) == [b"x" * 3_000_000] * 3


def test_workers_are_replaced(mp):
    with mp.Pool(2, maxtasksperchild=3) as pool:
        pids = pool.map(work.own_pid, range(40), chunksize=1)
        assert len(set(pids)) >= 40 // 2 // 3
        pool.close()
        pool.join()


def a_living_worker(pool):
    """One of them; while all are just being replaced, the next one that comes."""
    while True:
        for worker in list(pool._pool):
            if worker.is_alive():
                return worker
        time.sleep(0.001)


def test_a_pool_goes_on_when_a_worker_is_killed(mp):
    """The task it had is lost, in the standard library too; the others are done. There the pool may hang for ever."""
    with mp.Pool(2) as pool:
        pool.map(work.square, range(4))
        for _ in range(4):
            victim = a_living_worker(pool)
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            assert pool.map(work.square, range(100)) == [number * number for number in range(100)]


def test_an_executor(mp):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=mp.context) as executor:
        assert list(executor.map(work.square, range(100))) == [number * number for number in range(100)]
        assert list(executor.map(work.square, range(100), chunksize=7)) == [number * number for number in range(100)]
        assert executor.submit(work.identity, b"x" * 3_000_000).result() == b"x" * 3_000_000
        with pytest.raises(ValueError, match="no"):
            executor.submit(work.fail, "no").result()
        with pytest.raises(Exception, match="pickle"):
            executor.submit(lambda: 0).result()
        assert executor.submit(work.square, 3).result() == 9


def test_an_executor_whose_worker_dies(mp):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=mp.context) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(work.die).result()
        with pytest.raises(BrokenProcessPool):
            executor.submit(work.square, 2).result()


@pytest.mark.parametrize(
    "name",
    "dummy forkserver heap process reduction resource_sharer resource_tracker shared_memory spawn util".split(),
)
def test_submodules_that_are_the_standard_librarys(name):
    ours = importlib.import_module(f"ringway.{name}")
    assert ours is importlib.import_module(f"multiprocessing.{name}") is getattr(ringway, name)
