"""`multiprocessing.resource_tracker`: the standard library's own."""

import sys

from multiprocessing import resource_tracker

sys.modules[__name__] = resource_tracker
