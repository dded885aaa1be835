"""Who holds the lock of a `SharedDict`, who waits for it, and who is killed while it changes something."""

import os
import random
import signal
import subprocess
import sys
import threading

import pytest

import dict_work as work
import ringway
from conftest import end, in_thread, is_asleep, kill


def test_others_wait_for_a_section(fork):
    shared, is_held, let_go = fork.SharedDict(), fork.Event(), fork.Event()
    shared["k"] = 0
    child = fork.start(work.hold, shared, is_held, let_go)
    is_held.wait()
    thread, outcome = in_thread(shared.__setitem__, "k", 1)
    waiter, waited = in_thread(lambda: shared.update("k", lambda old: old))
    while not (is_asleep(os.getpid(), thread.native_id) and is_asleep(os.getpid(), waiter.native_id)):
        pass
    # Readers do not wait.
    assert shared["k"] == 0 and len(shared) == 1 and shared.copy() == {"k": 0} and list(shared) == ["k"]
    with pytest.raises(TimeoutError):
        with shared.lock(timeout=0):
            pass
    with pytest.raises(TimeoutError):
        with shared.lock(timeout=0.01):
            pass
    assert outcome == waited == []
    let_go.set()
    thread.join()
    waiter.join()
    assert outcome == [None] and waited in ([0], [1]) and shared["k"] in (0, 1)
    end(child)


def test_a_thread_that_waits_lets_the_others_run():
    shared, is_held = ringway.SharedDict(), threading.Event()
    let_go = threading.Event()

    def hold():
        with shared.lock():
            is_held.set()
            let_go.wait()
            shared["k"] = "from inside"

    holder, _ = in_thread(hold)
    is_held.wait()
    writer, outcome = in_thread(shared.__setitem__, "k", "from outside")
    while not is_asleep(os.getpid(), writer.native_id):
        pass
    let_go.set()
    holder.join()
    writer.join()
    assert outcome == [None] and shared["k"] == "from outside"


def test_a_section_belongs_to_its_thread():
    shared = ringway.SharedDict()
    section, inner = shared.lock(), shared.lock()
    assert section.__enter__() is shared
    inner.__enter__()
    thread, outcome = in_thread(section.__exit__, None, None, None)
    thread.join()
    assert isinstance(outcome[0], RuntimeError)
    section.__exit__(None, None, None)
    thread, outcome = in_thread(shared.lock(0).__enter__)
    thread.join()
    assert isinstance(outcome[0], TimeoutError), "it was taken twice"
    inner.__exit__(None, None, None)
    with pytest.raises(RuntimeError):
        inner.__exit__(None, None, None)
    thread, outcome = in_thread(shared.__setitem__, "k", 1)
    thread.join()
    assert outcome == [None]


def test_a_section_ends_with_an_error():
    shared = ringway.SharedDict()
    with pytest.raises(ZeroDivisionError):
        with shared.lock():
            shared["k"] = 1
            1 // 0
    thread, outcome = in_thread(shared.get, "k")
    thread.join()
    assert outcome == [1]
    with shared.lock(timeout=0):
        pass


def test_a_thread_that_ends_inside_leaves_the_lock():
    shared = ringway.SharedDict()
    thread, _ = in_thread(shared.lock().__enter__)
    thread.join()
    shared["k"] = 1
    assert shared.recovered


def test_a_child_forked_inside_has_no_lock(fork):
    shared = fork.SharedDict()
    with shared.lock():
        child = fork.start(work.set_item, shared, "child", 1)
        while not is_asleep(child.pid):
            assert child.is_alive()
        assert "child" not in shared
        shared["parent"] = 1
    end(child)
    assert list(shared) == ["parent", "child"]


@pytest.mark.parametrize("by_key", [False, True], ids=["section", "update"])
def test_a_process_killed_inside_blocks_nobody(mp, by_key):
    shared = mp.SharedDict()
    shared["k"] = "old"
    child = mp.start(work.die_in_update, shared, "k") if by_key else mp.start(work.die_inside, shared)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not shared.recovered
    with shared.lock():
        assert shared.recovered
        assert shared == ({"k": "old"} if by_key else {"k": "old", "half": "done"})
        shared.recovered = False
    shared["k"] = "new"
    assert not shared.recovered and shared["k"] == "new"


@pytest.mark.parametrize("wait", ["shared['k'] = 1", "shared.lock().__enter__()", "shared.update('k', len, 0)"])
def test_a_thread_that_waits_keeps_no_process_from_ending(wait):
    program = f"""
import os, threading, ringway

def wait():
    shared.get("k")
    {wait}

shared = ringway.SharedDict()
shared.lock().__enter__()
thread = threading.Thread(target=wait, daemon=True)
thread.start()
while open(f"/proc/self/task/{{thread.native_id}}/stat").read().rpartition(")")[2].split()[0] != "S":
    pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Signals.


def test_an_interrupt_ends_the_wait_and_takes_nothing(fork):
    shared, is_held, let_go = fork.SharedDict(), fork.Event(), fork.Event()
    child = fork.start(work.hold, shared, is_held, let_go)
    is_held.wait()

    def interrupt_when_asleep(waiting):
        waiting.wait()
        while not is_asleep(os.getpid()):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    for wait in (
        lambda: shared.__setitem__("k", 1),
        lambda: shared.lock().__enter__(),
        lambda: shared.update("k", len, 0),
        lambda: shared.update({n: n for n in range(1000)}),
        shared.popitem,
    ):
        thread, _ = in_thread(interrupt_when_asleep, waiting := threading.Event())
        with pytest.raises(KeyboardInterrupt):
            waiting.set()
            wait()
        thread.join()
    let_go.set()
    end(child)
    assert len(shared) == 0
    thread, outcome = in_thread(shared.__setitem__, "k", 1)
    thread.join()
    assert outcome == [None]


def test_a_handler_that_returns_lets_the_wait_go_on(fork):
    shared, is_held, let_go = fork.SharedDict(), fork.Event(), fork.Event()
    child = fork.start(work.hold, shared, is_held, let_go)
    is_held.wait()
    handled = []

    def handler(*_):
        handled.append(shared.get("k"))  # may use it, too
        let_go.set()

    def interrupt_when_asleep():
        while not is_asleep(os.getpid()):
            pass
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        thread, _ = in_thread(interrupt_when_asleep)
        shared["k"] = 1
    finally:
        signal.signal(signal.SIGUSR1, before)
    thread.join()
    end(child)
    assert handled == [None] and shared["k"] == 1


# Kills.


def test_writers_killed_at_random_tear_nothing_and_block_nobody(mp):
    shared = mp.SharedDict(64, 100_000)
    rng = random.Random(11)
    seeds = iter(range(10_000))
    writers = [mp.start(work.write_until_killed, shared, next(seeds)) for _ in range(4)]
    kills = {"fork": 40, "spawn": 10, "forkserver": 20}[mp.method]
    whole = 0
    for _ in range(kills):
        # Stopped ones are in nobody's way when one reads, wherever it was.
        stopped = rng.sample(writers, rng.randrange(5))
        for _ in range(rng.randrange(20)):
            whole += sum(map(work.is_whole, shared.values()))
        for writer in stopped:
            os.kill(writer.pid, signal.SIGSTOP)
        for _ in range(5):
            items = shared.copy()
            assert len(items) <= 64
            for key, value in items.items():
                assert work.is_whole(value)
                found = shared.get(key)
                assert found is None or work.is_whole(found)
                whole += 1
        for writer in stopped:
            os.kill(writer.pid, signal.SIGCONT)
        victim = rng.randrange(4)
        kill(writers[victim])
        try:
            shared["alive"] = work.whole(rng)
        except MemoryError:  # the others have filled it
            shared.clear()
        writers[victim] = mp.start(work.write_until_killed, shared, next(seeds))
    for writer in writers:
        kill(writer)
    assert whole > 0
    # As good as new.
    shared.clear()
    assert shared.used_bytes() == 0
    shared.update({n: b"x" * 1500 for n in range(64)})
    assert len(shared) == 64
