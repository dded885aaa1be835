"""`multiprocessing.forkserver`: the standard library's own."""

import sys

from multiprocessing import forkserver

sys.modules[__name__] = forkserver
