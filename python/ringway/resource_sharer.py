"""`multiprocessing.resource_sharer`: the standard library's own."""

import sys

from multiprocessing import resource_sharer

sys.modules[__name__] = resource_sharer
