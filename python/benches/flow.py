"""One producer and one consumer, each on a processor of its own."""

import itertools
import time

from . import children
from .children import Failed, pin

#: Sent and checked first, each time.
TRIED = 16

#: Samples that make a median.
FEWEST = 25

_ns = time.perf_counter_ns


def _one_by_one(peer, channel):
    """A function that receives one object."""
    receive = channel.receiver()
    if not peer.takes_many:
        return receive
    waiting = iter(())

    def get():
        nonlocal waiting
        for item in waiting:
            return item
        waiting = iter(receive())
        return next(waiting)

    return get


def _try(peer, payload, values, send, control):
    """Sends some, which the other side sends back by the control pipe."""
    for value in itertools.islice(itertools.cycle(values), TRIED):
        send(value)
        if not control.poll(20):
            raise Failed(f"{peer.name} does not deliver")
        answer = control.recv()
        if not payload.is_same(answer, value):
            raise Failed(f"{peer.name} delivers {answer!r:.60} for {value!r:.60}")


def _answer_try(get, control):
    for _ in range(TRIED):
        control.send(get())


def _drain(peer, receive, touch):
    """Receives until `None` comes; returns how many came before."""
    count = 0
    if peer.takes_many:
        while True:
            items = receive()
            if items[-1] is None:
                items.pop()
                if touch:
                    for item in items:
                        touch(item)
                return count + len(items)
            if touch:
                for item in items:
                    touch(item)
            count += len(items)
    if touch:
        while (item := receive()) is not None:
            touch(item)
            count += 1
    else:
        while receive() is not None:
            count += 1
    return count


def _consumer(peer, payload, channel, core, control):
    pin(core)
    _answer_try(channel.receiver() if not peer.takes_many else _one_by_one(peer, channel), control)
    count = _drain(peer, channel.receiver(), payload.touch)
    control.send((count, _ns()))


def items_a_second(peer, payload, seconds):
    """Sends for so long, and divides by the time until the last has come."""
    near, far = children.cores()
    channel = peer.make(payload)
    control, theirs = children.pipe()
    children.start(_consumer, peer, payload, channel, far, theirs)
    pin(near)
    values, send = payload.values(), channel.sender()
    _try(peer, payload, values, send, control)
    sent, begin = 0, _ns()
    end = begin + int(seconds * 1e9)
    while _ns() < end:
        for value in values:
            send(value)
        sent += len(values)
    send(None)
    channel.finish()
    count, last = control.recv()
    if count != sent:
        raise Failed(f"{peer.name}: {count} came of {sent}")
    channel.close()
    return {"rate": count / (last - begin) * 1e9}


def _echo(peer, payload, there, back, core, control):
    pin(core)
    get, send, touch = _one_by_one(peer, there), back.sender(), payload.touch
    _answer_try(get, control)
    while (item := get()) is not None:
        if touch:
            touch(item)
        send(item)
    back.finish()


def round_trip(peer, payload, seconds):
    """One object there and back, again and again."""
    near, far = children.cores()
    there, back = peer.make(payload), peer.make(payload)
    control, theirs = children.pipe()
    children.start(_echo, peer, payload, there, back, far, theirs)
    pin(near)
    values, send, touch = payload.values(), there.sender(), payload.touch
    _try(peer, payload, values, send, control)
    get = _one_by_one(peer, back)
    samples, value = [], values[0]
    end = _ns() + int(seconds * 1e9)
    begin = 0
    while begin < end or len(samples) < FEWEST:
        begin = _ns()
        send(value)
        item = get()
        if touch:
            touch(item)
        samples.append(_ns() - begin)
    if not payload.is_same(item, value):
        raise Failed(f"{peer.name}: {item!r:.60} came back")
    send(None)
    there.finish()
    there.close()
    back.close()
    return percentiles(samples, "rtt")


def put_latency(peer, payload, seconds):
    """What a `put` costs whom it must not hold up: one at a time, with pauses, into a queue that is being emptied."""
    near, far = children.cores()
    channel = peer.make(payload)
    control, theirs = children.pipe()
    children.start(_consumer, peer, payload, channel, far, theirs)
    pin(near)
    values, send = payload.values(), channel.sender()
    _try(peer, payload, values, send, control)
    samples, value = [], values[0]
    end = _ns() + int(seconds * 1e9)
    begin = 0
    while begin < end or len(samples) < FEWEST:
        begin = _ns()
        send(value)
        samples.append(_ns() - begin)
        # Long enough for a thread of the sender's, if there is one.
        time.sleep(50e-6)
    send(None)
    channel.finish()
    count, _ = control.recv()
    if count != len(samples):
        raise Failed(f"{peer.name}: {count} came of {len(samples)}")
    channel.close()
    return percentiles(samples, "put")


def percentiles(samples, name):
    """In seconds."""
    samples.sort()
    return {f"{name}{p}": samples[min(len(samples) - 1, int(len(samples) * p / 100))] / 1e9 for p in (50, 99)}
