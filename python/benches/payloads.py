"""What is sent, and what its receiver does with it: the same for all."""

import os
from dataclasses import dataclass
from typing import Any, Callable

# Threads that wait for matrices would take part of the processors.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
try:
    import numpy
except ImportError:  # then its payload is left out
    numpy = None

KIB = 1 << 10
MIB = 1 << 20
PAGE = 4096


@dataclass(frozen=True)
class Payload:
    """One kind of object."""

    name: str
    #: Some of its kind, sent in turns.
    values: Callable[[], list]
    #: How many may wait in a queue that is bounded by number, and how many bytes in one that is bounded by those.
    depth: int = 1024
    room: int = MIB
    #: What one takes as bytes, pickled, for a queue that is told; `None`: what it is made for anyway.
    size: int | None = None
    #: What the receiver does with each; `None`: no more than to have it.
    touch: Callable[[Any], Any] | None = None
    is_same: Callable[[Any, Any], bool] = lambda got, sent: type(got) is type(sent) and got == sent


def _ints():
    return list(range(1_000_000, 1_000_256))


def _dicts():
    return [{"name": f"sensor {i:02}", "unit": "degree Celsius", "text": "all is well here"} for i in range(64)]


def _kibs():
    return [bytes([i]) * KIB for i in range(64)]


def _arrays():
    return [numpy.full(MIB, i, dtype=numpy.uint8) for i in range(4)]


def _tuples():
    # What faster-fifo's own comparison sends.
    return [(i,) * 5 for i in range(64)]


def _look_at_each_page(array):
    return int(array[::PAGE].sum())


def _same_array(got, sent):
    return type(got) is type(sent) and got.dtype == sent.dtype and numpy.array_equal(got, sent)


PAYLOADS = {
    payload.name: payload
    for payload in (
        Payload("int", _ints),
        Payload("dict", _dicts),
        Payload("1 KiB bytes", _kibs, room=2 * MIB, size=2 * KIB),
        Payload("1 MiB numpy", _arrays, depth=16, room=32 * MIB, touch=_look_at_each_page, is_same=_same_array),
        Payload("tuple", _tuples),
    )
    if numpy or "numpy" not in payload.name
}
