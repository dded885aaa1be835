import threading
from collections.abc import Callable
from multiprocessing.context import BaseContext
from typing import Any, Protocol, TypeAlias, type_check_only

from . import _ringway

__all__ = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"]

RECURSIVE_MUTEX: int
SEMAPHORE: int
SEM_VALUE_MAX: int

class OwnerDied(RuntimeError):
    def __init__(self, text: str = "the process that held the lock has died") -> None: ...

class SemLock(_ringway.SemLock):
    def __init__(
        self,
        kind: int,
        value: int,
        maxvalue: int,
        *,
        ctx: BaseContext | None = None,
        name: str | None = None,
        raise_if_recovered: bool = False,
    ) -> None: ...
    def __getstate__(self) -> Any: ...
    def __setstate__(self, state: Any) -> None: ...

class Semaphore(SemLock):
    def __init__(self, value: int = 1, *, ctx: BaseContext | None = None, name: str | None = None) -> None: ...
    def get_value(self) -> int: ...

class BoundedSemaphore(Semaphore):
    def __init__(self, value: int = 1, *, ctx: BaseContext | None = None, name: str | None = None) -> None: ...

class Lock(SemLock):
    def __init__(
        self, *, ctx: BaseContext | None = None, name: str | None = None, raise_if_recovered: bool = False
    ) -> None: ...

class RLock(SemLock):
    def __init__(
        self, *, ctx: BaseContext | None = None, name: str | None = None, raise_if_recovered: bool = False
    ) -> None: ...

_LockLike: TypeAlias = Lock | RLock

@type_check_only
class _Acquire(Protocol):
    def __call__(self, block: bool = True, timeout: float | None = None) -> bool: ...

class Condition(_ringway.Condition):
    def __init__(self, lock: _LockLike | None = None, *, ctx: BaseContext | None = None) -> None: ...
    # Those of the lock.
    acquire: _Acquire
    release: Callable[[], None]
    def wait(self, timeout: float | None = None) -> bool: ...
    def wait_for(self, predicate: Callable[[], object], timeout: float | None = None) -> Any: ...
    def notify(self, n: int = 1) -> None: ...
    def notify_all(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *error: Any) -> None: ...
    def __getstate__(self) -> Any: ...
    def __setstate__(self, state: Any) -> None: ...

class Event(_ringway.Event):
    def __init__(self, *, ctx: BaseContext | None = None, name: str | None = None) -> None: ...
    def __getstate__(self) -> Any: ...
    def __setstate__(self, state: Any) -> None: ...

class Barrier(threading.Barrier):
    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        ctx: BaseContext | None = None,
        name: str | None = None,
    ) -> None: ...
    def __getstate__(self) -> Any: ...
    def __setstate__(self, state: Any) -> None: ...
