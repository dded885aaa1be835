"""What the children of the tests of `SharedDict` do."""

import os
import pickle
import random
import signal
import threading
import zlib


class Plain:
    def __init__(self, content):
        self.content = content

    def __eq__(self, other):
        return type(other) is Plain and other.content == self.content


class Buffer:
    """Leaves its bytes to be sent beside the pickle."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.data),)


class Unreadable:
    """Can be pickled, but not the other way round, unless told so."""

    may = False

    def __reduce__(self):
        return unreadable, ()


def unreadable():
    if not Unreadable.may:
        raise ArithmeticError("not here")
    return Unreadable()


class Restless:
    """Does something whenever it is unpickled."""

    turn = None

    def __reduce__(self):
        return restless, ()


def restless():
    Restless.turn()
    return Restless()


def set_item(shared, key, value):
    shared[key] = value


def count_up(shared, key, times):
    for _ in range(times):
        shared.update(key, lambda old: old + 1, 0)


def count_up_in_sections(shared, key, times):
    for _ in range(times):
        with shared.lock():
            shared[key] = shared.get(key, 0) + 1


def die_inside(shared):
    with shared.lock():
        shared["half"] = "done"
        os.kill(os.getpid(), signal.SIGKILL)


def die_in_update(shared, key):
    shared.update(key, lambda old: os.kill(os.getpid(), signal.SIGKILL))


def hold(shared, is_held, let_go):
    with shared.lock():
        is_held.set()
        let_go.wait()


def interrupt(pid, signum):
    os.kill(pid, signum)


def set_in_turn(shared, stop):
    """`b` is never ahead of `a`, and never more than one behind."""
    number = 0
    while not stop.is_set():
        number += 1
        shared["a"] = number
        shared["b"] = number
        shared.pop("c", None)
        shared["c"] = b"x" * (number % 3000)


def tell(shared, outward):
    outward.put((dict(shared), shared.name, shared.extra))


def whole(rng):
    """A value that says whether it is whole."""
    body = rng.randbytes(rng.choice((1, 30, 400, 5000)))
    return [body, zlib.crc32(body)] if rng.random() < 0.5 else (body, zlib.crc32(body), {"nested": (1, 2)})


def is_whole(value):
    return zlib.crc32(value[0]) == value[1]


def write_until_killed(shared, seed):
    rng = random.Random(seed)
    keys = [f"key {number}" for number in range(20)] + list(range(20)) + [b"%d" % number for number in range(20)]
    while True:
        key, act = rng.choice(keys), rng.random()
        try:
            if act < 0.5:
                shared[key] = whole(rng)
            elif act < 0.6:
                shared.update(key, lambda old: whole(rng), None)
            elif act < 0.8:
                shared.pop(key, None)
            elif act < 0.82:
                shared.clear()
            elif act < 0.85:
                if shared:
                    shared.popitem()
            elif act < 0.95:
                shared.update({key: whole(rng) for key in rng.sample(keys, 3)})
            else:
                with shared.lock():
                    shared[key] = whole(rng)
                    shared[keys[0]] = whole(rng)
        except KeyError:
            pass  # popitem() of what others have emptied
        except MemoryError:
            shared.pop(rng.choice(keys), None)


def threads_in(shared, outward):
    """All kinds of calls, in threads that take the interpreter's lock from each other all the time."""
    import sys

    sys.setswitchinterval(1e-6)

    def work(who):
        for turn in range(300):
            shared.update("sum", lambda old: old + 1, 0)
            shared[f"{who}"] = turn
            with shared.lock():
                shared["section"] = shared.get("section", 0) + 1
            assert shared.get(f"{who}") == turn
            shared.setdefault(f"{who} too", len(shared))

    threads = [threading.Thread(target=work, args=(f"{os.getpid()} {who}",)) for who in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outward.put("done")
