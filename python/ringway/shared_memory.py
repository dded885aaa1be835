"""`multiprocessing.shared_memory`: the standard library's own."""

import sys

from multiprocessing import shared_memory

sys.modules[__name__] = shared_memory
