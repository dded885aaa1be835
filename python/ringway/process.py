"""`multiprocessing.process`: the standard library's own."""

import sys

from multiprocessing import process

sys.modules[__name__] = process
