"""`SimpleQueue`: a pipe of which every process holds both ends."""

import types

from . import _ringway, _share
from .connection import Pipe

__all__ = ["SimpleQueue"]


class _NoLock:
    """Stands where the standard library has a lock: the ends of a pipe look after themselves."""

    def acquire(self, block=True, timeout=None):
        return True

    def release(self):
        pass

    def __enter__(self):
        return True

    def __exit__(self, *error):
        pass

    def __repr__(self):
        return "<no lock is needed>"


class SimpleQueue(_ringway.SimpleQueue):
    """A queue of objects between processes: `put` waits while there is no room, `get` while there is nothing.

    A process that is killed in the middle of a call keeps nobody waiting.
    """

    _rlock = _wlock = _NoLock()

    __class_getitem__ = classmethod(types.GenericAlias)

    def __init__(self, *, ctx=None):
        self._open(*Pipe(False))

    def _poll(self, timeout=0.0):
        return self._reader.poll(timeout)

    def __getstate__(self):
        _share.assert_sharing(self)
        return self._reader, self._writer, self.__dict__.copy()

    def __setstate__(self, state):
        reader, writer, attributes = state
        self._open(reader, writer)
        self.__dict__.update(attributes)
