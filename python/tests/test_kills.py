"""Workers killed at random while they put, get, and hold locks: nothing that was confirmed is lost, doubled or torn."""

import queue as std_queue
import random
import tempfile

import work
from conftest import Context, kill, nothing_is_left

ROUNDS = 40


def drain(queue, timeout=0.5):
    while True:
        try:
            yield queue.get(timeout=timeout)
        except std_queue.Empty:
            return


def test_putters_killed_at_random():
    """Each one's messages come in order, without a gap, up to where it was killed."""
    mp, random_ = Context("fork"), random.Random(1)
    queue, last, expected = mp.Queue(64), {}, 0
    for who in range(ROUNDS):
        children = [mp.start(work.put_until_killed, queue, (who, each)) for each in range(2)]
        for _ in range(random_.randrange(1, 400)):
            sender, number = queue.get()
            assert number == last.get(sender, -1) + 1
            last[sender] = number
            expected += 1
        for child in children:
            kill(child)
    for sender, number in drain(queue):
        assert number == last.get(sender, -1) + 1
        last[sender] = number
    assert expected > ROUNDS
    queue.put("goes on")
    assert queue.get() == "goes on"


def test_getters_killed_at_random():
    """What a killed getter had taken may be gone with it, at most one each; nothing comes twice, and order is kept."""
    mp, random_ = Context("fork"), random.Random(2)
    queue, confirmed = mp.Queue(64), mp.Queue()
    number = kills = 0
    seen = []
    for _ in range(ROUNDS):
        children = [mp.start(work.get_and_confirm, queue, confirmed) for _ in range(2)]
        for _ in range(random_.randrange(1, 300)):
            queue.put(number)
            number += 1
        for child in children:
            kill(child)
            kills += 1
        # Before there is so much that it waits in the memory of those who will be killed.
        while not confirmed.empty():
            seen.append(confirmed.get())
    rest = list(drain(queue))
    seen += [*drain(confirmed), *rest]
    assert len(seen) == len(set(seen)), "a message came twice"
    lost = set(range(number)) - set(seen)
    assert len(lost) <= kills, f"{len(lost)} of {number} lost by {kills} kills"
    assert rest == sorted(rest)


def test_holders_killed_at_random():
    """Two numbers that only a holder changes differ only while one is at it, or right after one died."""
    for kind in ("Lock", "RLock"):
        mp, random_ = Context("fork"), random.Random(3)
        lock = getattr(mp, kind)()
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            file.write(bytes(16))
            file.flush()
            children = [mp.start(work.lock_until_killed, lock, file.name) for _ in range(3)]
            recovered = 0
            for _ in range(ROUNDS):
                kill(children.pop(random_.randrange(len(children))))
                assert lock.acquire()
                file.seek(0)
                first, second = (int.from_bytes(file.read(8), "little") for _ in range(2))
                assert second in (first, first - 1)
                if first != second:
                    assert lock.recovered, "in the middle of a change, and nobody has died"
                    recovered += 1
                    file.seek(8)
                    file.write(first.to_bytes(8, "little"))
                    file.flush()
                lock.release()
                children.append(mp.start(work.lock_until_killed, lock, file.name))
            for child in children:
                assert child.is_alive(), "a child has seen two holders at once"
                kill(child)
            assert lock.acquire()


def test_both_ends_killed_at_random():
    """A chain: whoever is killed, the rest goes on."""
    mp, random_ = Context("fork"), random.Random(4)
    first, second = mp.Queue(16), mp.Queue(16)
    middle = [mp.start(work.get_and_confirm, first, second) for _ in range(3)]
    source = mp.start(work.put_until_killed, first, 0)
    got = set()
    for turn in range(ROUNDS):
        for _ in range(random_.randrange(1, 100)):
            obj = second.get()
            assert obj not in got
            got.add(obj)
        if turn % 4 == 0:
            kill(source)
            source = mp.start(work.put_until_killed, first, turn + 1)
        else:
            kill(middle.pop(random_.randrange(len(middle))))
            middle.append(mp.start(work.get_and_confirm, first, second))
    for child in [source, *middle]:
        kill(child)
    for obj in drain(second):
        assert obj not in got
        got.add(obj)


def test_large_messages_and_kills():
    """Their memory comes back: with room for four, a hundred killed senders and receivers leave none of it behind."""
    mp = Context("fork")
    queue = mp.Queue(8, max_bytes=8 << 20)
    for turn in range(25):
        sender = mp.start(work.put_numbered, queue, turn, 1000, 1_500_000)
        getter = mp.start(work.get_for_ever, queue)
        who, _, padding = queue.get()
        assert len(padding) == 1_500_000 and who <= turn
        kill(getter if turn % 2 else sender)
        kill(sender if turn % 2 else getter)
    for _ in drain(queue):
        pass
    for turn in range(20):
        queue.put(bytes([turn]) * 4_000_000, timeout=60)
        assert queue.get()[0] == turn
    assert nothing_is_left(queue)
