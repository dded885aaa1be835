"""By what it is sent: a `Peer` for each library and each way to use it."""

from dataclasses import dataclass
from typing import Any, Callable, Protocol

from ..payloads import Payload


class Unavailable(Exception):
    """It is not installed, or cannot do this."""


class Channel(Protocol):
    """One direction. It is made before the processes are forked; each then asks for its end."""

    def sender(self) -> Callable[[Any], Any]:
        """A function that sends an object, and waits for room if it must."""

    def receiver(self) -> Callable[[], Any]:
        """A function that waits for an object; for a peer that `takes_many`, for a list of at least one."""

    def finish(self) -> None:
        """In a sender, before its process ends: all that was sent is on its way."""

    def close(self) -> None:
        """In the process that made it, when all is over."""


@dataclass(frozen=True)
class Peer:
    """A way to send objects to another process."""

    name: str
    make: Callable[[Payload], Channel]
    takes_many: bool = False
    #: Whether there may be several at each end.
    is_shared: bool = True
    #: Whether it is there for payloads only that have a size.
    is_sized: bool = False


class Plain:
    """A channel that is one object with `put` and `get`."""

    def __init__(self, queue, put="put", get="get"):
        self.queue, self.put, self.get = queue, put, get

    def sender(self):
        return getattr(self.queue, self.put)

    def receiver(self):
        return getattr(self.queue, self.get)

    def finish(self):
        pass

    def close(self):
        pass


from . import cloudtoid, faster_fifo, ours, stdlib  # noqa: E402

PEERS = {peer.name: peer for peer in (*ours.PEERS, *stdlib.PEERS, *faster_fifo.PEERS, *cloudtoid.PEERS)}
