"""faster-fifo: a ring of bytes behind a mutex, with the standard library's pickler."""

from . import Peer, Plain, Unavailable

try:
    from faster_fifo import Queue
except ImportError as error:
    Queue, _missing = None, error


def _make(payload, get):
    if Queue is None:
        raise Unavailable(str(_missing))
    return Plain(Queue(payload.room), get=get)


PEERS = (
    Peer("faster-fifo", lambda payload: _make(payload, "get")),
    Peer("faster-fifo get_many", lambda payload: _make(payload, "get_many"), takes_many=True),
)
