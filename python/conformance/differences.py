#!/usr/bin/env python3
"""Compares what `probe.py` sees of the standard library and of a package, fact by fact.

    differences.py [MODULE]

Every difference must have a reason in `EXPLAINED`, and every reason there must be of use: the exit code is 0 if so.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

#: Section and fact: what the package says instead, as a pattern, and why. Where the pattern is `None` any answer will do.
EXPLAINED = {
    ("Connection", "pickle.dumps(conn) with plain pickle"): (
        r"raises builtins\.TypeError",
        "the standard library answers with bytes that nobody can use later; `ForkingPickler` passes connections in both",
    ),
    ("Connection", "recv() when peer closed with unread data (duplex)"): (
        r"raises builtins\.EOFError\(\)",
        "both directions have memory of their own: what the peer left unread resets nothing",
    ),
    ("Connection", "recv_bytes() of message truncated by EOF"): (
        r"raises builtins\.EOFError\(\)",
        "messages do not go through the descriptor: nobody can write half of one there",
    ),
    ("Queue", "type"): (r"returns \(<class 'MODULE\.queues\.Queue'>", "it is our class"),
    ("Queue", "put(lambda) unpicklable"): (
        r"raises (builtins\.AttributeError|_pickle\.PicklingError)\(",
        "the caller learns of it, not a thread's traceback; `RINGWAY_PICKLING_ERRORS=feeder` is as the standard library",
    ),
    ("Queue", "10 MB put: qsize/empty"): (
        r"returns \(1, False\)",
        "there is one message, and `empty` says so at once, not when a thread has begun to write it",
    ),
    ("Lock / RLock / Semaphore", "acquire(blocking=False) keyword"): (
        r"raises builtins\.TypeError\(",
        "the same error in other words",
    ),
    ("Condition / Event / Barrier", "Barrier(0)"): (
        r"raises builtins\.ValueError\(",
        "nobody can meet there; later versions of the standard library say so, too",
    ),
    ("Death of a holder (children SIGKILLed)", "Lock after holder was SIGKILLed: acquire(timeout=.3)"): (
        r"returns True",
        "the dead block nobody",
    ),
    ("Death of a holder (children SIGKILLed)", "Queue after a blocked getter was SIGKILLed: get(timeout=.3)"): (
        r"returns 'hello'",
        "the dead block nobody",
    ),
    ("Death of a holder (children SIGKILLed)", ".. qsize() says"): (r"returns 0", "the message was received"),
    ("Death of a holder (children SIGKILLed)", "Condition.notify_all() after waiter was SIGKILLed finishes in 1s"): (
        r"returns True",
        "the dead block nobody",
    ),
    ("Death of a holder (children SIGKILLed)", "Event.set() after waiter was SIGKILLed finishes in 1s"): (
        r"returns True",
        "the dead block nobody",
    ),
    ("Death of a holder (children SIGKILLed)", "2 procs x 20000  v.value += 1  (no get_lock)"): (
        r"returns \d+",
        "without the lock updates are lost, here as there, and never the same number of them",
    ),
}

#: Which of those depend on the version of Python or on chance: they need not show.
MAY_BE_EQUAL = {
    ("Queue", "10 MB put: qsize/empty"),
    ("Connection", "recv() when peer closed with unread data (duplex)"),
    ("Lock / RLock / Semaphore", "acquire(blocking=False) keyword"),
    ("Condition / Event / Barrier", "Barrier(0)"),
    ("Death of a holder (children SIGKILLed)", "2 procs x 20000  v.value += 1  (no get_lock)"),
}


def facts(module):
    """What the probe says of it: a section and a fact, and the answer."""
    command = [sys.executable, os.path.join(HERE, "probe.py"), module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"the probe of {module} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    found, section = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("(from the standard library"):
            found["names", "taken from the standard library"] = line
        elif line.startswith("the section ends"):
            found[section, "(end)"] = line
        elif line:
            label, answer = re.match(r"(.{62,}?) ((?:returns|raises) .*)$", line).groups()
            label, number = label.strip(), 1
            while (section, label) in found:
                number += 1
                label = f"{label.partition(' #')[0]} #{number}"
            found[section, label] = normalised(answer, module)
    return found


def normalised(answer, module):
    """Without what is different each time, or by name only."""
    answer = re.sub(r"   \[[\d.]+s\]$", "", answer)
    answer = re.sub(r"0x[0-9a-f]+", "0x...", answer)
    return answer.replace(f"{module}.queues", "MODULE.queues").replace(f"{module}.synchronize", "MODULE.synchronize")


def main():
    module = sys.argv[1] if len(sys.argv) > 1 else "ringway"
    theirs, ours = facts("multiprocessing"), facts(module)
    bad = used = 0
    for key in [*theirs, *(key for key in ours if key not in theirs)]:
        standard, package = theirs.get(key, "says nothing"), ours.get(key, "says nothing")
        if standard == package:
            continue
        pattern, reason = EXPLAINED.get(key, (None, None))
        is_good = reason is not None and (pattern is None or re.match(pattern, package))
        used += bool(is_good)
        bad += not is_good
        print(f"{'explained' if is_good else 'UNEXPLAINED'}: {key[0]}: {key[1]}")
        print(f"    multiprocessing {standard}\n    {module:15} {package}\n    {reason or ''}".rstrip())
    for key in EXPLAINED:
        if key not in theirs:
            print(f"OF NO USE: {key[0]}: {key[1]}: the probe does not ask")
            bad += 1
        elif theirs.get(key) == ours.get(key) and key not in MAY_BE_EQUAL:
            print(f"OF NO USE: {key[0]}: {key[1]}: there is no difference any more")
            bad += 1
    print(f"{len(theirs)} facts, {used} differences explained, {bad} not")
    return 1 if bad or len(theirs) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
