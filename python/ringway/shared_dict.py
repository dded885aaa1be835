"""`SharedDict`: a dictionary in shared memory, in place of `Manager().dict()`. There is no server process.

    totals = ringway.SharedDict()
    totals["apples"] = 3                              # in any process
    totals.update("apples", lambda old: old + 1, 0)   # read, change and write, as one

Readers wait for nobody. Writers wait for each other; one that is killed leaves everything as it was before its last change, or
as it is after it, and blocks nobody.
"""

import types
from collections.abc import Mapping, MutableMapping

from . import _ringway, _share

__all__ = ["SharedDict"]

_MISSING = object()


class SharedDict(_ringway.Dict, MutableMapping):
    """A dictionary that all processes share.

    Keys are `str`, `bytes` or `int`; as in a `dict`, `True` is the key 1, and comes back as that. Values are whatever can be
    pickled; what is read is a copy each time, so a change of it must be written back:

        d["list"] = d["list"] + [1]                       # loses what others write meanwhile
        d.update("list", lambda old: old + [1], [])       # does not

    It has room for `max_items` items, whose keys and values have together up to `max_bytes` bytes as they are encoded; after
    that, `MemoryError`. Some memory beyond the values themselves is reserved, but none is used before it is written to.

    With a `name` any process of this user finds it, also Rust programs, as a `Map`; `SharedDict.attach(name)` finds one of
    whatever size. Those have the keys that are `bytes` as they are, and values by `set_bytes` and `get_bytes`. Reading a value
    that another program has written otherwise raises `ForeignMessage`. Whoever may write to a dictionary may run code in those
    who read it, as with every pickle.

    Iteration, `keys`, `values`, `items` and `copy` show one moment, in the order in which the keys were inserted; what changes
    later they do not show. Each operation happens as a whole. For several as one there is `lock`.
    """

    __class_getitem__ = classmethod(types.GenericAlias)

    def __init__(self, max_items=1024, max_bytes=1 << 20, *, name=None):
        if name is None:
            self._make(max_items, max_bytes)
        else:
            self._name(name, True, max_items, max_bytes)
        self.name = name

    @classmethod
    def attach(cls, name):
        """The dictionary of that name; `FileNotFoundError` if there is none."""
        shared = cls.__new__(cls)
        shared._attach(name)
        shared.name = name
        return shared

    @classmethod
    def create(cls, name, max_items=1024, max_bytes=1 << 20, *, mode=None):
        """A new dictionary of that name; `FileExistsError` if there is one."""
        shared = cls.__new__(cls)
        shared._name(name, False, max_items, max_bytes, mode)
        shared.name = name
        return shared

    def __getstate__(self):
        _share.assert_sharing(self)
        return _share.share(self._memory()), self.__dict__.copy()

    def __setstate__(self, state):
        shared, attributes = state
        self._adopt(_share.adopt(shared))
        self.__dict__.update(attributes)

    def __repr__(self):
        return f"{type(self).__name__}({self.copy()!r})"

    def __reversed__(self):
        return reversed(self._keys())

    def __or__(self, other):
        return self.copy() | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other):
        return dict(other) | self.copy() if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other):
        self.update(other)
        return self

    def keys(self):
        """The keys of this moment, as those of a `dict`."""
        return dict.fromkeys(self._keys()).keys()

    def values(self):
        """The values of this moment, as those of a `dict`."""
        return self.copy().values()

    def items(self):
        """The items of this moment, as those of a `dict`."""
        return self.copy().items()

    def update(self, /, *arguments, **items):
        """What `dict.update` does: `update(mapping)`, `update(pairs)`, `update(key=value)`. Nobody else writes between the
        items. If they do not all fit, the first ones are there.

        And, which a `dict` does not have: `update(key, function)` or `update(key, function, default)` gives `key` the value
        `function(old)`, and returns it. Nobody else writes meanwhile, so nothing is lost:

            d.update("visits", lambda count: count + 1, 0)

        Without a default, a missing key is a `KeyError`. If the function raises, or its process is killed, the old value
        stays. It is called with the lock held, so it should be quick; it may use the dictionary itself.
        """
        if len(arguments) > 1:
            return self._update_one(*arguments, **items)
        pairs = list(_pairs(arguments[0])) if arguments else []
        pairs += items.items()
        self._set_all(pairs)

    def _update_one(self, key, function, default=_MISSING, /):
        return self._change(key, function, None if default is _MISSING else (default,))

    def lock(self, timeout=None):
        """Makes several operations one, for those who write: `with d.lock(): ...`. Nobody else writes until it ends.

        Readers see the steps between, and an error undoes none of them. A thread that has the lock may take it again; another
        thread cannot give it back. If its process is killed, what it has done stays, and the next one to write, in whatever
        process, goes on and finds `recovered` true. If the lock cannot be had in `timeout` seconds, `TimeoutError` is raised.
        """
        return _Section(self, timeout)


class _Section:
    """For `with`."""

    __slots__ = ("_shared", "_timeout")

    def __init__(self, shared, timeout):
        self._shared = shared
        self._timeout = timeout

    def __enter__(self):
        self._shared._enter(self._timeout)
        return self._shared

    def __exit__(self, *error):
        self._shared._leave()


def _pairs(source):
    """What `dict.update` makes of its argument."""
    if isinstance(source, Mapping):
        return source.items()
    if hasattr(source, "keys"):
        return ((key, source[key]) for key in source.keys())
    return dict(source).items()
