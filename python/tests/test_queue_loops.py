"""Queues in coroutines, event loops, selectors and plain loops."""

import asyncio
import selectors

import pytest

import ringway
import work
from conftest import end

Queue = ringway.queues.Queue


def test_coroutines(mp):
    inward, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.echo, inward, outward)

    async def talk():
        for number in range(300):
            await inward.aput(number)
            assert await outward.aget() == number
        await inward.aput(None)

    asyncio.run(talk())
    end(child)


def test_many_coroutines_wait_for_one_queue(mp):
    queue = mp.Queue()

    async def main():
        getters = [asyncio.create_task(queue.aget()) for _ in range(20)]
        await asyncio.sleep(0)
        child = mp.start(work.put_numbered, queue, "child", 20)
        got = await asyncio.gather(*getters)
        end(child)
        return sorted(number for _, number, _ in got)

    assert asyncio.run(main()) == list(range(20))
    assert ringway.queues._waiting == {}


def test_a_coroutine_that_gives_up_takes_nothing(fork):
    queue = fork.Queue()

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(queue.aget(), 0.05)
        first, second = asyncio.create_task(queue.aget()), asyncio.create_task(queue.aget())
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0)
        queue.put("for the second")
        assert await second == "for the second"
        queue.put("next")
        assert await queue.aget() == "next"

    asyncio.run(main())
    assert ringway.queues._waiting == {}


def test_a_cancelled_waiter_hands_its_wakeup_on(fork):
    """The one that was woken is cancelled before it runs: another must get the message."""
    queue = fork.Queue()

    async def main():
        tasks = [asyncio.create_task(queue.aget()) for _ in range(2)]
        await asyncio.sleep(0.01)
        queue.put("once")
        loop = asyncio.get_running_loop()
        while not any(task._fut_waiter is not None and task._fut_waiter.done() for task in tasks):
            await asyncio.sleep(0)
        woken = next(task for task in tasks if task._fut_waiter is not None and task._fut_waiter.done())
        woken.cancel()
        other = next(task for task in tasks if task is not woken)
        assert await other == "once"
        assert loop is asyncio.get_running_loop()

    try:
        asyncio.run(main())
    except AttributeError:
        pytest.skip("this Python's tasks do not say what they wait for")


def test_async_for(mp):
    queue = mp.Queue()
    child = mp.start(work.put_and_shut_down, queue, 1, 2, 3)

    async def main():
        return [obj async for obj in queue]

    assert asyncio.run(main()) == [1, 2, 3]
    end(child)


def test_aput_waits_for_room(fork):
    queue = fork.Queue(1)

    async def main():
        await queue.aput(1)
        task = asyncio.create_task(queue.aput(2))
        await asyncio.sleep(0.05)
        assert not task.done()
        assert await queue.aget() == 1
        await task
        assert await queue.aget() == 2

    asyncio.run(main())


def test_in_a_plain_for(mp):
    queue = mp.Queue()
    child = mp.start(work.put_and_shut_down, queue, 1, 2)
    assert list(queue) == [1, 2]
    end(child)


def test_its_descriptor_is_readable_while_there_is_something(mp):
    queue = mp.Queue()
    with selectors.DefaultSelector() as selector:
        selector.register(queue, selectors.EVENT_READ)
        assert selector.select(0) == []
        child = mp.start(work.put_all, queue, 1, 2)
        assert selector.select()
        assert queue.get() == 1
        assert selector.select()
        assert queue.get() == 2
        end(child)
    assert queue.fileno() == queue.fileno()


def test_the_standard_wait(mp):
    from multiprocessing.connection import wait

    one, two = mp.Queue(), mp.Queue()
    assert wait([one._reader, two._reader], 0) == []
    child = mp.start(work.put_all, two, "here")
    assert wait([one._reader, two._reader]) == [two]
    assert two.get() == "here"
    end(child)


def test_no_one_is_needed_to_put(fork):
    """The last other process is gone: messages wait for the next."""
    queue = fork.Queue()
    fork.run(work.nothing)
    reader = fork.start(work.get_for_ever, queue, started := fork.Event())
    started.wait()
    reader.kill()
    reader.join()
    for number in range(1000):
        queue.put(number)
    assert [queue.get() for _ in range(1000)] == list(range(1000))
