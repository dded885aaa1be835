"""How objects get to other processes: by descriptor. Nothing has a name, so nothing is left behind.

A process that is being spawned gets each descriptor once, however many objects share it; one that is forked has them anyway.
To a process that runs already, objects go only if asked to (`allow_passing`); Connections always do.
"""

import contextlib
import os

from multiprocessing import context, reduction, resource_sharer

_allowed = False

#: Descriptors that this process was born with and that an object has taken over.
_adopted = set()


def allow_passing(yes=True):
    """Whether queues and locks may be sent through queues and pipes, to processes that run already.

    `multiprocessing` allows them to be inherited only, and so does this package unless asked otherwise. What is sent stays until it
    was received, also if its sender forgets it meanwhile, but not if the sender ends: then `get` or `recv` raises `ConnectionError`.
    """
    global _allowed
    _allowed = bool(yes)


def assert_sharing(obj):
    """Raises what `multiprocessing` raises if `obj` is pickled at another time than for a process that is being spawned."""
    if not _allowed:
        context.assert_spawning(obj)
    popen = context.get_spawning_popen()
    if popen is not None:
        # Until the child has opened it, somebody must have it: the caller may forget it as soon as the child is started.
        popen.__dict__.setdefault("_ringway_kept", []).append(obj)


class _Passed:
    """A descriptor for a process that runs already. What it belongs to stays here until that process has opened it, or for as
    long as this one runs."""

    def __init__(self, fd, obj):
        self._duplicate = reduction.DupFd(fd)
        # The descriptor keeps memory, but not one of the many objects in it.
        self._kept = None if obj is None else resource_sharer._resource_sharer.register(_nothing, [obj].clear)

    def detach(self):
        try:
            return self._duplicate.detach()
        except (OSError, EOFError) as error:
            raise ConnectionError("what was sent is gone: the process that sent it has ended") from error

    def release(self):
        """It was opened."""
        if self._kept is not None:
            with contextlib.suppress(OSError, EOFError):
                resource_sharer._resource_sharer.get_connection(self._kept).close()


def _nothing(_connection, _pid):
    pass


def share(fd, obj=None):
    """What to pickle in place of the descriptor `fd`; `adopt` or `borrowed` of that, in the other process, is a descriptor again.
    `obj`, if there is one, must be there until then."""
    popen = context.get_spawning_popen()
    if popen is None:
        return False, _Passed(fd, obj)
    shared = popen.__dict__.setdefault("_ringway_shared", {})
    if fd not in shared:
        shared[fd] = reduction.DupFd(fd)
    return True, shared[fd]


def adopt(shared):
    """The descriptor of what `share` gave, for an object to keep and close."""
    is_inherited, duplicate = shared
    fd = duplicate.detach()
    if is_inherited:
        # The same number each time.
        if fd in _adopted:
            return os.dup(fd)
        _adopted.add(fd)
    os.set_inheritable(fd, False)
    return fd


@contextlib.contextmanager
def borrowed(shared):
    """The same for as long as the block lasts: for objects that need it only to find their memory."""
    is_inherited, duplicate = shared
    fd = duplicate.detach()
    try:
        yield fd
    finally:
        if not is_inherited:
            os.close(fd)
            duplicate.release()
