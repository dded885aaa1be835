"""The standard library: `multiprocessing`."""

import multiprocessing

from . import Peer, Plain

_context = multiprocessing.get_context("fork")


class QueueChannel(Plain):
    """A thread of the sender's does the sending."""

    def finish(self):
        self.queue.close()
        self.queue.join_thread()


class PipeChannel:
    def __init__(self, pair):
        self.reader, self.writer = pair

    def sender(self):
        return self.writer.send

    def receiver(self):
        return self.reader.recv

    def finish(self):
        pass

    def close(self):
        self.reader.close()
        self.writer.close()


PEERS = (
    Peer("mp.Queue", lambda payload: QueueChannel(_context.Queue(payload.depth))),
    Peer("mp.SimpleQueue", lambda payload: Plain(_context.SimpleQueue())),
    Peer("mp.Pipe", lambda payload: PipeChannel(_context.Pipe(duplex=False)), is_shared=False),
)
