"""`multiprocessing.pool`, with the queues of this package."""

from multiprocessing import pool as _std
from multiprocessing.pool import *  # noqa: F401,F403
from multiprocessing.pool import (  # noqa: F401
    AsyncResult,
    ApplyResult,
    CLOSE,
    IMapIterator,
    IMapUnorderedIterator,
    INIT,
    MapResult,
    MaybeEncodingError,
    RUN,
    RemoteTraceback,
    TERMINATE,
    ThreadPool,
    mapstar,
    starmapstar,
    worker,
)

__all__ = ["Pool", "ThreadPool"]


class Pool(_std.Pool):
    """The standard library's pool of processes, fed through this package's queues."""

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, context=None):
        if context is None:
            from .context import _default_context

            context = _default_context.get_context()
        super().__init__(processes, initializer, initargs, maxtasksperchild, context)
