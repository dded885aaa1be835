"""`multiprocessing.managers`: a manager's objects live in its server process, whatever they are made of."""

from multiprocessing.managers import *  # noqa: F401,F403
from multiprocessing.managers import __all__, BaseManager, BaseProxy, SyncManager, Token  # noqa: F401
