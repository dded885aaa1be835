"""Medians, and ratios of what was measured within seconds."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    median: float
    lowest: float
    highest: float

    @staticmethod
    def of(values):
        values = list(values)
        return Figure(statistics.median(values), min(values), max(values)) if values else None


def figure(results, case, name):
    return Figure.of(results.by_round(case, name).values())


def ratio(results, case, other, name):
    """How many times as much the first is: of each round, then the median of those."""
    ours, theirs = results.by_round(case, name), results.by_round(other, name)
    return Figure.of(ours[number] / theirs[number] for number in ours if number in theirs)


def number(value):
    """In three digits or so."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}" if value / limit < 1000 else f"{value / limit:.0f} {unit}"
    return f"{value:.3g}"


def duration(seconds):
    for limit, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= limit:
            return f"{seconds / limit:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
