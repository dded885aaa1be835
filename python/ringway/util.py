"""`multiprocessing.util`: the standard library's own."""

import sys

from multiprocessing import util

sys.modules[__name__] = util
