"""`multiprocessing.spawn`: the standard library's own."""

import sys

from multiprocessing import spawn

sys.modules[__name__] = spawn
