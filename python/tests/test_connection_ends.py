"""How a pipe ends, and what happens to it when processes are killed."""

import contextlib
import threading
from multiprocessing import connection as std

import pytest
from pipe_helpers import ctx, running, watchdog  # noqa: F401

from ringway.connection import Pipe

# Threads that know nothing of each other's locks are no danger to a child.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def hold(held, ready, release):
    ready.send(None)
    with contextlib.suppress(EOFError):
        release.recv()


@contextlib.contextmanager
def holding(ctx, end, count=1):
    """Processes that have `end`, and do nothing with it until they are told."""
    ready, tell = std.Pipe(False)
    release, let_go = std.Pipe(False)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(ctx, hold, end, tell, release)) for _ in range(count)]
        for _ in processes:
            ready.recv()
        yield let_go, processes


def test_the_end_comes_when_the_last_copy_is_closed(ctx):
    r, w = Pipe(False)
    with holding(ctx, w) as (let_go, _):
        w.send("before")
        w.close()
        assert r.recv() == "before"
        assert not r.poll(0.05), "the child has a copy"
        let_go.send(None)
        with pytest.raises(EOFError):
            r.recv()
        assert r.poll() and r.poll(None)


def test_killed_processes_do_not_keep_the_end_open(ctx):
    r, w = Pipe(False)
    with holding(ctx, w, 2) as (_, (first, second)):
        w.send("before")
        w.close()
        first.kill()
        first.join()
        assert r.recv() == "before"
        assert not r.poll(0.05), "the other child has a copy"
        second.kill()
        assert r.poll(None)
        with pytest.raises(EOFError):
            r.recv()


def test_who_sends_learns_that_nobody_is_left(ctx):
    r, w = Pipe(False, capacity=4096)
    with holding(ctx, r) as (_, (process,)):
        r.close()
        errors = []

        def fill():
            try:
                while True:
                    w.send_bytes(bytes(1000))
            except OSError as error:
                errors.append(error)

        sender = threading.Thread(target=fill)
        sender.start()
        process.kill()
        sender.join()
        assert [type(error) for error in errors] == [BrokenPipeError]
        with pytest.raises(BrokenPipeError):
            w.send(1)


def send_part(w):
    w.send("whole")
    w.send_bytes(bytes(1 << 26))  # nobody receives more than the beginning before this is killed


def test_a_sender_killed_in_the_middle_of_a_message(ctx):
    r, w = Pipe(False)
    with running(ctx, send_part, w) as process:
        w.close()
        assert r.recv() == "whole"
        assert r.poll(None), "the first piece"
        process.kill()
        with pytest.raises(OSError, match="got end of file during message"):
            r.recv()
        with pytest.raises(EOFError):
            r.recv()


def test_a_sender_killed_in_the_middle_while_others_can_send(ctx):
    r, w = Pipe(False)
    with running(ctx, send_part, w) as process:
        assert r.recv() == "whole"
        assert r.poll(None), "the first piece"
        process.kill()
        process.join()
        sender = threading.Thread(target=w.send, args=("next",))
        sender.start()
        assert r.recv() == "next"
        sender.join()


def receive_for_ever(r, tell):
    while True:
        message = r.recv_bytes()
        tell.send(int.from_bytes(message[:8], "little"))


def test_killed_receivers_take_along_what_they_were_receiving_and_no_more(ctx):
    """Each is killed at some moment: nearly always it then has the turn to receive, in the middle of a message."""
    r, w = Pipe(False, capacity=16 << 10)
    got, tell = Pipe(False)
    sent, over = [], threading.Event()

    def send():
        while not over.is_set():
            w.send_bytes(len(sent).to_bytes(8, "little") * 20_000)
            sent.append(len(sent))
        w.close()

    sender = threading.Thread(target=send)
    sender.start()
    received, kills = [], 3
    for _ in range(kills):
        with running(ctx, receive_for_ever, r, tell) as process:
            for _ in range(5):
                received.append(got.recv())
            process.kill()
    while got.poll():
        received.append(got.recv())
    # Whoever is left gets what is left, and then the end.
    over.set()
    with contextlib.suppress(EOFError):
        while True:
            message = r.recv_bytes()
            assert message == message[:8] * 20_000
            received.append(int.from_bytes(message[:8], "little"))
    sender.join()
    assert received == sorted(set(received)), "in order, and none twice"
    # One may have been received and not told of; and one may have been in the middle.
    assert len(sent) - len(received) <= 2 * kills


def wait_for_message(r, ready):
    ready.send(None)
    r.recv()


def test_killed_waiters_keep_nobody_from_receiving(ctx):
    r, w = Pipe(False)
    ready, tell = std.Pipe(False)
    for number in range(5):
        with running(ctx, wait_for_message, r, tell) as process:
            ready.recv()
            process.kill()
        w.send(number)
        assert r.recv() == number


def forward(r, w):
    with contextlib.suppress(EOFError):
        while True:
            w.send(r.recv())


def test_many_processes_share_both_ends():
    import multiprocessing

    r, w = Pipe(False)
    back, forth = Pipe(False)
    with contextlib.ExitStack() as stack:
        for method in "spawn", "spawn", "forkserver":
            stack.enter_context(running(multiprocessing.get_context(method), forward, r, forth))
        forth.close()
        r.close()

        def send(start):
            for number in range(start, start + 2000):
                w.send((number, "x" * (number % 50)))

        threads = [threading.Thread(target=send, args=(start,)) for start in (0, 10_000)]
        for thread in threads:
            thread.start()
        received = {back.recv()[0] for _ in range(4000)}
        for thread in threads:
            thread.join()
        w.close()
        with pytest.raises(EOFError):
            back.recv()
    assert received == {*range(2000), *range(10_000, 12_000)}
