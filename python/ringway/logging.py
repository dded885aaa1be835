"""`QueueHandler` and `QueueListener`: those of `logging.handlers`, made for `ringway.Queue`.

    queue = ringway.Queue()
    listener = QueueListener(queue, logging.StreamHandler())   # in one process
    with listener:
        ...
    logging.getLogger().addHandler(QueueHandler(queue))        # in the others; or setup(queue)

A record travels as a flat tuple, without the pickler. A process that is killed while it logs keeps nobody waiting, and what it
had logged before is not lost. Records come in the order in which their process has logged them.

Both understand the records of the standard library's handler; the standard library's listener does not understand these.
"""

import logging
import logging.handlers
import sys
import traceback
from operator import itemgetter
from queue import Empty

from . import _ringway, queues
from ._compat import ShutDown

__all__ = ["QueueHandler", "QueueListener", "setup"]

#: What a message has, after their number; then other attributes, each with its name in front. `message` is the whole text.
_FIELDS = (
    "message",
    "name",
    "levelno",
    "levelname",
    "pathname",
    "filename",
    "module",
    "lineno",
    "funcName",
    "created",
    "msecs",
    "relativeCreated",
    "thread",
    "threadName",
    "processName",
    "process",
    "taskName",
)

#: Some versions of Python have no names of tasks.
_COUNTS = len(_FIELDS) - 1, len(_FIELDS)
_COUNT = _COUNTS["taskName" in vars(logging.makeLogRecord({}))]

#: What became part of the text.
_MERGED = {"args": None, "exc_info": None, "exc_text": None, "stack_info": None}

_KNOWN = frozenset(_FIELDS[:_COUNT]) | _MERGED.keys() | {"msg"}

#: Most records have fewer bytes.
_USUAL_SIZE = 512

_take_fields = itemgetter(*_FIELDS[:_COUNT])


def _message_of(record):
    """What is sent for a record that was prepared."""
    if type(record) is not logging.LogRecord:
        return record
    fields = vars(record)
    try:
        message = _COUNT, *_take_fields(fields)
    except KeyError:
        return record
    if len(fields) != len(_KNOWN):
        for name in fields.keys() - _KNOWN:
            message += name, fields[name]
    return message


def _record_of(message):
    """The inverse. Whatever else it is comes back as it is."""
    if type(message) is not tuple or not message or message[0] not in _COUNTS:
        return message
    first_other = 1 + message[0]
    if len(message) < first_other:
        return message
    fields = dict(zip(_FIELDS, message[1:first_other]))
    fields |= _MERGED
    fields["msg"] = fields["message"]
    if len(message) > first_other:
        fields.update(zip(message[first_other::2], message[first_other + 1 :: 2]))
    if logging.getLogRecordFactory() is not logging.LogRecord:
        return logging.makeLogRecord(fields)
    record = logging.LogRecord.__new__(logging.LogRecord)
    record.__dict__ = fields
    return record


class QueueHandler(logging.handlers.QueueHandler):
    """Puts records into `queue`; if there is none, into a new one without a limit, `handler.queue`.

    Queues made with `message_size=512` take most records as they come, without going through a backlog when many are waiting.
    The text of a record is made here, with that of its exception; what `extra` has travels as it is. If a queue with a limit is
    full, the record is dropped, and `handleError` is called, as in the standard library.
    """

    def __init__(self, queue=None):
        super().__init__(queues.Queue(message_size=_USUAL_SIZE) if queue is None else queue)

    def prepare(self, record):
        """A copy of the record that can be sent."""
        text = self.format(record)
        if type(record) is not logging.LogRecord:
            return super().prepare(record)
        copy = logging.LogRecord.__new__(logging.LogRecord)
        copy.__dict__ = {**record.__dict__, **_MERGED, "message": text, "msg": text}
        return copy

    def enqueue(self, record):
        """Puts it without waiting."""
        queue = self.queue
        queue.put_nowait(_message_of(record) if isinstance(queue, _ringway.Queue) else record)


class QueueListener(logging.handlers.QueueListener):
    """Gives the records of `queue` to `handlers`, in a thread, from `start()` to `stop()`; or as long as a `with` block lasts.

    `stop` returns when all that was put before it was handled. A message that is no record, or cannot be unpickled here, becomes
    an error record that says so. Handlers that raise do not end the listener.
    """

    def __init__(self, queue, *handlers, respect_handler_level=False):
        super().__init__(queue, *handlers, respect_handler_level=respect_handler_level)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self):
        """Begins to handle records, in a thread."""
        if self._thread is not None:
            raise RuntimeError("Listener already started")
        super().start()

    def stop(self):
        """Handles what was put until now, and ends. Once is enough."""
        if self._thread is not None:
            if self._thread.is_alive():
                self.enqueue_sentinel()
            self._thread.join()
            self._thread = None

    def enqueue_sentinel(self):
        """Tells the thread to end; waits for room if there is none."""
        try:
            self.queue.put(self._sentinel)
        except ShutDown:
            pass  # then it ends by itself

    def dequeue(self, block):
        """The next record, or the sentinel."""
        if not isinstance(self.queue, _ringway.Queue):
            return self.queue.get(block)
        message = self.queue.get_bytes(block)
        try:
            found = _record_of(_ringway.loads(message))
            if found is self._sentinel or isinstance(found, logging.LogRecord):
                return found
            why = f"{type(found).__name__} is no record"
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        fields = {"name": __name__, "levelno": logging.ERROR, "levelname": logging.getLevelName(logging.ERROR)}
        return logging.makeLogRecord({**fields, "msg": f"a message of {len(message)} bytes could not be read: {why}"})

    def _monitor(self):
        task_done = getattr(self.queue, "task_done", lambda: None)
        while True:
            try:
                record = self.dequeue(True)
            except (Empty, ShutDown):
                break
            try:
                if record is self._sentinel:
                    break
                self.handle(record)
            except Exception:
                if logging.raiseExceptions and sys.stderr:
                    traceback.print_exc()
            finally:
                task_done()


def setup(queue, level=None):
    """Makes this process log to `queue` and nowhere else; returns the handler. For the beginning of a worker:

        pool = ringway.Pool(4, ringway.logging.setup, (queue, logging.INFO))

    The handlers that the root logger had, by a fork for instance, are not closed: they belong to another process.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    handler = QueueHandler(queue)
    root.addHandler(handler)
    if level is not None:
        root.setLevel(level)
    return handler
