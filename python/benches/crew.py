"""Several producers and several consumers of one queue, on both processors."""

import time

from . import children
from .children import Failed
from .flow import TRIED

_ns = time.perf_counter_ns


def _produce(payload, channel, seconds, gate):
    values, send = payload.values(), channel.sender()
    gate.send("ready")
    gate.recv()
    sent, begin = 0, _ns()
    end = begin + int(seconds * 1e9)
    while _ns() < end:
        for value in values:
            send(value)
        sent += len(values)
    channel.finish()
    gate.send((sent, begin))


def _consume(peer, payload, channel, gate):
    receive, touch, again = channel.receiver(), payload.touch, channel.sender()
    gate.send("ready")
    count, ends = 0, 0
    while not ends:
        items = receive() if peer.takes_many else (receive(),)
        for item in items:
            if item is None:
                ends += 1
            else:
                count += 1
                if touch:
                    touch(item)
    last = _ns()
    # Each consumer needs one.
    for _ in range(ends - 1):
        again(None)
    gate.send((count, last))


def _start(function, *arguments):
    gate, theirs = children.pipe()
    children.start(function, *arguments, theirs)
    return gate


def _hear(gate, patience=60):
    if not gate.poll(patience):
        raise Failed("one of the processes is stuck")
    return gate.recv()


def items_a_second(peer, payload, seconds, producers, consumers):
    """Each producer sends for so long; divided by the time until the last item has come."""
    channel = peer.make(payload)
    _try(peer, payload, channel)
    takers = [_start(_consume, peer, payload, channel) for _ in range(consumers)]
    makers = [_start(_produce, payload, channel, seconds) for _ in range(producers)]
    for gate in (*takers, *makers):
        _hear(gate)
    for gate in makers:
        gate.send("go")
    made = [_hear(gate) for gate in makers]
    send = channel.sender()
    for _ in takers:
        send(None)
    channel.finish()
    taken = [_hear(gate) for gate in takers]
    sent, count = sum(sent for sent, _ in made), sum(count for count, _ in taken)
    if count != sent:
        raise Failed(f"{peer.name}: {count} came of {sent}")
    channel.close()
    return {"rate": count / (max(last for _, last in taken) - min(begin for _, begin in made)) * 1e9}


def _try(peer, payload, channel):
    """Sends some by a child of its own, which must not share its end with this process."""
    gate = _start(_send_some, payload, channel)
    values, receive, got = payload.values(), channel.receiver(), []
    while len(got) < TRIED:
        got += receive() if peer.takes_many else [receive()]
    _hear(gate)
    for index, item in enumerate(got):
        if not payload.is_same(item, values[index % len(values)]):
            raise Failed(f"{peer.name} delivers {item!r:.60} as number {index}")


def _send_some(payload, channel, gate):
    values, send = payload.values(), channel.sender()
    for index in range(TRIED):
        send(values[index % len(values)])
    channel.finish()
    gate.send("sent")
