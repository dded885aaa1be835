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


def _drain(peer, receive, touch, most=None):
    """Receives until `None` comes, or until there are at least so many. Returns how many there were, and whether `None` was."""
    count = 0
    if peer.takes_many:
        while most is None or count < most:
            items = receive()
            is_end = items[-1] is None
            if is_end:
                items.pop()
            if touch:
                for item in items:
                    touch(item)
            count += len(items)
            if is_end:
                return count, True
    elif most is not None or touch:
        while most is None or count < most:
            if (item := receive()) is None:
                return count, True
            if touch:
                touch(item)
            count += 1
    else:
        while receive() is not None:
            count += 1
        return count, True
    return count, False


def _consumer(peer, payload, channel, core, control):
    """Counts what comes; also since when, once as many have come as the channel holds: until then it is being filled, and its
    memory is being made."""
    pin(core)
    _answer_try(_one_by_one(peer, channel), control)
    receive = channel.receiver()
    first, is_over = _drain(peer, receive, payload.touch, payload.depth)
    begin = _ns()
    rest = 0 if is_over else _drain(peer, receive, payload.touch)[0]
    control.send((first, rest, (_ns() - begin) / 1e9))


def _start_consumer(peer, payload):
    """This process is the producer from now on. Returns what it needs: some values, how to send one, the channel, and the
    end of a pipe where the consumer says what has come."""
    near, far = children.cores()
    channel = peer.make(payload)
    control, theirs = children.pipe()
    children.start(_consumer, peer, payload, channel, far, theirs)
    pin(near)
    values, send = payload.values(), channel.sender()
    _try(peer, payload, values, send, control)
    for value in itertools.islice(itertools.cycle(values), payload.depth):
        send(value)
    return values, send, channel, control


def _end_consumer(peer, payload, send, channel, control, sent):
    """Returns how many came after the first, and in how many seconds."""
    send(None)
    channel.finish()
    first, rest, seconds = control.recv()
    if first + rest != sent + payload.depth:
        raise Failed(f"{peer.name}: {first + rest} came of {sent + payload.depth}")
    channel.close()
    return rest, seconds


def items_a_second(peer, payload, seconds):
    """Sends for so long, and divides by the time until the last has come."""
    values, send, channel, control = _start_consumer(peer, payload)
    sent, end = 0, _ns() + int(seconds * 1e9)
    while _ns() < end:
        for value in values:
            send(value)
        sent += len(values)
    rest, taken = _end_consumer(peer, payload, send, channel, control, sent)
    if rest == 0:
        raise Failed(f"{peer.name}: too few in {seconds} s")
    return {"rate": rest / taken}


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
    values, send, channel, control = _start_consumer(peer, payload)
    samples, value = [], values[0]
    end = _ns() + int(seconds * 1e9)
    begin = 0
    while begin < end or len(samples) < FEWEST:
        # Long enough for a thread of the sender's, if there is one, and for the consumer to be waiting again.
        time.sleep(50e-6)
        begin = _ns()
        send(value)
        samples.append(_ns() - begin)
    _end_consumer(peer, payload, send, channel, control, len(samples))
    return percentiles(samples, "put")


def percentiles(samples, name):
    """In seconds."""
    samples.sort()
    return {f"{name}{p}": samples[min(len(samples) - 1, int(len(samples) * p / 100))] / 1e9 for p in (50, 99)}
