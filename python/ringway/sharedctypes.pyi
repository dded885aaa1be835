import ctypes
from collections.abc import Sequence
from ctypes import _CData, _SimpleCData
from multiprocessing import sharedctypes as _std
from multiprocessing.context import BaseContext
from multiprocessing.context import assert_spawning as assert_spawning
from typing import Any, Generic, Literal, TypeAlias, TypeVar, overload, type_check_only

from numpy.typing import NDArray

from . import _ringway
from .synchronize import _LockLike

__all__ = ["RawValue", "RawArray", "Value", "Array", "copy", "synchronized"]

_T = TypeVar("_T")
_CT = TypeVar("_CT", bound=_CData)
_Content: TypeAlias = int | Sequence[Any]
_Integer: TypeAlias = Literal["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]
_Float: TypeAlias = Literal["f", "d"]

class Memory(_ringway.Memory):
    def __getstate__(self) -> Any: ...
    def __setstate__(self, state: Any) -> None: ...

@overload
def RawValue(typecode_or_type: type[_CT], *args: Any, name: str | None = None) -> _CT: ...
@overload
def RawValue(typecode_or_type: str, *args: Any, name: str | None = None) -> Any: ...
@overload
def RawArray(
    typecode_or_type: type[_CT], size_or_initializer: _Content, *, name: str | None = None
) -> ctypes.Array[_CT]: ...
@overload
def RawArray(typecode_or_type: str, size_or_initializer: _Content, *, name: str | None = None) -> ctypes.Array[Any]: ...

# Without a lock
@overload
def Value(
    typecode_or_type: type[_CT],
    *args: Any,
    lock: Literal[False],
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> _CT: ...
@overload
def Value(
    typecode_or_type: str, *args: Any, lock: Literal[False], ctx: BaseContext | None = None, name: str | None = None
) -> Any: ...

# With one
@overload
def Value(
    typecode_or_type: _Integer,
    *args: Any,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> Synchronized[int]: ...
@overload
def Value(
    typecode_or_type: _Float,
    *args: Any,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> Synchronized[float]: ...
@overload
def Value(
    typecode_or_type: type[_SimpleCData[_T]],
    *args: Any,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> Synchronized[_T]: ...
@overload
def Value(
    typecode_or_type: type[_CT],
    *args: Any,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> _SynchronizedStructure[_CT]: ...
@overload
def Value(
    typecode_or_type: str,
    *args: Any,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> Synchronized[Any]: ...
@overload
def Value(
    typecode_or_type: str | type[_CData],
    *args: Any,
    lock: bool | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> Any: ...

# Without a lock
@overload
def Array(
    typecode_or_type: type[_CT],
    size_or_initializer: _Content,
    *,
    lock: Literal[False],
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> ctypes.Array[_CT]: ...
@overload
def Array(
    typecode_or_type: str,
    size_or_initializer: _Content,
    *,
    lock: Literal[False],
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> ctypes.Array[Any]: ...

# With one
@overload
def Array(
    typecode_or_type: Literal["c"] | type[ctypes.c_char],
    size_or_initializer: _Content,
    *,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> SynchronizedString: ...
@overload
def Array(
    typecode_or_type: _Integer,
    size_or_initializer: _Content,
    *,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> SynchronizedArray[int]: ...
@overload
def Array(
    typecode_or_type: _Float,
    size_or_initializer: _Content,
    *,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> SynchronizedArray[float]: ...
@overload
def Array(
    typecode_or_type: type[_SimpleCData[_T]],
    size_or_initializer: _Content,
    *,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> SynchronizedArray[_T]: ...
@overload
def Array(
    typecode_or_type: str | type[_CData],
    size_or_initializer: _Content,
    *,
    lock: Literal[True] | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> SynchronizedArray[Any]: ...
@overload
def Array(
    typecode_or_type: str | type[_CData],
    size_or_initializer: _Content,
    *,
    lock: bool | _LockLike = True,
    ctx: BaseContext | None = None,
    name: str | None = None,
) -> Any: ...
def copy(obj: _CT) -> _CT: ...
@overload
def synchronized(  # type: ignore[overload-overlap]
    obj: _SimpleCData[_T], lock: _LockLike | None = None, ctx: BaseContext | None = None
) -> Synchronized[_T]: ...
@overload
def synchronized(  # type: ignore[overload-overlap]
    obj: ctypes.Array[ctypes.c_char], lock: _LockLike | None = None, ctx: BaseContext | None = None
) -> SynchronizedString: ...
@overload
def synchronized(  # type: ignore[overload-overlap]
    obj: ctypes.Array[_SimpleCData[_T]], lock: _LockLike | None = None, ctx: BaseContext | None = None
) -> SynchronizedArray[_T]: ...
@overload
def synchronized(
    obj: _CT, lock: _LockLike | None = None, ctx: BaseContext | None = None
) -> _SynchronizedStructure[_CT]: ...
def asarray(obj: ctypes.Array[Any]) -> NDArray[Any]: ...
def reduce_ctype(obj: _CData) -> Any: ...
def rebuild_ctype(type_: type[Any], wrapper: Memory, length: int | None) -> Any: ...

class SynchronizedBase(_std.SynchronizedBase[_CT]):
    def __init__(self, obj: Any, lock: _LockLike | None = None, ctx: BaseContext | None = None) -> None: ...
    def get_lock(self) -> _LockLike: ...  # type: ignore[override]
    def __reduce__(self) -> Any: ...

@type_check_only
class _SynchronizedStructure(SynchronizedBase[_CT]):
    # The fields of the structure.
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...

class Synchronized(SynchronizedBase[_SimpleCData[_T]], _std.Synchronized[_T], Generic[_T]):
    def fetch_add(self, by: _T) -> _T: ...
    def exchange(self, new: _T) -> _T: ...
    def compare_exchange(self, expected: _T, new: _T) -> _T: ...

class SynchronizedArray(SynchronizedBase[ctypes.Array[_SimpleCData[_T]]], _std.SynchronizedArray[_T], Generic[_T]):
    def fetch_add(self, index: int, by: _T) -> _T: ...
    def exchange(self, index: int, new: _T) -> _T: ...
    def compare_exchange(self, index: int, expected: _T, new: _T) -> _T: ...
    def asarray(self) -> NDArray[Any]: ...

class SynchronizedString(SynchronizedArray[bytes], _std.SynchronizedString): ...
