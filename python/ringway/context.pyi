import ctypes
from collections.abc import Callable, Iterable
from ctypes import _CData, _SimpleCData
from multiprocessing import context as _std
from multiprocessing.context import AuthenticationError as AuthenticationError
from multiprocessing.context import BufferTooShort as BufferTooShort
from multiprocessing.context import ForkProcess as ForkProcess
from multiprocessing.context import ForkServerProcess as ForkServerProcess
from multiprocessing.context import Process as Process
from multiprocessing.context import ProcessError as ProcessError
from multiprocessing.context import SpawnProcess as SpawnProcess
from multiprocessing.context import TimeoutError as TimeoutError
from multiprocessing.context import assert_spawning as assert_spawning
from multiprocessing.context import get_spawning_popen as get_spawning_popen
from multiprocessing.context import set_spawning_popen as set_spawning_popen
from typing import Any, ClassVar, Literal, TypeVar, overload

from . import pool, queues, shared_dict, synchronize
from ._ringway import Connection
from .managers import SyncManager
from .sharedctypes import (
    Synchronized,
    SynchronizedArray,
    SynchronizedString,
    _Content,
    _Float,
    _Integer,
    _SynchronizedStructure,
)
from .synchronize import _LockLike

__all__ = ()

_T = TypeVar("_T")
_CT = TypeVar("_CT", bound=_CData)

# What a method makes is this package's, and its keywords are more than the standard library's.
class BaseContext(_std.BaseContext):
    def Manager(self) -> SyncManager: ...
    def SharedDict(
        self, max_items: int = 1024, max_bytes: int = 1 << 20, *, name: str | None = None
    ) -> shared_dict.SharedDict[Any, Any]: ...
    def Pipe(  # type: ignore[override]
        self, duplex: bool = True, *, capacity: int | None = None
    ) -> tuple[Connection[Any, Any], Connection[Any, Any]]: ...
    def Lock(self, *, name: str | None = None, raise_if_recovered: bool = False) -> synchronize.Lock: ...  # type: ignore[override]
    def RLock(self, *, name: str | None = None, raise_if_recovered: bool = False) -> synchronize.RLock: ...  # type: ignore[override]
    def Condition(self, lock: _LockLike | None = None) -> synchronize.Condition: ...  # type: ignore[override]
    def Semaphore(self, value: int = 1, *, name: str | None = None) -> synchronize.Semaphore: ...  # type: ignore[override]
    def BoundedSemaphore(self, value: int = 1, *, name: str | None = None) -> synchronize.BoundedSemaphore: ...  # type: ignore[override]
    def Event(self, *, name: str | None = None) -> synchronize.Event: ...  # type: ignore[override]
    def Barrier(  # type: ignore[override]
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
    ) -> synchronize.Barrier: ...
    def Queue(  # type: ignore[override]
        self,
        maxsize: int = 0,
        *,
        name: str | None = None,
        message_size: int | None = None,
        max_bytes: int | None = None,
        mode: int | None = None,
    ) -> queues.Queue[Any]: ...
    def JoinableQueue(  # type: ignore[override]
        self,
        maxsize: int = 0,
        *,
        name: str | None = None,
        message_size: int | None = None,
        max_bytes: int | None = None,
        mode: int | None = None,
    ) -> queues.JoinableQueue[Any]: ...
    def SimpleQueue(self) -> queues.SimpleQueue[Any]: ...  # type: ignore[override]
    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> pool.Pool: ...
    @overload
    def RawValue(self, typecode_or_type: type[_CT], *args: Any, name: str | None = None) -> _CT: ...
    @overload
    def RawValue(self, typecode_or_type: str, *args: Any, name: str | None = None) -> Any: ...
    @overload
    def RawArray(
        self, typecode_or_type: type[_CT], size_or_initializer: _Content, *, name: str | None = None
    ) -> ctypes.Array[_CT]: ...
    @overload
    def RawArray(
        self, typecode_or_type: str, size_or_initializer: _Content, *, name: str | None = None
    ) -> ctypes.Array[Any]: ...
    @overload  # type: ignore[override]
    def Value(
        self, typecode_or_type: type[_CT], *args: Any, lock: Literal[False], name: str | None = None
    ) -> _CT: ...
    @overload
    def Value(self, typecode_or_type: str, *args: Any, lock: Literal[False], name: str | None = None) -> Any: ...
    @overload
    def Value(
        self,
        typecode_or_type: _Integer,
        *args: Any,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> Synchronized[int]: ...
    @overload
    def Value(
        self,
        typecode_or_type: _Float,
        *args: Any,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> Synchronized[float]: ...
    @overload
    def Value(
        self,
        typecode_or_type: type[_SimpleCData[_T]],
        *args: Any,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> Synchronized[_T]: ...
    @overload
    def Value(
        self,
        typecode_or_type: type[_CT],
        *args: Any,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> _SynchronizedStructure[_CT]: ...
    @overload
    def Value(
        self, typecode_or_type: str, *args: Any, lock: Literal[True] | _LockLike = True, name: str | None = None
    ) -> Synchronized[Any]: ...
    @overload
    def Value(
        self,
        typecode_or_type: str | type[_CData],
        *args: Any,
        lock: bool | _LockLike = True,
        name: str | None = None,
    ) -> Any: ...
    @overload  # type: ignore[override]
    def Array(
        self,
        typecode_or_type: type[_CT],
        size_or_initializer: _Content,
        *,
        lock: Literal[False],
        name: str | None = None,
    ) -> ctypes.Array[_CT]: ...
    @overload
    def Array(
        self, typecode_or_type: str, size_or_initializer: _Content, *, lock: Literal[False], name: str | None = None
    ) -> ctypes.Array[Any]: ...
    @overload
    def Array(
        self,
        typecode_or_type: Literal["c"] | type[ctypes.c_char],
        size_or_initializer: _Content,
        *,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> SynchronizedString: ...
    @overload
    def Array(
        self,
        typecode_or_type: _Integer,
        size_or_initializer: _Content,
        *,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> SynchronizedArray[int]: ...
    @overload
    def Array(
        self,
        typecode_or_type: _Float,
        size_or_initializer: _Content,
        *,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> SynchronizedArray[float]: ...
    @overload
    def Array(
        self,
        typecode_or_type: type[_SimpleCData[_T]],
        size_or_initializer: _Content,
        *,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> SynchronizedArray[_T]: ...
    @overload
    def Array(
        self,
        typecode_or_type: str | type[_CData],
        size_or_initializer: _Content,
        *,
        lock: Literal[True] | _LockLike = True,
        name: str | None = None,
    ) -> SynchronizedArray[Any]: ...
    @overload
    def Array(
        self,
        typecode_or_type: str | type[_CData],
        size_or_initializer: _Content,
        *,
        lock: bool | _LockLike = True,
        name: str | None = None,
    ) -> Any: ...
    @overload  # type: ignore[override]
    def get_context(self, method: None = None) -> BaseContext: ...
    @overload
    def get_context(self, method: Literal["fork"]) -> ForkContext: ...
    @overload
    def get_context(self, method: Literal["spawn"]) -> SpawnContext: ...
    @overload
    def get_context(self, method: Literal["forkserver"]) -> ForkServerContext: ...
    @overload
    def get_context(self, method: str) -> BaseContext: ...

class DefaultContext(BaseContext):
    Process: ClassVar[type[_std.Process]]
    def get_all_start_methods(self) -> list[str]: ...

class ForkContext(BaseContext, _std.ForkContext): ...
class SpawnContext(BaseContext, _std.SpawnContext): ...
class ForkServerContext(BaseContext, _std.ForkServerContext): ...

_default_context: DefaultContext
