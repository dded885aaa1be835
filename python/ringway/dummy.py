"""`multiprocessing.dummy`: the standard library's own."""

import sys

from multiprocessing import dummy

sys.modules[__name__] = dummy
