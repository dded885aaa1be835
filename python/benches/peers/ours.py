"""Ringway, used as `multiprocessing` is, and with what it has beyond that."""

import ringway

from . import Peer, Plain, Unavailable
from .stdlib import PipeChannel, QueueChannel

_context = ringway.get_context("fork")


def _have(make):
    """Makes it, if this build has it."""
    try:
        return make()
    except (ImportError, AttributeError, TypeError) as error:
        raise Unavailable(f"this build of ringway has none: {error}") from None


def _queue(payload, **how):
    return QueueChannel(_context.Queue(payload.depth), **how)


def _sized_queue(payload):
    return QueueChannel(_context.Queue(payload.depth, message_size=payload.size))


PEERS = (
    Peer("ringway.Queue", _queue),
    Peer("ringway.Queue get_many", lambda payload: _queue(payload, get="get_many"), takes_many=True),
    # Told how large messages are, as the peers that need to be are.
    Peer("ringway.Queue sized", _sized_queue, is_sized=True),
    Peer("ringway.SimpleQueue", lambda payload: Plain(_have(_context.SimpleQueue))),
    Peer("ringway.Pipe", lambda payload: PipeChannel(_have(lambda: _context.Pipe(False))), is_shared=False),
)
