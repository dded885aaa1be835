"""`SharedDict`: what a `dict` does, between processes."""

import enum
import gc
import math
import os
import pickle
import random

import pytest

import dict_work as work
import ringway
from conftest import descriptors, end, in_thread

KEYS = [
    "",
    "a",
    "é€🎉",
    "nul\0",
    "\ud800",
    "x\udfff" * 50,
    "x" * 10_000,
    b"",
    b"a",
    b"\xfc\xff",
    b"\xfd",
    b"\xfda",
    b"\xfea",
    b"\xff12345678",
    b"\xff" * 100,
    0,
    1,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    -(2**63) - 1,
    -(2**71),
    10**400,
]


def test_keys_are_what_they_were_and_differ_by_their_type():
    shared = ringway.SharedDict()
    for number, key in enumerate(KEYS + ["1", b"1"]):
        assert key not in shared
        shared[key] = number
    assert list(shared) == KEYS + ["1", b"1"]
    assert [type(key) for key in shared] == [type(key) for key in KEYS + ["1", b"1"]]
    for number, key in enumerate(KEYS + ["1", b"1"]):
        assert key in shared and shared[key] == number


def test_equal_keys_are_one():
    class Text(str):
        def encode(self, *_):
            raise AssertionError

    class Number(enum.IntEnum):
        one = 1

    shared, plain = ringway.SharedDict(), {}
    for key in (True, 1, Number.one, False, 0, -0, Text("t"), "t", Text("\ud800"), "\ud800"):
        shared[key] = plain[key] = repr(key)
    assert shared == plain and len(shared) == 4
    assert [type(key) for key in shared] == [int, int, str, str]


@pytest.mark.parametrize("key", [1.0, None, (), ("a", 1), bytearray(b"a"), [], object()], ids=repr)
def test_other_keys_are_refused(key):
    shared = ringway.SharedDict()
    for use in (
        lambda: shared[key],
        lambda: key in shared,
        lambda: shared.get(key),
        lambda: shared.pop(key, 0),
        lambda: shared.setdefault(key, 0),
        lambda: shared.__setitem__(key, 0),
        lambda: shared.__delitem__(key),
        lambda: shared.update(key, len),
        lambda: shared.get_bytes(key),
        lambda: shared.set_bytes(key, b""),
    ):
        with pytest.raises(TypeError, match="str, bytes or int, not " + type(key).__name__):
            use()
    assert len(shared) == 0


VALUES = [
    None,
    True,
    2**200,
    1.5,
    math.inf,
    "é",
    "\ud800",
    b"",
    "x" * 100_000,
    b"x" * 500_000,
    (),
    [1, [2, {3: 4}]],
    {"a": {1, 2}},
    work.Plain([1]),
    KeyError("a"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_values_are_what_they_were(value):
    shared = ringway.SharedDict(max_bytes=4 << 20)
    shared["k"] = value
    for found in (shared["k"], shared.get("k"), shared.copy()["k"], shared.setdefault("k", 1), shared.pop("k")):
        assert type(found) is type(value)
        assert found == value if not isinstance(value, Exception) else found.args == value.args
    assert "k" not in shared


def test_values_are_copies():
    shared = ringway.SharedDict()
    mine = [1]
    shared["k"] = mine
    mine.append(2)
    shared["k"].append(3)
    assert shared["k"] == [1]


@pytest.mark.parametrize("data", [b"r" * 100_000, bytearray(b"w" * 100_000)], ids=["read-only", "writable"])
def test_buffers_of_values_are_copies_too(data):
    shared = ringway.SharedDict()
    shared["k"] = work.Buffer(data)
    found, again = shared["k"].data, shared["k"].data
    del shared["k"]
    shared["k"] = work.Buffer(b"o" * 100_000)  # where the first one lay
    assert found == data and type(found) is type(data)
    if isinstance(data, bytearray):
        found[0] = 0
        assert again == data


def test_what_a_dict_does_at_random():
    rng = random.Random(7)
    shared, plain = ringway.SharedDict(max_items=50, max_bytes=20_000), {}
    keys = [make(n) for n in range(12) for make in (int, str, lambda n: b"%d" % n)]

    def value():
        return rng.choice((rng.random(), "x" * rng.randrange(300), list(range(rng.randrange(9))), {1, 2}))

    def outcome(call):
        try:
            return call()
        except KeyError as error:
            return KeyError, error.args

    acts = [
        lambda d, k, v: d.__setitem__(k, v),
        lambda d, k, v: d.__setitem__(k, v),
        lambda d, k, v: d.__delitem__(k),
        lambda d, k, v: d[k],
        lambda d, k, v: d.get(k),
        lambda d, k, v: d.get(k, v),
        lambda d, k, v: k in d,
        lambda d, k, v: d.pop(k),
        lambda d, k, v: d.pop(k, v),
        lambda d, k, v: d.setdefault(k, v),
        lambda d, k, v: d.setdefault(k),
        lambda d, k, v: d.update({k: v, "7": 7}),
        lambda d, k, v: d.update([(k, v), (8, v)], six=v),
        lambda d, k, v: d.popitem() if v else d.clear(),
        lambda d, k, v: list(reversed(list(d))),
        lambda d, k, v: len(d),
    ]
    for _ in range(4000):
        act, key, new = rng.choice(acts), rng.choice(keys), value()
        assert outcome(lambda: act(shared, key, new)) == outcome(lambda: act(plain, key, new))
        assert list(shared) == list(plain)
    assert shared.copy() == plain and list(shared.items()) == list(plain.items())
    assert list(shared.values()) == list(plain.values())
    assert list(reversed(shared)) == list(reversed(plain))


def test_the_errors_of_a_dict():
    shared = ringway.SharedDict()
    for use in (lambda: shared["k"], lambda: shared.pop("k"), lambda: shared.__delitem__("k")):
        with pytest.raises(KeyError) as caught:
            use()
        assert caught.value.args == ("k",)
    with pytest.raises(KeyError, match="dictionary is empty"):
        shared.popitem()
    with pytest.raises(TypeError, match="at most 2 arguments"):
        shared.pop("k", 1, 2)
    with pytest.raises(TypeError, match="unhashable"):
        hash(shared)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        shared["k"] = lambda: 0
    with pytest.raises(TypeError):
        shared.update(5)
    with pytest.raises(ValueError):
        shared.update(["abc"])
    with pytest.raises((AttributeError, pickle.PicklingError)):
        shared.update({"first": 1, "second": lambda: 0})
    assert len(shared) == 0, "nothing was set of what cannot be"


def test_it_is_a_mapping():
    from collections.abc import MutableMapping

    shared = ringway.SharedDict()
    assert isinstance(shared, MutableMapping) and not shared
    shared.update({"a": 1}, b=2)
    assert shared == {"a": 1, "b": 2} and {"b": 2, "a": 1} == shared and shared != {"a": 1}
    assert not shared == {"a": 1, 2.5: 2} and not shared == 3
    other = ringway.SharedDict()
    other.update(shared)
    assert other == shared
    assert repr(shared) == "SharedDict({'a': 1, 'b': 2})"
    assert shared | {"c": 3} == {"a": 1, "b": 2, "c": 3} and {"a": 0, "z": 0} | shared == {"a": 1, "z": 0, "b": 2}
    assert type(shared | {}) is dict and type({} | shared) is dict
    shared |= {"a": 5}
    assert shared["a"] == 5
    assert shared.keys() == {"a", "b"} and shared.keys() & {"a"} == {"a"} and ("a", 5) in shared.items()
    match shared:
        case {"a": number}:
            assert number == 5
    assert ringway.shared_dict.SharedDict[str, int]


def test_views_and_iterators_show_one_moment():
    shared = ringway.SharedDict()
    shared.update({n: n for n in range(200)})
    keys, items, iterator = shared.keys(), shared.items(), iter(shared)
    shared.clear()
    assert len(keys) == len(items) == 200 and list(iterator) == list(range(200))


def test_full_says_how_much():
    shared = ringway.SharedDict(max_items=2, max_bytes=1000)
    assert (shared.max_items, shared.max_bytes) == (2, 1000)
    shared.update(a=1, b=2)
    with pytest.raises(MemoryError, match="2 items"):
        shared["c"] = 3
    with pytest.raises(MemoryError, match="2 items"):
        shared.update("c", lambda old: old, 3)
    with pytest.raises(MemoryError, match=r"no room for 1103 bytes .*: \d+ are free"):
        shared["a"] = "x" * 1100
    assert shared == {"a": 1, "b": 2}
    with pytest.raises(MemoryError):
        shared.update({"a": 10, "b": 20, "c": 30})
    assert shared == {"a": 10, "b": 20}, "the first ones are there"
    used = shared.used_bytes()
    del shared["a"]
    assert 0 < shared.used_bytes() < used


def test_what_is_promised_fits_however_memory_was_used():
    rng = random.Random(3)
    shared = ringway.SharedDict(max_items=40, max_bytes=40 * 1000)
    for turn in range(2000):
        # A key of 9 bytes, and a value of one more than its content.
        shared[rng.randrange(40)] = b"x" * rng.choice((1, 100, 990))
    shared.update({n: b"y" * 990 for n in range(40)})
    assert shared.used_bytes() == 40 * 1000


@pytest.mark.parametrize("arguments", [(0,), (10, 0), (-1,), (10, -1), (2**31,), (10, 2**36)], ids=repr)
def test_sizes_that_cannot_be(arguments):
    with pytest.raises((ValueError, OverflowError)):
        ringway.SharedDict(*arguments)


def test_update_of_one_key():
    shared = ringway.SharedDict()
    assert shared.update("n", lambda old: old + 1, 0) == 1
    assert shared.update("n", lambda old: old + 1) == 2 == shared["n"]
    assert shared.update("none", lambda old: (old, 1), None) == (None, 1) == shared["none"]
    with pytest.raises(KeyError) as caught:
        shared.update("missing", lambda old: old)
    assert caught.value.args == ("missing",)
    with pytest.raises(ZeroDivisionError):
        shared.update("n", lambda old: 1 // 0)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        shared.update("n", lambda old: lambda: 0)
    with pytest.raises(TypeError):
        shared.update("n", len, 1, 2)
    with pytest.raises(TypeError):
        shared.update("n", len, default=1)
    assert shared["n"] == 2 and shared.update("key and function", lambda old: old, "are two") == "are two"

    def use_it(old):
        shared["inside"] = len(shared)
        shared.pop("none")
        with shared.lock():
            return shared.update("n", lambda inner: inner * 10) + old

    assert shared.update("n", use_it) == 22 == shared["n"]
    assert shared["inside"] == 3 and "none" not in shared
    # The lock is free after all that.
    thread, outcome = in_thread(shared.__setitem__, "free", True)
    thread.join()
    assert outcome == [None]


def test_what_cannot_be_unpickled_is_not_lost():
    shared = ringway.SharedDict()
    shared.update(a=1, b=work.Unreadable())
    for use in (lambda: shared.pop("b"), shared.popitem, lambda: shared["b"], shared.copy):
        with pytest.raises(ArithmeticError):
            use()
    assert list(shared) == ["a", "b"]
    try:
        work.Unreadable.may = True
        assert shared.popitem()[0] == "b"
    finally:
        work.Unreadable.may = False
    assert shared == {"a": 1}


def test_pop_gets_what_changes_whenever_it_is_unpickled(monkeypatch):
    shared, turns = ringway.SharedDict(), []

    def turn():
        # As if another process did: each time it is another value.
        turns.append(None)
        shared["k"] = (len(turns), work.Restless())

    monkeypatch.setattr(work.Restless, "turn", turn)
    shared["k"] = (0, work.Restless())
    assert shared.pop("k")[0] == len(turns) - 1 > 0
    assert "k" not in shared


# Between processes.


def test_children_share_it(mp):
    shared = mp.SharedDict(100, 10_000)
    shared["parent"] = 1
    mp.run(work.set_item, shared, "child", [1, 2])
    assert shared == {"parent": 1, "child": [1, 2]}


class Named(ringway.shared_dict.SharedDict):
    def __init__(self, extra):
        super().__init__()
        self.extra = extra


def test_subclasses_and_attributes_travel(mp):
    shared, answers = Named("more"), mp.Queue()
    shared["k"] = 1
    child = mp.start(work.tell, shared, answers)
    assert answers.get() == ({"k": 1}, None, "more")
    end(child)


def test_it_is_inherited_only_unless_told_otherwise():
    shared, queue = ringway.SharedDict(), ringway.Queue()
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(shared)
    ringway.allow_passing()
    try:
        queue.put(shared)
        again = queue.get()
    finally:
        ringway.allow_passing(False)
    again["k"] = 1
    assert shared["k"] == 1


def test_names(mp, name):
    shared = mp.SharedDict(50, 5000, name=name)
    try:
        shared["k"] = 1
        assert ringway.SharedDict(50, 5000, name=name) == {"k": 1}
        found = ringway.shared_dict.SharedDict.attach(name)
        assert found == {"k": 1} and found.max_items == 50 and found.name == name
        mp.run(work.set_item, shared, "child", 2)
        assert found["child"] == 2
        with pytest.raises(OSError):
            ringway.SharedDict(51, 5000, name=name)
        with pytest.raises(OSError):
            ringway.SharedDict(50, 5001, name=name)
        with pytest.raises(FileExistsError):
            ringway.shared_dict.SharedDict.create(name)
    finally:
        shared.unlink()
    with pytest.raises(FileNotFoundError):
        ringway.shared_dict.SharedDict.attach(name)
    made = ringway.shared_dict.SharedDict.create(name, 5, 100, mode=0o600)
    made["k"] = 1
    made.unlink()
    with pytest.raises(FileNotFoundError):
        made.unlink()


def test_bytes_as_other_programs_have_them(name):
    shared = ringway.SharedDict(name=name)
    try:
        shared.set_bytes(b"colour", b"blue")
        shared.set_bytes("text", bytearray(b"of any buffer"))
        shared.set_bytes(5, memoryview(b"abcdef")[::2])
        assert shared.get_bytes(b"colour") == b"blue" and shared.get_bytes("colour") is None
        assert shared.get_bytes("text") == b"of any buffer" and shared.get_bytes(5) == b"ace"
        assert shared.get_bytes("missing", 7) == 7
        with pytest.raises(TypeError, match="bytes-like"):
            shared.set_bytes("k", "str")
        with pytest.raises(ringway.ForeignMessage) as caught:
            shared[b"colour"]
        assert caught.value.args[1] == b"blue"
        shared.clear()
        shared[b"colour"] = "blue"
        assert shared.get_bytes(b"colour").endswith(b"blue")
        # A key of bytes is in memory as it is.
        with open(f"{os.environ['RINGWAY_DIR']}/{name}", "rb") as file:
            assert b"\0colour\0" in file.read()
    finally:
        shared.unlink()


@pytest.mark.parametrize("count", [work.count_up, work.count_up_in_sections])
def test_nothing_is_lost_between_processes(mp, count):
    shared = mp.SharedDict()
    children = [mp.start(count, shared, "n", 2000) for _ in range(3)]
    count(shared, "n", 2000)
    end(*children)
    assert shared["n"] == 8000 and not shared.recovered


def test_snapshots_are_of_one_moment(fork):
    shared, stop = fork.SharedDict(), fork.Event()
    shared.update(a=0, b=0)
    child = fork.start(work.set_in_turn, shared, stop)
    seen = set()
    while len(seen) < 300:
        now = shared.copy()
        assert 0 <= now["a"] - now["b"] <= 1
        assert list(now)[:2] == ["a", "b"] and ("c" not in now or set(now["c"]) <= {ord("x")})
        seen.add(now["a"])
    stop.set()
    end(child)


def test_threads_and_processes_do_not_wait_in_a_circle(mp):
    shared, answers = mp.SharedDict(), mp.Queue()
    children = [mp.start(work.threads_in, shared, answers) for _ in range(2)]
    assert [answers.get() for _ in children] == ["done", "done"]
    end(*children)
    assert shared["sum"] == shared["section"] == 2 * 3 * 300


def test_descriptors_go_with_the_dictionaries():
    gc.collect()
    before = descriptors()
    for _ in range(200):
        shared = ringway.SharedDict(10, 1000)
        shared["k"] = 1
    del shared
    gc.collect()
    assert descriptors() <= before


def test_one_that_was_not_made():
    class Unmade(ringway.shared_dict.SharedDict):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match="__init__"):
        Unmade()["k"]
    made = ringway.SharedDict()
    with pytest.raises(RuntimeError, match="open already"):
        made.__init__()
