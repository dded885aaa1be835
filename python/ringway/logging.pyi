import logging
import logging.handlers
from types import TracebackType
from typing import Any

from typing_extensions import Self

from . import queues

__all__ = ["QueueHandler", "QueueListener", "setup"]

class QueueHandler(logging.handlers.QueueHandler):
    def __init__(self, queue: Any | None = None) -> None: ...

class QueueListener(logging.handlers.QueueListener):
    def __init__(self, queue: Any, *handlers: logging.Handler, respect_handler_level: bool = False) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

def setup(queue: queues.Queue[Any], level: int | str | None = None) -> QueueHandler: ...
