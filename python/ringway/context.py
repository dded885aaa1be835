"""Contexts: `multiprocessing`'s own, with the queues, locks and shared values of this package."""

import multiprocessing
from multiprocessing import context as _std
from multiprocessing.context import (  # noqa: F401
    AuthenticationError,
    BufferTooShort,
    ForkProcess,
    ForkServerProcess,
    Process,
    ProcessError,
    SpawnProcess,
    TimeoutError,
    assert_spawning,
    get_spawning_popen,
    set_spawning_popen,
)

__all__ = ()


class BaseContext(_std.BaseContext):
    """What all contexts of this package have."""

    def Manager(self):
        from .managers import SyncManager

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def SharedDict(self, max_items=1024, max_bytes=1 << 20, **keywords):
        """A dictionary in shared memory: no server process, and readers do not block."""
        from .shared_dict import SharedDict

        return SharedDict(max_items, max_bytes, **keywords)

    def Pipe(self, duplex=True, **keywords):
        from .connection import Pipe

        return Pipe(duplex, **keywords)

    def Lock(self, **keywords):
        from .synchronize import Lock

        return Lock(ctx=self.get_context(), **keywords)

    def RLock(self, **keywords):
        from .synchronize import RLock

        return RLock(ctx=self.get_context(), **keywords)

    def Condition(self, lock=None, **keywords):
        from .synchronize import Condition

        return Condition(lock, ctx=self.get_context(), **keywords)

    def Semaphore(self, value=1, **keywords):
        from .synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context(), **keywords)

    def BoundedSemaphore(self, value=1, **keywords):
        from .synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context(), **keywords)

    def Event(self, **keywords):
        from .synchronize import Event

        return Event(ctx=self.get_context(), **keywords)

    def Barrier(self, parties, action=None, timeout=None, **keywords):
        from .synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context(), **keywords)

    def Queue(self, maxsize=0, **keywords):
        from .queues import Queue

        return Queue(maxsize, ctx=self.get_context(), **keywords)

    def JoinableQueue(self, maxsize=0, **keywords):
        from .queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context(), **keywords)

    def SimpleQueue(self):
        from .queues import SimpleQueue

        return SimpleQueue(ctx=self.get_context())

    def Pool(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None):
        from .pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

    def RawValue(self, typecode_or_type, *args, **keywords):
        from .sharedctypes import RawValue

        return RawValue(typecode_or_type, *args, **keywords)

    def RawArray(self, typecode_or_type, size_or_initializer, **keywords):
        from .sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer, **keywords)

    def Value(self, typecode_or_type, *args, lock=True, **keywords):
        from .sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context(), **keywords)

    def Array(self, typecode_or_type, size_or_initializer, *, lock=True, **keywords):
        from .sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context(), **keywords)

    def get_context(self, method=None):
        """Processes of that start method, with what this package has."""
        if method is None:
            return self
        try:
            context = _contexts[method]
        except KeyError:
            raise ValueError(f"cannot find context for {method!r}") from None
        context._check_available()
        return context


class DefaultContext(BaseContext):
    """The context that the module's own functions use: its start method is `multiprocessing`'s."""

    Process = Process

    def get_context(self, method=None):
        if method is None:
            return _contexts[multiprocessing.get_start_method()]
        return super().get_context(method)

    def set_start_method(self, method, force=False):
        multiprocessing.set_start_method(method, force)

    def get_start_method(self, allow_none=False):
        return multiprocessing.get_start_method(allow_none)

    def get_all_start_methods(self):
        return multiprocessing.get_all_start_methods()


class ForkContext(BaseContext, _std.ForkContext):
    """Children are forks of this process."""


class SpawnContext(BaseContext, _std.SpawnContext):
    """Children are new processes."""


class ForkServerContext(BaseContext, _std.ForkServerContext):
    """Children are forks of a server that has nothing to lose."""


_contexts = {"fork": ForkContext(), "spawn": SpawnContext(), "forkserver": ForkServerContext()}
_default_context = DefaultContext()
