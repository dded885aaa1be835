"""What objects become on their way: what is plain goes without the pickler, long buffers are not copied twice."""

import array
import collections
import copyreg
import datetime
import decimal
import math
import pickle
import random
import sys
from multiprocessing.reduction import ForkingPickler

import pytest

import ringway
import work

pytestmark = pytest.mark.quick

PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63 - 1,
    -(2**63),
    2**63,
    -(2**63) - 1,
    10**400,
    0.0,
    -0.0,
    1.5,
    math.inf,
    -math.inf,
    5e-324,
    "",
    "a",
    "é€🎉",
    "nul\0in the middle",
    "x" * 1023,
    "x" * 1024,
    "é" * 1024,
    "x" * 100_000,
    b"",
    b"\0",
    b"x" * 1023,
    b"x" * 1024,
    b"\xff" * 1_000_000,
    (),
    [],
    {},
    (1, "two", b"three", 4.0, None, True, False),
    [1, [2, [3, [4]]]],
    {"key": "value", 1: 2, None: (), b"k": []},
    {"flat": 1, "values": "only"},
    {(1, 2): {3, 4}},
    [2**70, 1],
    ["x" * 2000] * 3,
    list(range(10_000)),
    {str(n): n for n in range(10_000)},
]

LONE_SURROGATES = ["\ud800", "a\udfffb", ["\udc80"], {"\ud800": 1}, "\ud800" + "x" * 2000]

OTHERS = [
    set(range(5)),
    frozenset("abc"),
    bytearray(b"abc"),
    bytearray(b"x" * 100_000),
    3 + 4j,
    range(5),
    Ellipsis,
    NotImplemented,
    decimal.Decimal("1.10"),
    datetime.datetime(2026, 1, 2, 3, 4, 5),
    collections.OrderedDict(a=1),
    collections.deque([1, 2], 5),
    array.array("d", range(1000)),
    work.Plain([1, 2]),
    work.Child(5, "note"),
    work.Text("text"),
    ValueError("an error", 1),
    len,
    int,
    work.square,
]


def same(one, other):
    """Equal, and of the same type all through."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one.items(), other.items()))
    if isinstance(one, BaseException):
        return one.args == other.args
    return one == other


@pytest.mark.parametrize("obj", PLAIN + LONE_SURROGATES + OTHERS, ids=lambda obj: f"{type(obj).__name__}")
def test_arrives_as_it_was(fork, obj):
    queue = fork.Queue()
    queue.put(obj)
    assert same(queue.get(), obj)
    assert same(ringway._ringway.loads(ringway._ringway.dumps(obj)), obj)


def test_not_a_number(fork):
    queue = fork.Queue()
    queue.put(math.nan)
    assert math.isnan(queue.get())


def test_in_other_processes(mp):
    inward, outward = mp.Queue(), mp.Queue()
    child = mp.start(work.echo, inward, outward)
    everything = [obj for obj in PLAIN + LONE_SURROGATES + OTHERS if obj is not None]
    for obj in everything:
        inward.put(obj)
    for obj in everything:
        assert same(outward.get(), obj)
    inward.put(None)
    child.join()
    assert child.exitcode == 0


def test_random_objects(fork):
    """Nested at random from a fixed seed."""
    random_ = random.Random(5)

    def make(depth):
        kind = random_.randrange(9 if depth else 6)
        if kind == 0:
            return random_.choice([None, True, False])
        if kind == 1:
            return random_.randrange(-(2**65), 2**65) >> random_.randrange(66)
        if kind == 2:
            return random_.uniform(-1e9, 1e9)
        if kind in (3, 4):
            return "".join(chr(random_.choice([65, 0xE9, 0x20AC, 0x1F389])) for _ in range(random_.randrange(40)))
        if kind == 5:
            return random_.randbytes(random_.choice([0, 1, 50, 2000]))
        items = [make(depth - 1) for _ in range(random_.randrange(6))]
        if kind == 6:
            return items
        if kind == 7:
            return tuple(items)
        return {make(0): item for item in items}

    queue = fork.Queue()
    for _ in range(2000):
        obj = make(3)
        queue.put(obj)
        assert same(queue.get(), obj)


def test_identity_inside_one_message(fork):
    queue = fork.Queue()
    shared = [1]
    recursive = [shared, shared]
    recursive.append(recursive)
    queue.put(recursive)
    got = queue.get()
    assert got[0] is got[1]
    assert got[2] is got
    assert got[0] is not shared


def test_nothing_is_remembered_between_messages(fork):
    """The pickler is used again; what it knew of the last object must be gone."""
    queue = fork.Queue()
    obj = work.Plain([1])
    queue.put(obj)
    obj.value.append(2)
    queue.put(obj)
    assert queue.get().value == [1]
    assert queue.get().value == [1, 2]
    before = sys.getrefcount(obj)
    queue.put(obj)
    assert sys.getrefcount(obj) == before


class Registered:
    """Cannot be pickled, unless somebody says how."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        raise TypeError("not to be pickled")


@pytest.mark.parametrize("register", [copyreg.pickle, ForkingPickler.register], ids=["copyreg", "ForkingPickler"])
def test_reducers_that_are_registered_later(fork, register):
    """The pickler was made before."""
    queue = fork.Queue()
    queue.put({1})
    assert queue.get() == {1}
    new = type("New", (Registered,), {})
    register(new, lambda obj: (work.identity, (obj.value,)))
    queue.put(new(7))
    assert queue.get() == 7


def test_what_cannot_be_pickled_is_the_callers_error(fork):
    queue = fork.Queue()
    for obj, error in [
        (lambda: 0, (pickle.PicklingError, AttributeError)),
        (work.FailsToPickle(), RuntimeError),
        ([1, work.FailsToPickle()], RuntimeError),
        (sys, TypeError),
    ]:
        with pytest.raises(error):
            queue.put(obj)
        with pytest.raises(error):
            queue.put_many([obj])
        assert queue.empty()
        queue.put([1, {2}])  # the pickler still works
        assert queue.get() == [1, {2}]


def test_or_the_class_hears_of_it(fork, capsys):
    class Quiet(ringway.queues.Queue):
        raise_pickling_errors = False
        heard = []

        def _on_queue_feeder_error(self, error, obj):
            self.heard.append((error, obj))

    queue, obj = Quiet(ctx=fork.context), work.FailsToPickle()
    queue.put(obj)
    assert queue.empty()
    [(error, about)] = Quiet.heard
    assert isinstance(error, RuntimeError) and about is obj

    class Standard(ringway.queues.Queue):
        raise_pickling_errors = False

    Standard(ctx=fork.context).put(obj)
    assert "not to be pickled" in capsys.readouterr().err


def test_what_cannot_be_unpickled_is_the_receivers_error(fork):
    queue = fork.Queue()
    queue.put(work.FailsToUnpickle())
    queue.put("next")
    with pytest.raises(ValueError, match="not to be unpickled"):
        queue.get()
    assert queue.get() == "next"


def test_pickling_that_puts(fork):
    queue = fork.Queue()
    inner = work.PutsWhilePickled(queue, [{1}, "innermost"])
    queue.put([work.PutsWhilePickled(queue, [inner, 7])])
    assert queue.get() == [{1}, "innermost"]
    assert queue.get() == ["outer", 7]
    assert queue.get() == ["outer"]


def test_subclasses_keep_their_class(mp):
    inward, outward = mp.Queue(), mp.Queue()
    for obj in [work.Child(5), work.Text("t"), True]:
        inward.put(obj)
        mp.run(work.tell_type, inward, outward)
        assert outward.get() == f"{type(obj).__module__}.{type(obj).__qualname__}"


def test_buffers_apart(fork):
    """Protocol 5: what says it is a buffer is not copied into the pickle."""
    queue = fork.Queue()
    for length in [0, 1, 1023, 1024, 65_535, 65_536, 1_000_000]:
        content = bytes(range(256)) * (length // 256 + 1)
        content = content[:length]
        queue.put([pickle.PickleBuffer(bytearray(content)), pickle.PickleBuffer(content), "beside"])
        writable, read_only, beside = queue.get()
        assert (bytes(writable), bytes(read_only), beside) == (content, content, "beside")
        if length >= 1024:
            assert memoryview(read_only).readonly
            assert not memoryview(writable).readonly
            memoryview(writable)[0] = 255


def test_many_buffers(fork):
    queue = fork.Queue()
    buffers = [bytearray([n % 256]) * (1024 + n) for n in range(500)]
    queue.put([pickle.PickleBuffer(each) for each in buffers])
    assert [bytes(each) for each in queue.get()] == [bytes(each) for each in buffers]
