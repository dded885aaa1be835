"""`RawValue`, `RawArray`, `Value` and `Array`: `ctypes` objects in shared memory, as in `multiprocessing.sharedctypes`.

Beyond the standard library: numbers have `fetch_add`, `exchange` and `compare_exchange`, which need no lock (`value += 1`
without one loses updates, here as there); arrays have `asarray()`, a numpy array of the same memory; and with a `name`
numbers and arrays of numbers are shared with Rust programs, which have them as `Value` and `Array`.
"""

import ctypes
import weakref

from multiprocessing import sharedctypes as _std
from multiprocessing.reduction import ForkingPickler
from multiprocessing.sharedctypes import make_property, typecode_to_type  # noqa: F401

from . import _ringway, _share
from .context import _default_context
from .context import assert_spawning  # noqa: F401

__all__ = ["RawValue", "RawArray", "Value", "Array", "copy", "synchronized"]


class Memory(_ringway.Memory):
    """The bytes that such an object lies over."""

    def __getstate__(self):
        _share.assert_sharing(self)
        fd, place, length = self._tell()
        return _share.share(fd, self if place else None), place, length

    def __setstate__(self, state):
        shared, place, length = state
        with _share.borrowed(shared) as fd:
            self._adopt(fd, place, length)


def _new(type_):
    memory = Memory()
    memory._make(ctypes.sizeof(type_))
    return rebuild_ctype(type_, memory, None)


def _named(type_, name, count=None):
    code = _code(type_)
    if code is None:
        raise TypeError(f"a named value is a number, not a {type_.__name__}")
    memory = Memory()
    memory._name(name, code, count)
    return rebuild_ctype(type_, memory, count)


def _code(type_):
    """How the native half calls a type of number; None if it is none."""
    kind = getattr(type_, "_type_", None)
    if not isinstance(kind, str) or len(kind) != 1:
        return None
    for kinds, letter in (("bhilq", "i"), ("BHILQ", "u"), ("fd", "f")):
        if kind in kinds:
            return f"{letter}{ctypes.sizeof(type_)}"
    return None


def RawValue(typecode_or_type, *args, name=None):
    """A `ctypes` object in shared memory, without a lock."""
    type_ = typecode_to_type.get(typecode_or_type, typecode_or_type)
    if name is not None:
        # Of whatever value it is, if it is there; `args` are not for it then, and nobody can tell whether it was.
        if args:
            raise TypeError("a named value is 0 at first: it has no other initial value")
        return _named(type_, name)
    obj = _new(type_)
    obj.__init__(*args)
    return obj


def RawArray(typecode_or_type, size_or_initializer, *, name=None):
    """A `ctypes` array in shared memory, without a lock."""
    type_ = typecode_to_type.get(typecode_or_type, typecode_or_type)
    is_size = isinstance(size_or_initializer, int)
    if name is not None:
        if not is_size:
            raise TypeError("a named array is all zeros at first: tell its size, not its content")
        return _named(type_, name, size_or_initializer)
    obj = _new(type_ * (size_or_initializer if is_size else len(size_or_initializer)))
    if not is_size:
        obj.__init__(*size_or_initializer)
    return obj


def Value(typecode_or_type, *args, lock=True, ctx=None, name=None):
    """A `ctypes` object in shared memory, with a lock unless `lock` is false."""
    obj = RawValue(typecode_or_type, *args, name=name)
    return _with_lock(obj, lock, ctx, name)


def Array(typecode_or_type, size_or_initializer, *, lock=True, ctx=None, name=None):
    """A `ctypes` array in shared memory, with a lock unless `lock` is false."""
    obj = RawArray(typecode_or_type, size_or_initializer, name=name)
    return _with_lock(obj, lock, ctx, name)


def _with_lock(obj, lock, ctx, name):
    if lock is False:
        return obj
    ctx = ctx or _default_context.get_context()
    if lock in (True, None):
        lock = ctx.RLock() if name is None else ctx.RLock(name=f"{name}.lock")
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return synchronized(obj, lock, ctx=ctx)


def copy(obj):
    """Another object of the same content, in shared memory."""
    new = _new(type(obj))
    ctypes.pointer(new)[0] = obj
    return new


def synchronized(obj, lock=None, ctx=None):
    """Puts a lock around an object of shared memory."""
    assert not isinstance(obj, _std.SynchronizedBase), "object already synchronized"
    ctx = ctx or _default_context.get_context()
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        return (SynchronizedString if obj._type_ is ctypes.c_char else SynchronizedArray)(obj, lock, ctx)
    type_ = type(obj)
    if type_ not in class_cache:
        properties = {field[0]: make_property(field[0]) for field in type_._fields_}
        class_cache[type_] = type(f"Synchronized{type_.__name__}", (SynchronizedBase,), properties)
    return class_cache[type_](obj, lock, ctx)


class_cache = weakref.WeakKeyDictionary()


def reduce_ctype(obj):
    """How `ctypes` objects of shared memory get to processes that are being spawned."""
    _share.assert_sharing(obj)
    if isinstance(obj, ctypes.Array):
        return rebuild_ctype, (obj._type_, obj._wrapper, obj._length_)
    return rebuild_ctype, (type(obj), obj._wrapper, None)


def rebuild_ctype(type_, wrapper, length):
    """Lays a `ctypes` object over memory."""
    if length is not None:
        type_ = type_ * length
    ForkingPickler.register(type_, reduce_ctype)
    obj = type_.from_buffer(wrapper)
    obj._wrapper = wrapper
    return obj


class SynchronizedBase(_std.SynchronizedBase):
    """What objects with a lock around them have in common."""

    def __init__(self, obj, lock=None, ctx=None):
        super().__init__(obj, lock or (ctx or _default_context.get_context()).RLock(), ctx)

    def __reduce__(self):
        _share.assert_sharing(self)
        return synchronized, (self._obj, self._lock)

    def _atomic(self, index, *arguments):
        type_ = self._obj._type_ if isinstance(self._obj, ctypes.Array) else type(self._obj)
        return self._obj._wrapper._atomic(_code(type_) or "", index * ctypes.sizeof(type_), *arguments)


class Synchronized(SynchronizedBase, _std.Synchronized):
    """A number with a lock."""

    def fetch_add(self, by):
        """Adds to it, at once for all processes and without the lock; returns what it was."""
        return self._atomic(0, "add", by)

    def exchange(self, new):
        """Replaces it in the same way; returns what it was."""
        return self._atomic(0, "swap", new)

    def compare_exchange(self, expected, new):
        """Replaces it in the same way if it is what is expected; returns what it was."""
        return self._atomic(0, "exchange", new, expected)


class SynchronizedArray(SynchronizedBase, _std.SynchronizedArray):
    """An array with a lock."""

    def _index(self, index):
        count = len(self._obj)
        if not -count <= index < count:
            raise IndexError("invalid index")
        return index % count

    def fetch_add(self, index, by):
        """Adds to an element, at once for all processes and without the lock; returns what it was."""
        return self._atomic(self._index(index), "add", by)

    def exchange(self, index, new):
        """Replaces an element in the same way; returns what it was."""
        return self._atomic(self._index(index), "swap", new)

    def compare_exchange(self, index, expected, new):
        """Replaces an element in the same way if it is what is expected; returns what it was."""
        return self._atomic(self._index(index), "exchange", new, expected)

    def asarray(self):
        """A numpy array of the same memory; the lock is not its."""
        return asarray(self._obj)


class SynchronizedString(SynchronizedArray, _std.SynchronizedString):
    """An array of characters with a lock."""


def asarray(obj):
    """A numpy array of the memory of a `RawArray`."""
    import numpy

    return numpy.ctypeslib.as_array(obj)
