"""`Queue`, `SimpleQueue` and `JoinableQueue`: as in `multiprocessing.queues`, over rings in shared memory.

The calls themselves are native. Beyond the standard library: `put_many`, `get_many`, `put_bytes`, `get_bytes`, `get_view`,
`reserve`, `aput`, `aget`, `async for`, `shutdown`, and names.
"""

import asyncio
import os
import threading
import types
from queue import Empty, Full

from multiprocessing import util

from . import _ringway, _share
from ._compat import ForeignMessage, ShutDown
from .simple_queue import SimpleQueue

__all__ = ["Queue", "SimpleQueue", "JoinableQueue"]

#: What the standard library means by no limit.
_NO_LIMIT = 2**31 - 1


class Queue(_ringway.Queue):
    """A queue of objects between processes, of any number to any number.

    `maxsize` objects fit into it; with 0 there is no limit, and `put` does not block. What has no room in shared memory waits in
    the process that has put it, and goes from there in order; that process ends when it is gone. A process that is killed
    blocks nobody, and what it had put into shared memory is received.

    With a `name` any process of this user finds it, also Rust programs and the command `ringway queue`: a call with the same name,
    or `Queue.attach(name)`. It holds `maxsize` objects, at most 8192 (512 if there is no `maxsize`), and then blocks. `mode` are
    the permissions of its file; `unlink()` removes the name.

    `max_bytes` bounds what messages of more than 64 KiB take together (1 GiB), and so how long one can be. Messages of up to
    `message_size` bytes (128) have memory of their own each. Large arrays that are received lie in the queue's memory;
    children that are forked meanwhile have them too, while this process lives, and see what others write there.

    It can be iterated over, also by `async for`: until somebody calls `shutdown()` and nothing is left.
    """

    #: Whether `put` raises the error of an object that cannot be pickled. If not, `_on_queue_feeder_error` gets it, as in
    #: the standard library, where a thread finds out. `RINGWAY_PICKLING_ERRORS=feeder` in the environment says so for all.
    raise_pickling_errors = os.environ.get("RINGWAY_PICKLING_ERRORS") != "feeder"

    #: Whether it knows what is done.
    _counts = False

    __class_getitem__ = classmethod(types.GenericAlias)

    def __init__(self, maxsize=0, *, ctx=None, name=None, message_size=None, max_bytes=None, mode=None):
        if maxsize <= 0:
            maxsize = 0  # however little
        elif maxsize > _NO_LIMIT:
            # What the standard library's semaphore says.
            raise OverflowError("Python int too large to convert to C int")
        if name is None:
            self._make(maxsize, self._counts, message_size, max_bytes)
        else:
            self._name(name, None, maxsize, self._counts, message_size, max_bytes, mode)
        self.name = name

    @classmethod
    def attach(cls, name):
        """The queue of that name; `FileNotFoundError` if there is none."""
        return cls._by_name(name, True, 0)

    @classmethod
    def create(cls, name, maxsize=0, *, message_size=None, max_bytes=None, mode=None):
        """A new queue of that name; `FileExistsError` if there is one."""
        return cls._by_name(name, False, maxsize, message_size, max_bytes, mode)

    @classmethod
    def _by_name(cls, name, exist, maxsize, *options):
        queue = cls.__new__(cls)
        queue._name(name, exist, maxsize, cls._counts, *options)
        queue.name = name
        return queue

    def __getstate__(self):
        _share.assert_sharing(self)
        return _share.share(self._memory()), self._maxsize, self.name, self.__dict__.copy()

    def __setstate__(self, state):
        shared, maxsize, self.name, attributes = state
        self._adopt(_share.adopt(shared), maxsize, self._counts)
        self.__dict__.update(attributes)

    @property
    def _reader(self):
        """What `multiprocessing.connection.wait` takes."""
        return self

    def close(self):
        """This process will not use the queue any more. What it has put is sent."""
        self._close()

    def join_thread(self):
        """Waits until what this process has put is where others can get it, though it may have died by then."""
        assert self._closed, f"Queue {self!r} not closed"
        self._flush()

    def cancel_join_thread(self):
        """Lets the process end although something of what it has put is nowhere but in its own memory."""
        self._cancel()

    def shutdown(self, immediate=False):
        """No more objects, for all processes: `put` raises `ShutDown`, and so does `get` once nothing is left; with
        `immediate` nothing is left at once."""
        self._shut_down()
        if immediate:
            self._forget_errors()
        while immediate:
            try:
                self.get_bytes(False)
            except (Empty, ShutDown):
                break

    async def aput(self, obj):
        """`put` for coroutines: lets others run while there is no room."""
        try:
            self.put(obj, False)
        except Full:
            await _in_thread(self.put, obj)

    async def aget(self):
        """`get` for coroutines: lets others run while there is nothing."""
        while True:
            try:
                return self.get(False)
            except Empty:
                await _readable(self)

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self.aget()
        except ShutDown:
            raise StopAsyncIteration from None

    def __iter__(self):
        """Whatever comes, until the queue is shut down."""
        while True:
            try:
                obj = self.get()
            except ShutDown:
                return
            yield obj

    @staticmethod
    def _on_queue_feeder_error(e, obj):
        """What happens to an object that cannot be pickled, if `put` does not raise. For subclasses to change."""
        import traceback

        traceback.print_exception(e)


class JoinableQueue(Queue):
    """A queue that knows how many of the objects that were put are done: exactly, also if processes are killed.

    Whoever has taken an object calls `task_done()` when it is done; `join()` waits for all. An object that a killed process had
    taken stays unfinished, as in the standard library: `join(timeout)` finds that out.
    """

    _counts = True

    def task_done(self):
        """One of the objects is done, whichever, and whoever has taken it."""
        if not self._done():
            raise ValueError("task_done() called too many times")

    def join(self, timeout=None):
        """Waits until as many are done as were put. With a time-out returns whether they are."""
        is_done = self._join(timeout)
        return None if timeout is None else is_done

    def unfinished(self):
        """How many are not done, about."""
        return self._unfinished()


async def _readable(queue):
    """Until there may be something in the queue."""
    loop = asyncio.get_running_loop()
    fd = queue.fileno()
    # One descriptor for all coroutines that wait for this queue on this loop: a loop has one reader for each.
    waiting = _waiting.setdefault((id(loop), fd), [])
    future = loop.create_future()
    waiting.append(future)
    if len(waiting) == 1:
        loop.add_reader(fd, _wake, waiting)
    # What children let go of may be what others wait for, before they can send: nothing tells us.
    again = loop.call_later(0.1 if queue._holds_for_children() else 1, _wake, waiting)
    try:
        await future
    finally:
        again.cancel()
        if future in waiting:
            waiting.remove(future)
        if not waiting and _waiting.get((id(loop), fd)) is waiting:
            del _waiting[id(loop), fd]
            loop.remove_reader(fd)


_waiting = {}


def _wake(waiting):
    while waiting:
        future = waiting.pop()
        if not future.done():
            future.set_result(None)
            break


async def _in_thread(function, *arguments):
    """Calls a function that waits, in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def finish(result, error):
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run():
        try:
            outcome = function(*arguments), None
        except BaseException as error:
            outcome = None, error
        try:
            loop.call_soon_threadsafe(finish, *outcome)
        except RuntimeError:
            pass  # the loop is over

    threading.Thread(target=run, daemon=True).start()
    return await future


def _flush_at_exit():
    util.debug("waiting until what was put is sent")
    _ringway.flush_all()


def _register_flush():
    util.Finalize(None, _flush_at_exit, exitpriority=-5)


# As the standard library's queues do: before the process ends, also one of `multiprocessing.Process`.
_register_flush()
util.register_after_fork(Queue, lambda _: (_ringway.drop_all(), _register_flush()))
# A child of a plain `os.fork` ends as other programs do.
os.register_at_fork(after_in_child=_register_flush)
