import sys

__all__ = ["ForeignMessage", "ShutDown"]

if sys.version_info >= (3, 13):
    from queue import ShutDown as ShutDown
else:
    class ShutDown(Exception): ...

class ForeignMessage(ValueError): ...
