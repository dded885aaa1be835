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

    def SharedDict(self, max_items=1024, max_bytes=1 << 20, *, name=None):
        """A dictionary in shared memory: no server process, and readers do not block."""
        from .shared_dict import SharedDict

        return SharedDict(max_items, max_bytes, name=name)

    def Pipe(self, duplex=True, *, capacity=None):
        from .connection import Pipe

        return Pipe(duplex, capacity=capacity)

    def Lock(self, *, name=None, raise_if_recovered=False):
        from .synchronize import Lock

        return Lock(ctx=self.get_context(), name=name, raise_if_recovered=raise_if_recovered)

    def RLock(self, *, name=None, raise_if_recovered=False):
        from .synchronize import RLock

        return RLock(ctx=self.get_context(), name=name, raise_if_recovered=raise_if_recovered)

    def Condition(self, lock=None):
        from .synchronize import Condition

        return Condition(lock, ctx=self.get_context())

    def Semaphore(self, value=1, *, name=None):
        from .synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context(), name=name)

    def BoundedSemaphore(self, value=1, *, name=None):
        from .synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context(), name=name)

    def Event(self, *, name=None):
        from .synchronize import Event

        return Event(ctx=self.get_context(), name=name)

    def Barrier(self, parties, action=None, timeout=None, *, name=None):
        from .synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context(), name=name)

    def Queue(self, maxsize=0, **options):
        from .queues import Queue

        return Queue(maxsize, ctx=self.get_context(), **options)

    def JoinableQueue(self, maxsize=0, **options):
        from .queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context(), **options)

    def SimpleQueue(self):
        from .queues import SimpleQueue

        return SimpleQueue(ctx=self.get_context())

    def Pool(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None):
        from .pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

    def RawValue(self, typecode_or_type, *args, name=None):
        from .sharedctypes import RawValue

        return RawValue(typecode_or_type, *args, name=name)

    def RawArray(self, typecode_or_type, size_or_initializer, *, name=None):
        from .sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer, name=name)

    def Value(self, typecode_or_type, *args, lock=True, name=None):
        from .sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context(), name=name)

    def Array(self, typecode_or_type, size_or_initializer, *, lock=True, name=None):
        from .sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context(), name=name)

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
