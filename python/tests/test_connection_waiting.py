"""Waiting for connections: by `poll`, by their descriptors, with signals, and while others close them."""

import asyncio
import contextlib
import os
import selectors
import signal
import threading
import time
from multiprocessing import connection as std

import pytest
from pipe_helpers import ctx, is_asleep, on_signal, running, signalled_when_asleep, state, until, watchdog  # noqa: F401

from ringway.connection import Pipe, wait

# Threads that know nothing of each other's locks are no danger to a child.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def is_readable(fd):
    with selectors.PollSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(0))


def test_poll_tells_of_messages_of_beginnings_and_of_the_end():
    r, w = Pipe(False, capacity=4096)
    assert not r.poll()
    w.send_bytes(b"")
    assert r.poll() and r.poll(), "it takes nothing"
    assert r.recv_bytes() == b"" and not r.poll()
    sender = threading.Thread(target=w.send_bytes, args=(bytes(100_000),))
    sender.start()
    assert r.poll(None), "the first piece"
    assert len(r.recv_bytes()) == 100_000
    sender.join()
    began = time.monotonic()
    assert not r.poll(0.05) and time.monotonic() - began >= 0.05
    w.close()
    assert r.poll() and r.poll(None) and r.poll(1)


def test_poll_waits_until_there_is_something():
    r, w = Pipe(False)
    found = []
    thread = threading.Thread(target=lambda: found.append(r.poll(None)))
    thread.start()
    w.send(1)
    thread.join()
    assert found == [True]


@pytest.mark.parametrize("polled_first", [True, False])
def test_the_descriptor_is_readable_exactly_when_poll_says_so(polled_first):
    r, w = Pipe(False)
    if polled_first:
        assert not is_readable(r.fileno())
    for _ in range(3):
        w.send(1)
        assert r.recv() == 1
    assert not is_readable(r.fileno()), "what was received is not there any more"
    for count in range(1, 4):
        for number in range(count):
            w.send(number)
        for number in range(count):
            assert is_readable(r.fileno()) and is_readable(r.fileno()), "level-triggered"
            assert r.recv() == number
        assert not is_readable(r.fileno()) and not r.poll()
    w.send(1)
    w.close()
    assert is_readable(r.fileno()) and r.recv() == 1
    assert is_readable(r.fileno())
    with pytest.raises(EOFError):
        r.recv()


def test_the_descriptor_of_an_end_that_only_sends_tells_that_nobody_is_left():
    r, w = Pipe(False)
    assert not is_readable(w.fileno())
    r.close()
    assert is_readable(w.fileno())


def send_when_told(w, go, count):
    for number in range(count):
        go.recv()
        w.send(number)


def test_no_message_leaves_the_descriptor_readable(ctx):
    """Also if the receiver is faster than the sender, who tells of his message after he has sent it."""
    r, w = Pipe(False)
    go, tell = Pipe(False)
    count = 2000
    with running(ctx, send_when_told, w, go, count):
        fd = r.fileno()
        for number in range(count):
            tell.send(None)
            while not r.poll():
                pass
            assert r.recv() == number
            # The system may have put the sender to sleep between the two: then who polls makes up for it.
            until(lambda: not is_readable(fd) or (not r.poll() and not is_readable(fd)))


@pytest.mark.parametrize("any_wait", [wait, std.wait], ids=["ours", "standard"])
def test_wait_takes_connections_of_both_kinds_and_descriptors(any_wait):
    pipes = [Pipe(False), Pipe(True), std.Pipe(False)]
    read, write = os.pipe()
    readers = [pipe[0] for pipe in pipes] + [read]
    assert any_wait(readers, 0) == [] and any_wait(readers, 0.01) == [] and any_wait(readers, -1) == []
    for r, w in pipes:
        w.send(1)
        assert any_wait(readers) == [r]
        assert r.recv() == 1
        assert any_wait(readers, 0) == []
    os.write(write, b"x")
    assert any_wait(readers) == [read]
    os.read(read, 1)
    for r, w in pipes:
        w.close()
        assert any_wait(readers) == [r]
        readers.remove(r)
    os.close(read)
    os.close(write)


def send_numbers(w, count):
    for number in range(count):
        w.send((os.getpid(), number))
    w.close()


@pytest.mark.parametrize("any_wait", [wait, std.wait], ids=["ours", "standard"])
def test_wait_serves_many_senders(ctx, any_wait):
    count = 500
    readers, got = [], {}
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            r, w = Pipe(False)
            stack.enter_context(running(ctx, send_numbers, w, count))
            w.close()
            readers.append(r)
        while readers:
            for r in any_wait(readers):
                try:
                    pid, number = r.recv()
                except EOFError:
                    readers.remove(r)
                else:
                    got.setdefault(pid, []).append(number)
    assert list(got.values()) == [list(range(count))] * 3


def test_event_loops_are_told(ctx):
    count = 500
    r, w = Pipe(False)

    async def receive():
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        got = []

        def read():
            try:
                while r.poll():
                    got.append(r.recv()[1])
            except EOFError:
                loop.remove_reader(r)
                over.set_result(got)

        loop.add_reader(r, read)
        return await over

    with running(ctx, send_numbers, w, count):
        w.close()
        assert asyncio.run(receive()) == list(range(count))


# --- threads -----------------------------------------------------------------------------------------------------------


def test_threads_share_a_connection():
    a, b = Pipe(capacity=4096)
    got, lock = [], threading.Lock()

    def send(start):
        for number in range(start, start + 1000):
            a.send([number, "x" * (number % 3000)])

    def receive():
        while (message := b.recv()) is not None:
            assert len(message[1]) == message[0] % 3000
            with lock:
                got.append(message[0])

    senders = [threading.Thread(target=send, args=(start,)) for start in (0, 3000, 6000)]
    receivers = [threading.Thread(target=receive) for _ in range(3)]
    for thread in senders + receivers:
        thread.start()
    for thread in senders:
        thread.join()
    for _ in receivers:
        a.send(None)
    for thread in receivers:
        thread.join()
    assert sorted(got) == [start + number for start in (0, 3000, 6000) for number in range(1000)]


@pytest.mark.parametrize("call", ["recv", "recv_bytes", "poll", "send_bytes"])
def test_closing_ends_the_calls_of_other_threads(call):
    a, b = Pipe(capacity=4096)
    arguments = {"poll": (None,), "send_bytes": (bytes(100_000),)}.get(call, ())
    raised, tids = [], []

    def wait_for_ever():
        tids.append(threading.get_native_id())
        try:
            getattr(a, call)(*arguments)
        except OSError as error:
            raised.append(str(error))

    thread = threading.Thread(target=wait_for_ever)
    thread.start()
    if call == "send_bytes":
        assert b.poll(None), "its first piece"
    until(lambda: tids and is_asleep(tids[0]))
    a.close()
    thread.join()
    assert raised == ["handle is closed"]
    with pytest.raises(EOFError if call != "send_bytes" else (EOFError, OSError)):
        b.recv()


# --- signals -----------------------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def third_time(raised):
    """A handler that raises when it runs for the third time."""
    runs = []

    def handler(*_):
        runs.append(None)
        if len(runs) == 3:
            raise raised

    return handler, runs


@pytest.mark.parametrize("call", ["recv", "recv_bytes", "poll", "send", "send_bytes"])
def test_handlers_run_while_a_call_waits_and_may_end_it(call):
    a, b = Pipe(capacity=4096)
    number = 0
    if call.startswith("send"):
        # The last one waits for room.
        handler, _ = third_time(Stop)
        with on_signal(signal.SIGUSR1, handler), signalled_when_asleep(signal.SIGUSR1), pytest.raises(Stop):
            while True:
                a.send((number, bytes(100)))
                number += 1
    arguments = {"poll": (None,), "send": ("late",), "send_bytes": (bytes(20_000),)}.get(call, ())
    handler, runs = third_time(Stop)
    with on_signal(signal.SIGUSR1, handler), signalled_when_asleep(signal.SIGUSR1), pytest.raises(Stop):
        getattr(b if not call.startswith("send") else a, call)(*arguments)
    assert len(runs) >= 3, "one more may come before it is told that that is enough"
    # Nothing is lost, nothing is stuck, and what was interrupted was not sent.
    assert [b.recv()[0] for _ in range(number)] == list(range(number))
    a.send("on")
    assert b.recv() == "on"


def test_a_large_message_survives_signals():
    r, w = Pipe(False, capacity=4096)
    runs = []
    message = bytes(range(256)) * 4000
    begin = threading.Event()

    def handler(*_):
        runs.append(None)
        if len(runs) == 2:
            begin.set()

    def send():
        begin.wait()
        w.send_bytes(message)

    sender = threading.Thread(target=send)
    with on_signal(signal.SIGUSR1, handler), signalled_when_asleep(signal.SIGUSR1):
        sender.start()
        assert r.recv_bytes() == message
    sender.join()
    assert len(runs) >= 2


def test_a_message_that_was_interrupted_in_the_middle_is_received_by_the_next_call(ctx):
    r, w = Pipe(False, capacity=4096)
    message = bytes(range(256)) * 400
    with running(ctx, w.send_bytes, message) as process:
        assert r.poll(None)
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: state(process.pid, process.pid) == "T")
        handler, _ = third_time(KeyboardInterrupt)
        with on_signal(signal.SIGUSR1, handler), signalled_when_asleep(signal.SIGUSR1):
            with pytest.raises(KeyboardInterrupt):
                r.recv()
        assert not r.poll(), "the rest of it is not there yet"
        os.kill(process.pid, signal.SIGCONT)
        assert r.recv_bytes() == message


def test_interrupts_are_interrupts():
    a, b = Pipe()
    runs = []

    def handler(*arguments):
        runs.append(None)
        if len(runs) == 1:  # a second one would come out of whatever is done after the call
            signal.default_int_handler(*arguments)

    with on_signal(signal.SIGINT, handler), signalled_when_asleep(signal.SIGINT), pytest.raises(KeyboardInterrupt):
        b.recv()
    a.send(1)
    assert b.recv() == 1


def test_poll_goes_on_after_a_signal_for_what_is_left_of_its_time():
    _a, b = Pipe()
    runs = []
    with on_signal(signal.SIGUSR1, lambda *_: runs.append(None)), signalled_when_asleep(signal.SIGUSR1):
        while True:
            began = time.monotonic()
            assert not b.poll(0.2)
            assert time.monotonic() - began >= 0.2
            if runs:
                break
