"""Rounds of all cases, each in another order, until they are done or the time is over."""

import json
import sys
import time

from . import children
from .children import Failed

#: How long a case may take beyond its time: what has to be made and tried first, on a machine that others use too.
PATIENCE = 20


class Results:
    """What was measured: for each case and each figure, its value in each round."""

    def __init__(self):
        self.values = {}
        #: By whom and why a case is missing.
        self.missing = {}

    def add(self, number, case, figures):
        for figure, value in figures.items():
            self.values.setdefault((case, figure), {})[number] = value

    def by_round(self, case, figure):
        return self.values.get((case, figure), {})


def run(groups, seconds, rounds, until, log):
    """Runs the groups `rounds` times, or as often as there is time; writes a line of JSON for each measurement."""
    results = Results()
    began = time.monotonic()
    for number in range(rounds):
        longest = (time.monotonic() - began) / number if number else 0
        if number and time.monotonic() + longest > until:
            print(f"benches: {number} of {rounds} rounds: there is no time for more", file=sys.stderr)
            break
        for group in groups:
            turned = group[number % len(group):] + group[: number % len(group)]
            for case in turned:
                if case not in results.missing:
                    _run_one(results, number, case, seconds, until, log)
        print(f"benches: round {number + 1} of {rounds} took {time.monotonic() - began:.0f} s so far", file=sys.stderr)
    return results


def _run_one(results, number, case, seconds, until, log):
    left = until - time.monotonic()
    line = {"round": number, "work": case.work, "subject": case.subject, "by": case.by}
    try:
        if left < seconds:
            raise Failed("the time is over")
        figures = children.measure(case.run, seconds, patience=min(left, seconds + PATIENCE))
        results.add(number, case, figures)
        line.update(figures)
    except Failed as error:
        reason = str(error).splitlines()[-1]
        line["missing"] = reason
        is_unavailable = "Unavailable: " in reason
        reason = reason.rpartition("Unavailable: ")[2]
        if (case.by, reason) not in results.missing.values():
            print(f"benches: WITHOUT {case.by}, {case.work} of {case.subject}: {reason}", file=sys.stderr)
        # What cannot be had now will not be had later; what was only slow is tried again.
        if is_unavailable:
            results.missing[case] = (case.by, reason)
    log.write(json.dumps(line) + "\n")
    log.flush()
