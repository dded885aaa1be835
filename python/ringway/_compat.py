"""What some versions of Python have, and others lack."""

import queue

__all__ = ["ForeignMessage", "ShutDown"]

if hasattr(queue, "ShutDown"):
    ShutDown = queue.ShutDown
else:

    class ShutDown(Exception):
        """Raised by `put` and `get` of a queue that was shut down (`queue.ShutDown`, from Python 3.13 on)."""


class ForeignMessage(ValueError):
    """A message that no `put` of this package has made. Its bytes are `args[1]`."""
