"""A program that mypy must accept with `--strict`. In `rejected` each line has a mistake that mypy must find: it complains of
an `ignore` that is not needed. `test_types.py` runs it, too."""

import asyncio
import ctypes
from concurrent.futures import ProcessPoolExecutor
from typing import Any, assert_type

import ringway as mp
from ringway.connection import Connection, wait


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


def square(numbers: mp.Queue[int], squares: mp.Queue[tuple[int, int]]) -> None:
    for number in numbers:
        squares.put((number, assert_type(number, int) ** 2))


def queues() -> None:
    numbers: mp.Queue[int] = mp.Queue(10)
    squares = mp.Queue[tuple[int, int]]()
    worker = mp.Process(target=square, args=(numbers, squares))
    worker.start()
    assert numbers.put_many(range(3)) == 3
    assert assert_type(squares.get(timeout=60), tuple[int, int]) == (0, 0)
    assert_type(squares.get_many(), list[tuple[int, int]])
    numbers.shutdown()
    worker.join()


async def total(numbers: mp.Queue[int]) -> int:
    await numbers.aput(1)
    numbers.shutdown()
    total = 0
    async for number in numbers:
        total += number
    return total


def coroutines() -> None:
    assert asyncio.run(total(mp.Queue())) == 1


def bytes_in_place() -> None:
    frames = mp.Queue[bytes]()
    with frames.reserve(4) as loan, memoryview(loan) as view:
        view[:] = b"abcd"
    assert_type(frames.get_view(), memoryview)
    frames.put_bytes(bytearray(3))
    assert_type(frames.get_bytes(), bytes)


def tasks() -> None:
    tasks = mp.JoinableQueue[str]()
    tasks.put("a")
    assert_type(tasks.get(), str)
    tasks.task_done()
    assert assert_type(tasks.join(timeout=60), bool)
    tasks.join()
    simple = mp.SimpleQueue[float]()
    simple.put(0.5)
    assert_type(simple.get(), float)


def pipes() -> None:
    here, there = mp.Pipe(capacity=1 << 20)
    assert_type(here, Connection[Any, Any])
    here.send({"a": 1})
    assert wait([there], 60) == [there]
    assert there.recv() == {"a": 1}
    asks: Connection[str, int] = here
    asks.send("how many?")


def locks() -> None:
    lock = mp.Lock(raise_if_recovered=True)
    with lock:
        assert_type(lock.recovered, bool)
    changed = mp.Condition()
    with changed:
        changed.notify_all()
        assert_type(changed.wait(0.0), bool)
    assert_type(mp.BoundedSemaphore(2).get_value(), int)
    assert_type(mp.Event().wait(0), bool)
    assert_type(mp.Barrier(1).wait(), int)


def values() -> None:
    count = mp.Value("i", 7)
    assert_type(count.value, int)
    assert_type(count.fetch_add(1), int)
    assert_type(mp.Value("d").value, float)
    assert_type(mp.Value(ctypes.c_uint64).value, int)
    point = mp.Value(Point, 1.0, 2.0)
    point.x += 1
    numbers = mp.Array("d", 8)
    assert_type(numbers[0], float)
    assert_type(numbers[1:3], list[float])
    assert_type(mp.Array("c", 8).value, bytes)
    assert_type(mp.RawArray(ctypes.c_int, 3), ctypes.Array[ctypes.c_int])
    assert_type(mp.RawValue(Point), Point)


def dictionaries() -> None:
    totals = mp.SharedDict[str, int](max_items=10)
    totals["apples"] = 3
    assert_type(totals["apples"], int)
    assert_type(totals.get("pears"), int | None)
    assert assert_type(totals.update("apples", lambda old: old + 1, 0), int) == 4
    totals.update({"pears": 1}, plums=2)
    with totals.lock() as same:
        same["pears"] += 1
    assert totals.copy() == {"apples": 4, "pears": 2, "plums": 2}


def contexts() -> None:
    spawn = mp.get_context("spawn")
    spawn.Queue(3).put(1)
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        assert_type(executor.submit(len, "abc").result(), int)
    with mp.Pool(1) as pool:
        assert_type(pool.map(len, ["a", "bc"]), list[int])


def rejected(numbers: mp.Queue[int], asks: Connection[str, int]) -> None:
    numbers.put("one")  # type: ignore[arg-type]
    numbers.put(1, timeout="soon")  # type: ignore[arg-type]
    numbers.putt(1)  # type: ignore[attr-defined]
    text: str = numbers.get(block=False)  # type: ignore[assignment]
    asks.send(1)  # type: ignore[arg-type]
    mp.Quueue()  # type: ignore[attr-defined]
    mp.Lock(block=True)  # type: ignore[call-arg]
    mp.Condition(mp.Event())  # type: ignore[arg-type]
    mp.Value("i").fetch_add("one")  # type: ignore[arg-type]
    mp.Array("d", 8)[0] = "one"  # type: ignore[call-overload]
    mp.SharedDict[str, int]()["one"] = "two"  # type: ignore[assignment]
    mp.SharedDict[str, int]()[1] = 2  # type: ignore[index]
    mp.JoinableQueue[int]().join("soon")  # type: ignore[call-overload]


if __name__ == "__main__":
    for part in (queues, coroutines, bytes_in_place, tasks, pipes, locks, values, dictionaries, contexts):
        part()
    print("all parts ran")
