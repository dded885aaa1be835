from collections.abc import Iterable
from multiprocessing.connection import Client as Client
from multiprocessing.connection import Listener as Listener
from multiprocessing.connection import answer_challenge as answer_challenge
from multiprocessing.connection import deliver_challenge as deliver_challenge
from multiprocessing.context import AuthenticationError as AuthenticationError
from multiprocessing.context import BufferTooShort as BufferTooShort
from typing import Any, TypeVar

from _typeshed import FileDescriptorLike

from ._ringway import Connection as Connection

__all__ = ["Client", "Listener", "Pipe", "wait"]

_Waitable = TypeVar("_Waitable", bound=FileDescriptorLike)

def Pipe(duplex: bool = True, *, capacity: int | None = None) -> tuple[Connection[Any, Any], Connection[Any, Any]]: ...
def wait(object_list: Iterable[_Waitable], timeout: float | None = None) -> list[_Waitable]: ...
def reduce_connection(connection: Connection[Any, Any]) -> Any: ...
def rebuild_connection(memory: Any, socket: Any, readable: bool) -> Connection[Any, Any]: ...
