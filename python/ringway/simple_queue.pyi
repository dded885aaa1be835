from multiprocessing.context import BaseContext
from types import GenericAlias
from typing import Any, TypeVar

from . import _ringway

__all__ = ["SimpleQueue"]

_T = TypeVar("_T")

class SimpleQueue(_ringway.SimpleQueue[_T]):
    def __init__(self, *, ctx: BaseContext | None = None) -> None: ...
    def __getstate__(self) -> Any: ...
    def __setstate__(self, state: Any) -> None: ...
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
