"""Forks by `os.fork`, and what a process has in its hands when it forks."""

import os
import subprocess
import sys
import threading

import pytest

import ringway
from conftest import end

LARGE = 1 << 20


def forked(function):
    """Calls it in a child of `os.fork`, which ends at once. Returns the child's number."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return pid


def pipes():
    """How many ends of pipes are open here."""
    count = 0
    for each in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{each}").startswith("pipe:")
        except FileNotFoundError:
            pass  # the directory's own
    return count


def ended_well(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def received(queue, number):
    """A view of memory that is received where it lies, full of that number."""
    queue.put_bytes(bytes([number]) * LARGE)
    return queue.get_view()


def is_full_of(view, number):
    return bytes(view) == bytes([number]) * LARGE


def overwrite(queue):
    """Uses all of the queue's memory that is free."""
    views = [received(queue, 255) for _ in range(20)]
    del views


def test_what_a_child_has_stays_when_its_parent_drops_it():
    queue = ringway.Queue()
    view = received(queue, 7)
    reader, writer = os.pipe()

    def look():
        os.read(reader, 1)
        assert is_full_of(view, 7)

    child = forked(look)
    del view
    overwrite(queue)
    os.write(writer, b"x")
    assert ended_well(child)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("ends", [True, False], ids=["by its end", "by dropping it"])
def test_and_comes_back_when_the_child_has_dropped_it(ends):
    queue = ringway.Queue(max_bytes=4 * LARGE)
    views = [received(queue, number) for number in range(3)]
    before = pipes()
    told, tell = os.pipe()
    done, finish = os.pipe()

    def drop():
        if not ends:
            views.clear()
            os.write(tell, b"x")
            os.read(done, 1)

    child = forked(drop)
    views.clear()
    if ends:
        assert ended_well(child)
    else:
        os.read(told, 1)
    # All of it, at once.
    again = [received(queue, 100 + number) for number in range(3)]
    assert all(is_full_of(view, 100 + number) for number, view in enumerate(again))
    if not ends:
        os.write(finish, b"x")
        assert ended_well(child)
    for each in told, tell, done, finish:
        os.close(each)
    del again
    received(queue, 1)
    assert pipes() <= before


def test_a_grandchild_has_it_too():
    """Its parent may have ended meanwhile."""
    queue = ringway.Queue()
    view = received(queue, 7)
    reader, writer = os.pipe()
    told, tell = os.pipe()

    def look():
        os.read(reader, 1)
        os.write(tell, b"y" if is_full_of(view, 7) else b"n")

    assert ended_well(forked(lambda: forked(look)))
    del view
    overwrite(queue)
    os.write(writer, b"x")
    assert os.read(told, 1) == b"y"
    for each in reader, writer, told, tell:
        os.close(each)


def test_a_child_uses_the_queue_while_it_has_what_its_parent_had():
    queue, back = ringway.Queue(), ringway.Queue()
    view = received(queue, 7)

    def echo():
        for _ in range(50):
            mine = queue.get_view()
            back.put_bytes(mine)
            assert is_full_of(view, 7)

    child = forked(echo)
    for number in range(50):
        queue.put_bytes(bytes([number]) * LARGE)
        assert is_full_of(back.get_view(), number)
    assert ended_well(child)
    assert is_full_of(view, 7)


def test_forks_of_several_threads_at_once():
    queue = ringway.Queue()
    view = received(queue, 7)
    before = pipes()

    def fork_some():
        for _ in range(10):
            assert ended_well(forked(lambda: is_full_of(view, 7) or os._exit(2)))

    threads = [threading.Thread(target=fork_some) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    received(queue, 1)
    assert pipes() <= before


def test_a_loan_is_its_own_processs():
    queue = ringway.Queue()
    loan = queue.reserve(3)

    def commit():
        with pytest.raises(BufferError):
            memoryview(loan)
        with pytest.raises(OSError):
            loan.commit()

    assert ended_well(forked(commit))
    memoryview(loan)[:] = b"abc"
    loan.commit()
    assert queue.get_bytes() == b"abc"
    assert queue.empty()


def run(program):
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=here)


def test_a_plain_fork_sends_all_before_it_ends():
    """Also what waits in its own memory, as other programs do."""
    ended = run(
        "import os, sys, ringway\n"
        "from conftest import is_asleep\n"
        "queue, put = ringway.Queue(), ringway.Event()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    for number in range(5000):\n"
        "        queue.put(number)\n"
        "    put.set()\n"
        "    sys.exit()\n"
        "put.wait()\n"
        "while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and not is_asleep(child):\n"
        "    os.sched_yield()\n"
        "print([queue.get(timeout=20) for _ in range(5000)] == list(range(5000)), queue.empty())\n"
        "os.wait()\n"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True True\n", "")


def test_a_plain_fork_leaves_a_lock_to_others():
    """It ends in good order, so the lock stays held."""
    ended = run(
        "import os, sys, ringway\n"
        "lock = ringway.Lock()\n"
        "if os.fork() == 0:\n"
        "    lock.acquire()\n"
        "    sys.exit()\n"
        "os.wait()\n"
        "print(lock.acquire(timeout=0.3))\n"
        "lock.release()\n"
        "print(lock.acquire(), lock.recovered)\n"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "False\nTrue False\n", "")


def put_and_get(queue, count):
    for number in range(count):
        queue.put((number, bytearray(2000)))
        queue.get()


def test_forks_while_other_threads_are_in_the_middle():
    """Of pickling, of sending, of waiting: the child can use everything."""
    queue, own, beyond = ringway.Queue(), ringway.Queue(), ringway.Queue()
    pipe = ringway.Pipe()
    # Once here: a module that another thread is just importing is locked for ever in a child.
    ringway.Lock(), ringway.Condition()
    stop = threading.Event()

    def busy(call):
        while not stop.is_set():
            call()

    calls = [
        lambda: own.put([object(), {"a": {1, 2}}]) or own.get(),
        lambda: pipe[0].send({"a": bytes(3000)}) or pipe[1].recv(),
        lambda: beyond.put(bytes(1000)),
        lambda: ringway.Lock().acquire(),
    ]
    threads = [threading.Thread(target=busy, args=(call,)) for call in calls]
    for each in threads:
        each.start()

    def use_all():
        fresh = ringway.Queue()
        for each in fresh, queue:
            put_and_get(each, 20)
        with ringway.Lock(), ringway.Condition():
            beyond.put("from the child", timeout=0)
            left, right = ringway.Pipe()
            left.send({1, 2})
            assert right.recv() == {1, 2}

    try:
        for _ in range(30):
            assert ended_well(forked(use_all))
    finally:
        stop.set()
        for each in threads:
            each.join()
        beyond.cancel_join_thread()


def overwritten_and_told(queue, writer, count):
    overwrite(queue)
    os.write(writer, b"x" * count)


def look_when_told(reader, views):
    os.read(reader, 1)
    assert all(is_full_of(view, number) for number, view in views.items())


@pytest.mark.parametrize("what", ["Process", "Pool"])
def test_children_of_multiprocessing_too(fork, what):
    queue = fork.Queue()
    views = {number: received(queue, number) for number in range(3)}
    reader, writer = os.pipe()
    if what == "Process":
        child = fork.start(look_when_told, reader, views)
        views.clear()
        overwritten_and_told(queue, writer, 1)
        end(child)
    else:
        LOOKED_AT.update(views)
        with fork.Pool(2) as pool:
            LOOKED_AT.clear()
            views.clear()
            overwritten_and_told(queue, writer, 4)
            assert pool.map(look_at_what_there_was, [reader] * 4, chunksize=1) == [3] * 4
    os.close(reader)
    os.close(writer)


#: What was there when the workers of a pool were forked.
LOOKED_AT = {}


def look_at_what_there_was(reader):
    look_when_told(reader, LOOKED_AT)
    return len(LOOKED_AT)


def test_forks_while_another_thread_receives():
    """Between Python's handlers and the fork it may receive one more."""
    queue = ringway.Queue()
    views, stop = {}, threading.Event()

    def receive():
        number = 0
        while not stop.is_set():
            number = number % 200 + 1
            queue.put_bytes(bytes([number]) * LARGE)
            views[number] = queue.get_view()
            if len(views) > 3:
                del views[min(views)]

    before = pipes()
    thread = threading.Thread(target=receive)
    thread.start()
    children = []
    for _ in range(20):
        reader, writer = os.pipe()
        child = forked(lambda: look_when_told(reader, dict(views)))
        children.append((child, reader, writer))
    stop.set()
    thread.join()
    views.clear()
    overwrite(queue)
    for child, reader, writer in children:
        os.write(writer, b"x")
        assert ended_well(child)
        os.close(reader)
        os.close(writer)
    received(queue, 1)
    assert pipes() <= before


def test_a_process_that_forks_for_ever_has_no_more_descriptors():
    queue = ringway.Queue()
    view = received(queue, 7)
    before = None
    for number in range(60):
        assert ended_well(forked(lambda: is_full_of(view, 7) or os._exit(2)))
        view = received(queue, 7)
        if number == 5:
            before = pipes()
    assert pipes() <= before + 1


def test_a_child_copies_nothing_but_what_it_must():
    """What a child holds counts as held: its parent's senders go on all the same."""
    queue = ringway.Queue(max_bytes=4 * LARGE)
    views = [received(queue, number) for number in range(2)]
    reader, writer = os.pipe()
    child = forked(lambda: look_when_told(reader, dict(enumerate(views))))
    views.clear()
    for number in range(50):
        assert is_full_of(received(queue, number), number)
    os.write(writer, b"x")
    assert ended_well(child)
    os.close(reader)
    os.close(writer)
