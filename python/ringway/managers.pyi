from multiprocessing.managers import BaseManager as BaseManager
from multiprocessing.managers import BaseProxy as BaseProxy
from multiprocessing.managers import SharedMemoryManager as SharedMemoryManager
from multiprocessing.managers import SyncManager as SyncManager
from multiprocessing.managers import Token as Token

__all__ = ["BaseManager", "SyncManager", "BaseProxy", "Token", "SharedMemoryManager"]
