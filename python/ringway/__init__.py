"""`multiprocessing`, with its queues, pipes, locks and shared values over lock-free rings in shared memory.

    import ringway as multiprocessing

Everything that `multiprocessing` has is here; what this package does not do itself is the standard library's. Beyond that:
`SharedDict`, `allow_passing`, `logging`, and what the classes of `queues`, `synchronize` and `sharedctypes` say.
"""

import multiprocessing as _std
from multiprocessing import process as _process, reducer  # noqa: F401

from . import context
from ._compat import ForeignMessage, ShutDown
from ._ringway import __version__
from ._share import allow_passing

#: What is a function in the standard library is the class itself here, where that makes no difference to a call: for
#: `isinstance`, for annotations as `Queue[int]`, for `Queue.attach`. Loaded when it is needed.
_classes = {
    "Pool": "pool",
    "SharedDict": "shared_dict",
    **dict.fromkeys(("JoinableQueue", "Queue", "SimpleQueue"), "queues"),
    **dict.fromkeys(("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"), "synchronize"),
}

# For the rest, as the standard library does: the methods of the default context are the functions of the module.
_names = [name for name in dir(context._default_context) if not name.startswith("_") and name != "reducer"]
globals().update((name, getattr(context._default_context, name)) for name in _names if name not in _classes)

__all__ = sorted({*_names, "ForeignMessage", "ShutDown", "allow_passing"})


def __getattr__(name):
    """Submodules are loaded when they are needed; what is only the standard library's comes from there."""
    import importlib

    if name in _classes:
        return globals().setdefault(name, getattr(importlib.import_module(f"{__name__}.{_classes[name]}"), name))
    if not name.startswith("_"):
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    try:
        return getattr(_std, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
