"""What a connection does in one process: fact by fact as the standard library's."""

import array
import gc
import multiprocessing
import os
import pickle
import threading
import weakref
from multiprocessing import connection as std
from multiprocessing import reduction

import pytest
from pipe_helpers import ctx, running, watchdog  # noqa: F401

from ringway import _ringway, connection
from ringway.connection import Connection, Pipe

# Threads that know nothing of each other's locks are no danger to a child.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def outcome(call, *args):
    """What a call returns or raises, to be compared."""
    try:
        return call(*args)
    except Exception as error:
        return type(error), error.args


def facts(make_pipe):
    """What is to be known of what `make_pipe` makes."""
    a, b = make_pipe()
    yield a.readable, a.writable, a.closed
    yield outcome(a.send_bytes, "text")
    yield outcome(a.send_bytes, 5)
    yield outcome(a.send_bytes, b"abc", -1)
    yield outcome(a.send_bytes, b"abc", 4)
    yield outcome(a.send_bytes, b"abc", 1, 3)
    yield outcome(a.send_bytes, b"abc", 1, -1)
    yield outcome(a.send, lambda: 0)[0]
    yield b.poll(), b.poll(-1), b.poll(0.01)
    for part in (), (1,), (3,), (1, 1), (0, 0), (3, 0):
        a.send_bytes(b"abc", *part)
        yield b.poll(), b.recv_bytes()
    a.send_bytes(array.array("i", [1, 2, 3]), 4, 4)
    yield b.recv_bytes()
    a.send_bytes(memoryview(b"0123456789")[2:5])
    yield b.recv_bytes(3)
    a.send_bytes(bytearray(b"xyz"))
    yield b.recv_bytes(100)
    yield outcome(b.recv_bytes, -1)
    a.send_bytes(b"0123456789")
    yield outcome(b.recv_bytes_into, bytearray(4))
    into = bytearray(20)
    a.send_bytes(b"0123456789")
    yield b.recv_bytes_into(into, 5), bytes(into)
    a.send_bytes(b"0123")
    yield b.recv_bytes_into(into, 16), bytes(into)
    a.send_bytes(b"0123")
    yield outcome(b.recv_bytes_into, into, 17)
    a.send_bytes(b"")
    yield b.recv_bytes_into(into, 20), bytes(into)
    numbers = array.array("i", [0] * 4)
    a.send_bytes(array.array("i", [7, 8]))
    yield b.recv_bytes_into(numbers, 4), list(numbers)
    yield outcome(b.recv_bytes_into, into, 21)
    yield outcome(b.recv_bytes_into, into, -1)
    yield outcome(b.recv_bytes_into, 7)
    a.send_bytes(b"x")
    yield outcome(b.recv_bytes_into, b"read-only")
    a.send_bytes(b"0123456789")
    yield outcome(b.recv_bytes, 4), b.readable, b.writable, b.closed
    yield outcome(b.recv), outcome(b.poll), outcome(b.recv_bytes), outcome(b.recv_bytes_into, into)
    b.send("still")
    yield a.recv()

    a, b = make_pipe()
    yield a.close(), a.close(), a.closed
    yield outcome(a.send, 1), outcome(a.send_bytes, b""), outcome(a.send_bytes, "text"), outcome(a.recv)
    yield outcome(a.recv_bytes), outcome(a.recv_bytes, -1), outcome(a.recv_bytes_into, 7), outcome(a.poll)
    yield outcome(a.fileno), a.readable, a.writable
    yield b.poll(), b.poll(None), outcome(b.recv), outcome(b.recv_bytes), outcome(b.send, 1), outcome(b.send_bytes, b"")

    a, b = make_pipe()
    b.send([1])
    b.close()
    yield a.poll(), a.recv(), a.poll(), outcome(a.recv)

    r, w = make_pipe(False)
    yield r.readable, r.writable, w.readable, w.writable
    yield outcome(r.send, 1), outcome(r.send, lambda: 0), outcome(r.send_bytes, 5)
    yield outcome(w.recv), outcome(w.recv_bytes, -1), outcome(w.recv_bytes_into, 5), outcome(w.poll)
    w.send_bytes(b"0123456789")
    yield outcome(r.recv_bytes, 9), r.closed, outcome(r.recv), outcome(w.send, 1)

    r, w = make_pipe(duplex=False)
    with r as entered, w:
        yield entered is r
        w.send(None)
        yield r.recv()
    yield r.closed, w.closed, outcome(w.recv), outcome(r.send, 1)


def test_every_fact_is_that_of_the_standard_library():
    ours, theirs = list(facts(Pipe)), list(facts(std.Pipe))
    for number, (our, their) in enumerate(zip(ours, theirs)):
        assert our == their, number
    assert len(ours) == len(theirs)


def test_unread_messages_do_not_change_how_it_ends():
    # The standard library raises ConnectionResetError here.
    a, b = Pipe()
    a.send("unread")
    b.close()
    assert a.poll()
    with pytest.raises(EOFError):
        a.recv()


class Peculiar:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value


OBJECTS = [
    None,
    True,
    -5,
    2**100,
    1.5,
    "text",
    "x" * 300_000,
    "\ud800",
    b"",
    b"bytes" * 100_000,
    bytearray(b"x" * 70_000),
    (1, ("nested", [2])),
    [1, "two", b"three"],
    {"a": 1, 2: "b"},
    {1, 2, 3},
    Peculiar([1, 2]),
    array.array("d", [1.5] * 30_000),
]


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: type(obj).__name__)
def test_objects_arrive_as_they_were(obj):
    r, w = Pipe(False, capacity=4096)
    sender = threading.Thread(target=w.send, args=(obj,))
    sender.start()
    received = r.recv()
    sender.join()
    assert received == obj and type(received) is type(obj)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_sent_as_bytes_are_objects(protocol):
    a, b = Pipe()
    for obj in OBJECTS[:6]:
        a.send_bytes(pickle.dumps(obj, protocol))
        assert b.recv() == obj


def test_objects_can_be_received_as_bytes():
    a, b = Pipe()
    for obj in OBJECTS[:6]:
        a.send(obj)
        assert _ringway.loads(b.recv_bytes()) == obj


def test_bytes_that_are_no_object_say_so():
    a, b = Pipe()
    for nonsense, error in (b"hello", pickle.UnpicklingError), (b"", EOFError), (b"\x04short", pickle.UnpicklingError):
        a.send_bytes(nonsense)
        with pytest.raises(error):
            b.recv()
    a.send("and on")
    assert b.recv() == "and on"


class Talkative:
    """Sends while it is pickled, and receives while it is unpickled."""

    def __init__(self, sender, receiver):
        self.ends = Talkative.ends = sender, receiver

    def __reduce__(self):
        self.ends[0].send("while pickling")
        return Talkative.receive, ()

    @staticmethod
    def receive():
        return Talkative.ends[1].recv()


def test_what_is_pickled_may_use_the_connection_meanwhile():
    a, b = Pipe()
    a.send(Talkative(a, b))
    a.send("last")
    assert b.recv() == "while pickling"
    assert b.recv() == "last"


def test_it_looks_like_a_connection():
    a, b = Pipe()
    assert isinstance(a, Connection) and type(a).__name__ == "Connection"
    assert repr(a).startswith("<ringway.connection.Connection handle ") and "duplex" in repr(a)
    r, w = Pipe(False)
    assert "read-only" in repr(r) and "write-only" in repr(w)
    r.close()
    assert "closed" in repr(r)
    with pytest.raises(TypeError):
        Connection()
    with pytest.raises(TypeError):
        pickle.dumps(a)
    reference = weakref.ref(a)
    assert reference() is a
    del a
    gc.collect()
    assert reference() is None


def test_the_module_has_all_that_the_standard_library_has():
    for name in dir(std):
        assert hasattr(connection, name), name
    assert connection.__all__ == std.__all__
    assert connection.Listener is std.Listener and connection.address_type is std.address_type
    assert connection.AuthenticationError is multiprocessing.AuthenticationError
    with pytest.raises(AttributeError):
        connection.nonsense


def test_what_was_lost_for_receiving_stays_so_elsewhere():
    a, b = Pipe()
    b.send_bytes(b"0123456789")
    with pytest.raises(OSError):
        a.recv_bytes(5)
    copy = pickle.loads(reduction.ForkingPickler.dumps(a))
    assert (copy.readable, copy.writable) == (False, True)


# --- large messages ----------------------------------------------------------------------------------------------------


def send_large(w, sizes):
    for size in sizes:
        w.send_bytes(bytes(size))
        w.send(bytes(size))
        w.send(bytearray(size))


@pytest.mark.parametrize("capacity", [None, 4096])
def test_large_messages_pass_through_a_small_ring(ctx, capacity):
    sizes = [(1 << 24) + 1, 65_536, 65_535, 65_528, 32_768, 1 << 20]
    r, w = Pipe(False, capacity=capacity)
    with running(ctx, send_large, w, sizes):
        w.close()
        for size in sizes:
            assert r.recv_bytes() == bytes(size)
            assert r.recv() == bytes(size)
            received = r.recv()
            assert type(received) is bytearray and received == bytes(size)
        with pytest.raises(EOFError):
            r.recv()


def available_memory():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) << 10


@pytest.mark.skipif(not os.environ.get("RINGWAY_LARGE"), reason="takes 8 GB of memory: RINGWAY_LARGE=1")
def test_a_message_of_more_than_two_gigabytes():
    size = (1 << 31) + 1
    assert available_memory() > 5 * size
    r, w = Pipe(False)
    message = bytes(size - 1) + b"\x07"
    sender = threading.Thread(target=w.send_bytes, args=(message,))
    sender.start()
    into = bytearray(size)
    assert r.recv_bytes_into(into) == size
    sender.join()
    assert into == message


def test_a_buffer_may_change_while_it_is_sent():
    # What arrives is what it was, although there was no room for it at once.
    r, w = Pipe(False, capacity=4096)
    buffer = bytearray(b"a" * 1_000_000)
    sender = threading.Thread(target=w.send_bytes, args=(buffer,))
    sender.start()
    assert r.poll(None)
    buffer[:] = b"b" * len(buffer)
    assert r.recv_bytes() == b"a" * len(buffer)
    sender.join()
