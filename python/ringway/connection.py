"""`multiprocessing.connection`, with pipes in shared memory.

`Pipe` and its `Connection`s are this package's. `Listener` and `Client`, which reach other machines too, are the standard
library's, and so is everything else.

A connection may be used by any number of processes and threads at once, at both ends. Its descriptor is for polling only:
`wait`, `selectors` and event loops know by it when there is something to receive.
"""

import selectors
import time

from multiprocessing import connection as _std
from multiprocessing import reduction
from multiprocessing.connection import (  # noqa: F401
    AuthenticationError,
    BufferTooShort,
    Client,
    Listener,
    answer_challenge,
    deliver_challenge,
)

from . import _ringway, _share
from ._ringway import Connection

__all__ = ["Client", "Listener", "Pipe", "wait"]


def Pipe(duplex=True, *, capacity=None):
    """Two connections with a pipe between them. If it is not `duplex`, the first one only receives, the second only sends.

    The memory of each direction has `capacity` bytes: 64 KiB, or 128 KiB if there is only one. Messages may be larger.
    """
    return _ringway.pipe(bool(duplex), capacity)


def wait(object_list, timeout=None):
    """Those of `object_list` that are ready to be read, once there is one or `timeout` seconds have passed.

    It takes what the standard library's `wait` takes. Of connections of this package it asks themselves, too: one whose
    message was meanwhile received elsewhere is not ready.
    """
    with selectors.PollSelector() as selector:
        for obj in object_list:
            selector.register(obj, selectors.EVENT_READ)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            ready = [key.fileobj for key, _ in selector.select(timeout)]
            ready = [obj for obj in ready if _is_ready(obj)]
            if ready:
                return ready
            if deadline is not None:
                timeout = deadline - time.monotonic()
                if timeout < 0:
                    return ready


def _is_ready(obj):
    return not isinstance(obj, Connection) or not obj.readable or obj.poll()


def reduce_connection(connection):
    """How a connection travels: to a process that is being spawned, or at any time to one that has our key."""
    memory, socket = connection._descriptors()
    shared = _share.share(memory), _share.share(socket)
    return rebuild_connection, (*shared, connection.readable)


def rebuild_connection(memory, socket, readable):
    """The inverse of `reduce_connection`, in the other process."""
    return _ringway.take_end(_share.adopt(memory), _share.adopt(socket), readable)


# With plain `pickle` a connection cannot be pickled: its descriptors would mean nothing to anybody.
reduction.ForkingPickler.register(Connection, reduce_connection)


def __getattr__(name):
    try:
        return getattr(_std, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
